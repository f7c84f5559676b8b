"""The door for files of strangers: what is damaged, huge or foreign gives one sentence, soon and in little memory."""

import io
import json
import os
import resource
import struct
import warnings
import zipfile
from pathlib import PurePosixPath

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import nn
from torch.nn.utils import parametrizations

from accel.checks import listed, plain, shown
from accel.errors import BitloomError, DataError
from quant.data.images import read_images
from quant.files import archive, door
from quant.files.numpy_files import read_npy, read_npz
from quant.files.safetensors_files import read_safetensors
from quant.files.torch_files import read_torch

READERS = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".png": read_images,
    ".safetensors": read_safetensors,
    ".pt": lambda path: read_torch(path, "weights", "save them again"),
}


def refusal(path):
    """The message with which the reader of a file's format refuses it."""
    with pytest.raises(DataError) as caught:
        READERS[path.suffix](path)
    text = str(caught.value)
    assert text.isprintable() and path.name in text and len(text) < 400, text
    return text.removeprefix(f"{path}: ")


def npy(header, body=b"\0" * 100, version=b"\1\0"):
    size = len(header).to_bytes(2 if version == b"\1\0" else 4, "little")
    return b"\x93NUMPY" + version + size + header.encode() + body


def zipped(entries, method=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as target:
        for name, data in entries.items():
            target.writestr(name, data)
    return stream.getvalue()


def pickled(steps, **records):
    """A file of torch.save with a pickle of one's own."""
    return zipped(
        {
            "a/data.pkl": b"\x80\2" + steps + b".",
            "a/version": b"3\n",
            "a/byteorder": b"little",
            **{f"a/data/{name}": data for name, data in records.items()},
        }
    )


STORAGE = b"((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0aX\3\0\0\0cpu%stQ"
TENSOR = b"}X\1\0\0\0wctorch._utils\n_rebuild_tensor_v2\n" + STORAGE + b"K\0%s%s\x89ccollections\nOrderedDict\n)RtRs"


def tensor(elements=b"K\3", shape=b"K\3\x85", stride=b"K\1\x85"):
    return TENSOR % (elements, shape, stride)


@pytest.mark.parametrize("suffix", READERS)
def test_what_is_no_readable_file_is_refused(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    assert refusal(path).startswith("cannot be read as ") and "No such file" in refusal(path)
    path.mkdir()
    assert refusal(path).startswith("is not a regular file; give ")
    path.rmdir()
    os.mkfifo(path)
    assert refusal(path).startswith("is not a regular file; give ")
    path.unlink()
    for content, word in ((b"", "the file is empty"), (b"hello", ""), (b"\0" * 2000, ""), (b"\x80\2.", "")):
        path.write_bytes(content)
        assert refusal(path).startswith("cannot be read as ") and word in refusal(path)
    with path.open("wb") as stream:
        stream.truncate(door.MAX_BYTES + 1)
    assert refusal(path).startswith(f"is {door.MAX_BYTES + 1} bytes, at most {door.MAX_BYTES} are allowed")


SHAPE = "{'descr':%s,'fortran_order':False,'shape':%s}\n"
BAD_NPY = {
    "unfinished": ("{'descr':'<f4'", "cannot be read"),
    "called": (SHAPE % ("'<f4'", "(25,)") + "(", "cannot be read"),
    "misspelt": (SHAPE.replace("shape", "shapd") % ("'<f4'", "(25,)"), "cannot be read"),
    "truth value": (SHAPE % ("'<f4'", "(True,)"), "shape (True,)"),
    "negative": (SHAPE % ("'<f4'", "(-25,)"), "shape (-25,)"),
    "astronomic": (SHAPE % ("'<f4'", f"({'9' * 20},)"), "at most"),
    "too many digits": (SHAPE % ("'<f4'", f"({'9' * 5000},)"), "cannot be read"),
    "terabytes": (SHAPE % ("'<f4'", "(1000,1000,1000,1000)"), "of 4000000000000 bytes, at most"),
    "itemsize 0": (SHAPE % ("'<U0'", f"({10**12},)"), "at most"),
    "wide records": (SHAPE % ("('<f4', (10**9,))", "(1,)"), "cannot be read"),
    "one more": (SHAPE % ("'<f4'", "(26,)"), "of 104 bytes but 100 bytes follow"),
    "one less": (SHAPE % ("'<f4'", "(24,)"), "of 96 bytes but 100 bytes follow"),
    "objects": (SHAPE % ("'|O'", "(1,)"), "holds Python objects, which are never executed"),
    "nested": ("(" * 9000, "cannot be read"),
    "a call": (SHAPE % ("__import__('os').system('true')", "(1,)"), "cannot be read"),
}


@pytest.mark.parametrize("case", BAD_NPY)
@pytest.mark.parametrize("version", [b"\1\0", b"\2\0", b"\3\0", b"\7\7"])
def test_headers_of_arrays_are_held_against_the_bytes_behind_them(tmp_path, case, version):
    header, word = BAD_NPY[case]
    data = npy(header, version=version)
    (tmp_path / "x.npy").write_bytes(data)
    assert (word if version < b"\3" else "format version" if version == b"\3\0" else "") in refusal(tmp_path / "x.npy")
    (tmp_path / "x.npz").write_bytes(zipped({"images.npy": data}))
    assert (word if version < b"\3" else "") in refusal(tmp_path / "x.npz")


def test_an_archive_with_another_name_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.zeros(3))
    (tmp_path / "x.npz").rename(tmp_path / "x.npy")
    assert "magic string is not correct" in refusal(tmp_path / "x.npy")


def flagged(data, place, value):
    """A zip archive with another 16-bit field in the description of its first member, at both places."""
    for start, offset in ((data.index(b"PK\3\4"), 0), (data.index(b"PK\1\2"), 2)):
        at = start + place + offset
        data = data[:at] + struct.pack("<H", value) + data[at + 2 :]
    return data


def test_bombs_and_odd_members_of_archives_are_refused(tmp_path, monkeypatch):
    path, good = tmp_path / "x.npz", npy(SHAPE % ("'<f4'", "(25,)"))
    plain_zip = zipped({"a.npy": good})
    odd = {
        "is encrypted; save the file again": flagged(plain_zip, 6, 1),
        "is packed by method 99": flagged(plain_zip, 8, 99),
        "is packed by method 12": zipped({"a.npy": good}, zipfile.ZIP_BZIP2),
        "is packed by method 14": zipped({"a.npy": good}, zipfile.ZIP_LZMA),
        "a.txt in it is no array": zipped({"a.txt": b"1"}),
        "Bad CRC-32": plain_zip.replace(good, good[:-1] + b"\1"),
        "holds a.npy twice": plain_zip[: len(good)]
        + zipped({"a.npy": good, "b.npy": good}).replace(b"b.npy", b"a.npy"),
    }
    for word, data in odd.items():
        path.write_bytes(data)
        assert word in refusal(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        with target.open("a.npy", "w") as stream:
            stream.write(npy(SHAPE % ("'|u1'", f"({64 << 20},)"), b""))
            stream.write(bytes(64 << 20))
    monkeypatch.setattr(door, "MAX_BYTES", 32 << 20)
    assert path.stat().st_size < 100_000 and "bytes, at most" in refusal(path)
    monkeypatch.setattr(archive, "MAX_MEMBERS", 20)
    path.write_bytes(zipped({f"{index}.npy": b"" for index in range(21)}))
    assert "holds 21 arrays, at most 20 are allowed" in refusal(path)


def quantized(tensor):
    """A tensor of torch's old quantized kind, without torch's advice not to make one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)


def foreign_objects():
    weights = torch.ones(3)
    net = nn.Sequential(nn.Linear(2, 2))
    return {
        "is a pickled object of torch.nn.modules.container.Sequential, which is never executed": net,
        "is a pickled object of torch.nn.modules.linear.Linear": net[0],
        "holds at net a pickled torch.nn.modules.container": {"w": weights, "net": net},
        "holds at w a quantized tensor; give dense": {"w": quantized(weights)},
        "holds at w a sparse tensor": {"w": weights.to_sparse()},
        "holds at w a meta tensor": {"w": weights.to("meta")},
        "holds at a.0 a pickled pathlib": {"w": weights, "a": [PurePosixPath("x")]},
        "holds at w a pickled numpy": {"w": np.ones(3)},
    }


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("word", foreign_objects())
def test_foreign_objects_are_named_and_never_executed(tmp_path, word, legacy):
    path = tmp_path / "x.pt"
    torch.save(foreign_objects()[word], path, _use_new_zipfile_serialization=not legacy)
    assert word in refusal(path)


def test_a_harmful_file_is_named_and_never_executed(tmp_path):
    path = tmp_path / "x.pt"
    path.write_bytes(pickled(b"cos\nsystem\nX\1\0\0\0a\x85R"))
    assert refusal(path).startswith("is a pickled object of os.system, which is never executed; save")
    path.write_bytes(pickled(b"cos\nsystem\n"))
    assert refusal(path).startswith("holds a pickled os.system, which is never executed")


BAD_PICKLES = {
    "storage of terabytes": tensor(elements=b"\x8a\6\0\0\0\0\0\1"),
    "size beyond the storage": tensor(shape=b"K\4\x85"),
    "stride beyond the storage": tensor(stride=b"K\2\x85"),
    "negative size": tensor(shape=b"J\xff\xff\xff\xff\x85"),
    "negative stride": tensor(stride=b"J\xff\xff\xff\xff\x85"),
    "text as size": tensor(shape=b"X\1\0\0\0a\x85"),
    "too few strides": tensor(stride=b")"),
    "memory by a number": b"cbuiltins\nbytearray\n\x8a\5\0\0\0\0\1\x85R",
    "tensor by a number": b"ctorch\nFloatTensor\n\x8a\5\0\0\0\0\1\x85R",
    "storage by a number": b"ctorch\nFloatStorage\n\x8a\5\0\0\0\0\1\x85R",
    "nothing in the memo": b"h\7",
    "empty stack": b"0",
    "key of tuples": b"})" + b"\x85" * 100_000 + b"K\1s",
    "list as a key": b"}]K\1s",
    "many steps": b"})" + b"q\0" * 600_000,
    "set of a tensor": b"c__builtin__\nset\n" + tensor(shape=b"J\xff\xff\xff\x7f\x85", stride=b"K\0\x85") + b"\x85R",
    "slow coding": b"c_codecs\nencode\nX\2\0\0\0\xc3\xa9X\x08\0\0\0punycode\x86R",
    "items of a tensor": b"ccollections\nCounter\n"
    + tensor(shape=b"J\xff\xff\xff\x7f\x85", stride=b"K\0\x85")
    + b"\x85R",
    "later protocol": b"\x95\1\0\0\0\0\0\0\0N",
    "text of another length": b"X\xff\xff\xff\xffa",
    "no end": b"",
}


@pytest.mark.parametrize("case", BAD_PICKLES)
def test_pickles_that_torch_save_does_not_write_are_refused(tmp_path, case):
    path = tmp_path / "x.pt"
    path.write_bytes(pickled(BAD_PICKLES[case], a=np.ones(3, "<f4").tobytes()))
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refusal(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used < 400_000  # KiB


def test_the_pickles_above_are_right_but_for_their_fault(tmp_path):
    path = tmp_path / "x.pt"
    path.write_bytes(pickled(tensor(), a=np.arange(3, dtype="<f4").tobytes()))
    assert torch.equal(READERS[".pt"](path)["w"], torch.arange(3.0))


@pytest.mark.parametrize("legacy", [False, True])
def test_whatever_a_checkpoint_may_hold_is_read(tmp_path, legacy):
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), parametrizations.weight_norm(nn.Linear(3, 3)))
    optimizer = {"state": {0: {"step": torch.ones(()), "sum": torch.ones(2)}}, "param_groups": [{"betas": (0, 1.0)}]}
    wide = torch.float32 if legacy else torch.uint16  # which files of old do not know
    given = {
        "model": net.state_dict(),
        "optimizer": optimizer,
        "epoch": 3,
        "big": 2**70,
        "none": None,
        "parts": [1.5, "text", True, (2, "a")],
        "parameter": net[0].weight,
        "type": torch.float16,
        "part": torch.arange(12.0).reshape(3, 4)[1:, ::2],
        "empty": torch.zeros(0, 3),
        "half": torch.ones(2).half(),
        "wide": torch.zeros(1).expand(5),
        "set": {1, "a"},
        "bytes": b"\x80a",
        "complex": 1 + 2j,
        "new": torch.ones(2, dtype=wide),
    }
    path = tmp_path / "x.pt"
    torch.save(given, path, _use_new_zipfile_serialization=not legacy)
    found = READERS[".pt"](path)
    assert found.keys() == given.keys() and found["parts"] == given["parts"] and found["big"] == 2**70
    for name, value in given.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(found[name], value)
    assert all(torch.equal(found["model"][name], value) for name, value in net.state_dict().items())


@pytest.mark.parametrize("legacy", [False, True])
def test_damaged_bytes_of_a_torch_file_give_one_sentence(tmp_path, legacy):
    path = tmp_path / "x.pt"
    torch.save({"w": torch.ones(3)}, path, _use_new_zipfile_serialization=not legacy)
    data = path.read_bytes()
    refused = 0
    for place in range(0, len(data), 3 if legacy else 11):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            READERS[".pt"](path)
        except BitloomError as error:
            assert len(str(error)) < 400
            refused += 1
        path.write_bytes(data[:place])
        refusal(path)
    assert refused


def test_text_archives_and_other_zips_are_no_weights(tmp_path):
    path = tmp_path / "x.pt"
    path.write_bytes(zipped({"a/data.pkl": b"\x80\2}.", "a/constants.pkl": b"\x80\2)."}, zipfile.ZIP_DEFLATED))
    assert refusal(path) == "is a TorchScript archive; save them again"
    path.write_bytes(zipped({"a.txt": b"a"}))
    assert "that torch.save did not write" in refusal(path)
    path.write_bytes(zipped({"a/data.pkl": b"\x80\2}."}, zipfile.ZIP_DEFLATED))
    assert "it is packed, which torch.save does not do" in refusal(path)


def header(values, body=b"\0" * 12):
    text = values if isinstance(values, bytes) else json.dumps(values).encode()
    return len(text).to_bytes(8, "little") + text + body


ENTRY = {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}
BAD_SAFETENSORS = {
    "header beyond the file": b"\xff\xff\0\0\0\0\0\0{}",
    "header of exabytes": b"\xff" * 8 + b"{}",
    "no JSON": header(b"{'a'}"),
    "deep JSON": header(b'{"a":' + b"[" * 200_000),
    "shape": header({"w": {**ENTRY, "shape": [4]}}),
    "huge shape": header({"w": {**ENTRY, "shape": [2**62, 4]}}),
    "negative shape": header({"w": {**ENTRY, "shape": [-3]}}),
    "type": header({"w": {**ENTRY, "dtype": "F33"}}),
    "offsets": header({"w": {**ENTRY, "data_offsets": [0, 2**60]}}),
    "overlap": header({"w": ENTRY, "v": ENTRY}),
    "missing": header({"w": {"dtype": "F32"}}),
    "list": header([1]),
}


@pytest.mark.parametrize("case", BAD_SAFETENSORS)
def test_damaged_safetensors_are_refused(tmp_path, case):
    path = tmp_path / "x.safetensors"
    path.write_bytes(BAD_SAFETENSORS[case])
    assert refusal(path).startswith("cannot be read as a .safetensors file (")


def test_safetensors_are_read(tmp_path):
    path = tmp_path / "x.safetensors"
    given = {"w": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.bfloat16)}
    path.write_bytes(save(given))
    found = read_safetensors(path)
    assert found.keys() == given.keys() and all(torch.equal(found[name], given[name]) for name in given)


def test_foreign_text_is_shortened_and_escaped():
    assert plain("a\x1b[31m\n\u202eb\udc80") == r"a\x1b[31m\n\u202eb\udc80"
    assert plain("é" * 200) == "é" * 77 + "..." and plain("x" * 80) == "x" * 80
    assert listed("abcdef") == "a, b, c, d, e and 1 more" and listed(["x" * 99], limit=10) == "xxxxxxx..."
    assert shown(f"{'d' * 300}/\x1bname.npy").endswith(r"/\x1bname.npy") and len(shown("d" * 999)) == 160
