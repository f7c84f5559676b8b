"""Damaged weight, image and checkpoint files: one from a seed, and the door that must answer it with a result or with
one sentence."""

import gzip
import io
import re
import struct
import zipfile
import zlib
from functools import cache

import numpy as np
from PIL import Image
from safetensors.numpy import save as safetensors_bytes

from quant.data import datasets
from quant.models.loop import Checkpoint
from quant.models.sources import load_float_model, user_model
from quant.models.train import TrainingOptions, train

NETWORK = """from torch import nn


def net():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
"""
SHAPES = {"0.weight": (2, 1, 3, 3), "0.bias": (2,), "3.weight": (3, 8), "3.bias": (3,)}
FORMATS = (
    ("weights", ".npz"),
    ("weights", ".pt"),
    ("weights", ".pth"),
    ("weights", ".ckpt"),
    ("weights", ".safetensors"),
    ("images", ".npy"),
    ("images", ".npz"),
    ("images", ".png"),
    ("checkpoint", ".pt"),
    ("data set", ".gz"),
)
DATA_FILE = "mnist/t10k-images-idx3-ubyte.gz"
OPTIONS = TrainingOptions(epochs=1, batch=4, augment=0.0)
_NUMBERS = (b"0", b"-1", b"65536", b"2147483648", b"99999999999999999999", b"1e9", b"True", b"()")


def damaged_file(rng, folder):
    """(path, kind) of a new damaged file in an existing folder; equal states of the numpy Generator give equal bytes.

    The folder gets `net.py` too, the network of the weights.
    """
    (folder / "net.py").write_text(NETWORK, encoding="utf-8")
    kind, suffix = FORMATS[rng.integers(len(FORMATS))]
    data = _good(rng, kind, suffix, folder)
    for _ in range(rng.integers(1, 4)):
        data = DAMAGES[rng.integers(len(DAMAGES))](rng, data)
    if rng.random() < 0.05 and kind != "data set":  # a file of one format under the name of another
        suffix = rng.choice([other for same, other in FORMATS if same == kind])
    path = folder / (DATA_FILE if kind == "data set" else f"damaged{suffix}")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path, kind


