"""What shows that a file is one that a command of ours wrote, so that the command may replace it (accel.outputs.File).

Each stands near the beginning or the end of every file of its kind.
"""

WEIGHTS = b"written by Bitloom: weights"
CHECKPOINT = b"written by Bitloom: checkpoint"
FRONT = b"written by Bitloom: search front"
REPORT = b"written by Bitloom: report"
# Of an export, by the file's ending; the header with functions has its own.
TABLES = {
    ".npz": b"bitloom.npy",
    ".safetensors": b'{"__metadata__":{"bitloom":',
    ".md": b"# Fixed-point formats of ",
    ".h": b"tables of a quantized network, written by Bitloom",
    ".c": b"tables of a quantized network, written by Bitloom",
}
RUN_HEADER = b"#ifndef BITLOOM_RUN_H"
