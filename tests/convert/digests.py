"""python -m tests.convert.digests: the SHA-256 of some converted designs as JSON, for a comparison of Pythons.

Needs MyHDL only; where numpy is there too, a small accelerator is among the designs.
"""

import hashlib
import importlib.util
import json
import tempfile
from pathlib import Path

from accel.hdl import convert_design
from tests.convert import blocks

BLOCKS = {"datapath": {"lanes": 4}, "reduce_array": {}, "traffic_light": {}}
SMALL = {"weight_depth": 64, "act_depth": 64, "line_depth": 64, "param_depth": 64, "pool_depth": 64, "max_layers": 4}


def digest(convert):
    """SHA-256 of the files that convert(empty folder) writes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        convert(folder)
        total = hashlib.sha256()
        for path in sorted(folder.iterdir()):
            total.update(path.name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def convert_block(name, hdl, folder):
    ports = getattr(blocks, f"{name}_ports")()
    convert_design(lambda: getattr(blocks, name)(*ports.values(), **BLOCKS[name]), hdl, folder)


def convert_small_accelerator(folder):
    from accel.config import HardwareConfig
    from accel.hdl.accelerator import convert_accelerator

    convert_accelerator(HardwareConfig(rows=4, lanes=4, precisions=(8, 4), **SMALL), folder)


def block_digests():
    """{block in language: SHA-256}."""
    return {
        f"{name} in {hdl}": digest(lambda folder, name=name, hdl=hdl: convert_block(name, hdl, folder))
        for name in BLOCKS
        for hdl in ("verilog", "vhdl")
    }


def main():
    """Print the digests; a second conversion in the same process must give the same."""
    found = block_digests()
    assert block_digests() == found
    if importlib.util.find_spec("numpy"):
        found["accelerator"] = digest(convert_small_accelerator)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