def warm_up(folder):
    """Do in advance what would make the first file slow: import what trains, and train the network of checkpoints."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "net.py").write_text(NETWORK, encoding="utf-8")
    _checkpoint(folder)


def open_it(path, kind):
    """Read a file of `damaged_file` as the commands do. Raises BitloomError where it is refused."""
    network = f"{path.parent}/net.py:net"
    if kind == "weights":
        load_float_model(network, path)
    elif kind == "images":
        datasets.load_images(path)
    elif kind == "checkpoint":
        train(user_model(network), *_images(), OPTIONS, checkpoint=Checkpoint(path, {"model": "net"}, resume=True))
    else:
        datasets.load("mnist", path.parents[1])


def _images():
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (4, 4, 4, 1), np.uint8), rng.integers(0, 3, 4)


def _good(rng, kind, suffix, folder):
    """The bytes of a file as the project or a user writes it."""
    if kind == "checkpoint":
        return _checkpoint(folder)
    if kind == "data set":
        return gzip.compress(b"\0\0\x08\3" + struct.pack(">3I", 10000, 28, 28) + bytes(1000), mtime=0)
    stream = io.BytesIO()
    if kind == "images":
        pixels = rng.integers(0, 256, (3, 6, 6, rng.choice([1, 3])), np.uint8)
        if suffix == ".png":
            Image.fromarray(np.squeeze(pixels[0])).save(stream, "PNG")
        elif suffix == ".npy":
            np.save(stream, pixels if rng.random() < 0.5 else pixels.astype(rng.choice(["<f4", ">f8", "<f2"])))
        else:
            np.savez_compressed(stream, images=pixels, labels=np.arange(3))
        return stream.getvalue()
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
    if suffix == ".npz":
        np.savez(stream, **arrays)
        return stream.getvalue()
    if suffix == ".safetensors":
        return safetensors_bytes(arrays)
    return _legacy(arrays) if suffix == ".pth" else _archive(arrays, suffix == ".ckpt")


@cache
def _checkpoint(folder):
    path = folder / "good.pt"
    train(user_model(f"{folder}/net.py:net"), *_images(), OPTIONS, checkpoint=Checkpoint(path, {"model": "net"}))
    return path.read_bytes()


def _text(text):
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def _state(arrays, more):
    """The steps of a pickle that make a dictionary of tensors. more: what a storage's name has behind it."""
    steps = b"}("
    for index, (name, array) in enumerate(arrays.items()):
        tensor = b"(" + b"".join(b"K%c" % side for side in array.shape) + b"t("
        tensor += b"".join(b"K%c" % (step // 4) for step in array.strides) + b"t\x89ccollections\nOrderedDict\n)R"
        storage = b"((" + _text("storage") + b"ctorch\nFloatStorage\n" + _text(str(index)) + _text("cpu")
        steps += _text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n" + storage + b"K%c" % array.size + more + b"tQK\0"
        steps += tensor + b"tR"
    return steps + b"u"


def _archive(arrays, wrapped):
    """A file of torch.save, as it is today."""
    state = _state(arrays, b"")
    state = b"}" + _text("state_dict") + state + b"s" if wrapped else state
    return _zip(
        {
            "w/data.pkl": b"\x80\2" + state + b".",
            "w/byteorder": b"little",
            "w/version": b"3\n",
            **{f"w/data/{index}": array.tobytes() for index, array in enumerate(arrays.values())},
        }
    )


def _legacy(arrays):
    """A file of torch.save, as it was before torch 1.6."""
    parts = [
        b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19",
        b"M\xe9\3",
        b"}",
        _state(arrays, b"N"),
        b"](" + b"".join(_text(str(index)) for index in range(len(arrays))) + b"e",
    ]
    storages = b"".join(struct.pack("<Q", array.size) + array.tobytes() for array in arrays.values())
    return b"".join(b"\x80\2" + part + b"." for part in parts) + storages


def _zip(members, method=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return stream.getvalue()


def _place(rng, data):
    """A place in the data; more often near an end, where headers and directories are."""
    if rng.random() < 0.5:
        return int(rng.integers(len(data) + 1))
    return int(min(len(data), rng.integers(200))) if rng.random() < 0.6 else max(0, len(data) - int(rng.integers(200)))


def _flip(rng, data):
    data = bytearray(data)
    for _ in range(rng.integers(1, 9)):
        if data:
            data[_place(rng, data) % len(data)] ^= 1 << int(rng.integers(8))
    return bytes(data)


def _cut(rng, data):
    return data[: _place(rng, data)]


def _field(rng, data):
    """A number of 1, 2, 4 or 8 bytes becomes an extreme one."""
    size, top = ((1, 7), (2, 15), (4, 31), (8, 63))[rng.integers(4)]
    value = (0, 1, (1 << top) - 1, 1 << top, (2 << top) - 1)[rng.integers(5)]
    at = _place(rng, data)
    return data[:at] + value.to_bytes(size, ("little", "big")[rng.integers(2)]) + data[at + size :]


def _digits(rng, data):
    """A number written as text becomes another one."""
    runs = list(re.finditer(rb"\d+", data[:100_000]))
    if not runs:
        return data
    run = runs[rng.integers(len(runs))]
    return data[: run.start()] + _NUMBERS[rng.integers(len(_NUMBERS))] + data[run.end() :]


def _splice(rng, data):
    """A run of bytes is left out, doubled, or put elsewhere."""
    start, length, to = _place(rng, data), int(rng.integers(1, 64)), _place(rng, data)
    run = data[start : start + length]
    kind = rng.integers(3)
    if kind == 0:
        return data[:start] + data[start + length :]
    return data[:to] + run * (1 if kind == 1 else 50) + data[to:]


def _inside(rng, data):
    """A member of an archive, or a chunk of a picture, is damaged and its checksum made right again."""
    if data.startswith(b"PK\3\4"):
        return _inside_archive(rng, data)
    chunks = list(re.finditer(rb"IHDR|PLTE|IDAT|IEND", data))
    if not data.startswith(b"\x89PNG") or not chunks:
        return data
    at = chunks[rng.integers(len(chunks))].start()
    size = int.from_bytes(data[at - 4 : at], "big")
    body = _simple(rng, data[at + 4 : at + 4 + size])
    if data[at : at + 4] == b"IDAT" and rng.random() < 0.5:
        body = zlib.compress(rng.bytes(200))
    check = zlib.crc32(data[at : at + 4] + body)
    return (
        data[: at - 4]
        + struct.pack(">I", len(body))
        + data[at : at + 4]
        + body
        + struct.pack(">I", check)
        + data[at + 8 + size :]
    )


def _inside_archive(rng, data):
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # an earlier damage has made it unreadable
        return data
    names = list(members)
    if not names:
        return data
    name = names[rng.integers(len(names))]
    if rng.random() < 0.1:
        members[_simple(rng, name.encode()).decode("latin-1")] = members.pop(name)
    else:
        members[name] = _simple(rng, members[name])
    return _zip(members, zipfile.ZIP_DEFLATED if rng.random() < 0.2 else zipfile.ZIP_STORED)


def _simple(rng, data):
    return (_flip, _cut, _field, _digits, _splice)[rng.integers(5)](rng, data)


DAMAGES = (_flip, _cut, _field, _digits, _splice, _inside, _inside)
