"""Data sets as plain arrays, without torch: MNIST, Fashion-MNIST and the shipped digits; nothing is
downloaded.

A data set is looked for in the folder given and nowhere else; without one in $BITLOOM_DATA, then in the user's
cache folder. Within a folder both `mnist/FILE` and `FILE` are accepted, each with or without `.gz`. The content is
checked against the known MD5 sums after decompression.
"""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from accel import folders
from accel.checks import shown
from accel.errors import DataError
from quant.data.images import read_images
from quant.data.loaders import load_user_data
from quant.data.user_code import is_user_code
from quant.files.door import opened

if TYPE_CHECKING:
    from collections.abc import Callable

    from accel.types import Array, Bytes, Ints, StrPath

ZOO = Path(__file__).resolve().parents[1] / "zoo"

_NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_COUNTS = {"train": 60000, "test": 10000}
_MD5 = {
    "mnist": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}
_SOURCES = {
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "fashion_mnist": "https://github.com/zalandoresearch/fashion-mnist/tree/master/data/fashion",
}
CLASS_NAMES = {
    "mnist": tuple("0123456789"),
    "digits": tuple("0123456789"),
    "fashion_mnist": ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"),
}
NAMES = ("mnist", "fashion_mnist", "digits")


def search_folders(data_dir: StrPath | None = None) -> list[Path]:
    """Folders in which a data set is looked for, in order. A folder given explicitly is the only one."""
    if data_dir is not None:
        return [Path(data_dir)]
    named = os.environ.get("BITLOOM_DATA")
    return [*([Path(named)] if named else []), folders.user_cache()]


def load(name: str, data_dir: StrPath | None = None, split: str = "test") -> tuple[Array, Ints | None]:
    """Load a data set: (images uint8 [N, H, W, C], labels int64 [N]).

    name: 'mnist', 'fashion_mnist', or 'digits' (the shipped MNIST test digits; they have one split only).
    Raises DataError when the name is unknown, a file is missing (says what to fetch and where to put it) or
    damaged.
    """
    if name == "digits":
        images, labels = read_images(ZOO / "digits" / "digits.npz")
        return images, labels
    if name not in _MD5:
        raise DataError(f"data set '{name}' is unknown; choose one of {', '.join(NAMES)}")
    if split not in _NAMES:
        raise DataError(f"data set {name}: split '{split}' is unknown; choose train or test")
    image_name, label_name = _NAMES[split]
    count = _COUNTS[split]
    images = _read_idx(_find(name, image_name, data_dir), (count, 28, 28), _MD5[name][image_name])
    codes = _read_idx(_find(name, label_name, data_dir), (count,), _MD5[name][label_name])
    return images[..., None], codes.astype(np.int64)


def load_images(
    source: StrPath,
    data_dir: StrPath | None = None,
    split: str = "test",
    count: int | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> tuple[Array, Ints | None]:
    """(images [N, H, W, C], labels int64 [N] or None) of a data set's test split, of a .npy, .npz or .png file, or of
    a user's loader `file.py:loader` or `package.module:loader`.

    Images are uint8, or float32 where the source holds floats. split, count, advance: for the loader, as
    `load_user_data` takes them. Raises DataError for anything that cannot be read.
    """
    source = os.fspath(source)
    if source in NAMES:
        return load(source, data_dir)
    is_there = os.path.exists(source)
    if not is_there and is_user_code(source):
        return load_user_data(source, split, count, advance)
    if not is_there:
        raise DataError(
            f"images '{shown(source)}': neither a file nor a data set ({', '.join(NAMES)}); give a .npy, "
            ".npz or .png file, or package.module:loader"
        )
    return read_images(source)


def _find(name: str, file_name: str, data_dir: StrPath | None) -> Path:
    searched = search_folders(data_dir)
    for folder in searched:
        for place in (folder / name, folder):
            for candidate in (place / f"{file_name}.gz", place / file_name):
                if candidate.is_file():
                    return candidate
    places = ", ".join(str(folder) for folder in searched)
    raise DataError(
        f"data set {name}: {file_name}.gz not found (searched {places}); fetch it from "
        f"{_SOURCES[name]} "
        f"and put it into {searched[0] / name} or name its folder with --data-dir or "
        "$BITLOOM_DATA"
    )


def _read_idx(path: Path, shape: tuple[int, ...], md5: str) -> Bytes:
    """The uint8 array of an IDX file after checking size, header and MD5 of its content."""
    header = b"\0\0\x08" + bytes([len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
    expected = len(header) + int(np.prod(shape))
    with opened(path, "an IDX file", "fetch it again") as (stream, _):
        content = (gzip.open(stream) if path.suffix == ".gz" else stream).read(expected + 1)
    if len(content) != expected or not content.startswith(header):
        raise DataError(f"{path}: is not the expected IDX file of shape {shape}, {expected} bytes; fetch it again")
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if digest != md5:
        raise DataError(f"{path}: content has MD5 {digest}, expected {md5}; the file is damaged, fetch it again")
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)
