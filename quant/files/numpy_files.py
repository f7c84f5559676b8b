"""Arrays of .npy and .npz files; nothing is unpickled, and a header's promise is held against the bytes behind it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from numpy.lib import format as npy

from accel.checks import plain, shown
from accel.errors import DataError
from quant.files.archive import members
from quant.files.door import check_size, opened

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import IO

    from accel.types import Array, StrPath

REMEDY = "save it again with numpy, without objects"
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npy(path: StrPath) -> Array:
    """The array of an .npy file. Raises DataError."""
    with opened(path, "an .npy file", REMEDY) as (stream, size):
        return _array(path, "the array", stream, size)


def read_npz(path: StrPath, names: Collection[str] | None = None) -> dict[str, Array]:
    """{name: array} of an .npz file, all, or those among `names` that it has. Raises DataError."""
    with opened(path, "an .npz file", REMEDY) as (stream, _):
        archive, entries = members(path, stream)
        found = {}
        for file_name, entry in entries.items():
            name = file_name.removesuffix(".npy")
            if name == file_name:
                raise DataError(
                    f"{shown(path)}: {plain(file_name, 40)} in it is no array; save it again with numpy.savez"
                )
            if names is None or name in names:
                with archive.open(entry) as member:
                    found[name] = _array(path, plain(name, 40), member, entry.file_size)
        return found


def _array(path: StrPath, what: str, stream: IO[bytes], size: int) -> Array:
    """The array of a stream of `size` bytes; header and size are checked before memory is taken."""
    version = npy.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"unknown format version {version}")
    shape, _, dtype = _HEADERS[version](stream)
    if dtype.hasobject:
        raise DataError(f"{shown(path)}: {what} holds Python objects, which are never executed; save plain numbers")
    if not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError(f"shape {shape}")
    declared, held = math.prod(shape) * max(dtype.itemsize, 1), size - stream.tell()
    check_size(path, f"{what} has shape {plain(shape, 40)} of", declared)
    if declared != held:
        raise DataError(
            f"{shown(path)}: {what} has shape {plain(shape, 40)} of {declared} bytes but {held} bytes follow; {REMEDY}"
        )
    stream.seek(0)
    return npy.read_array(stream, allow_pickle=False)
