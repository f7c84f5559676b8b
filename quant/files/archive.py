"""Zip archives of arrays (.npz, .pt): their members, checked before any is unpacked."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

from accel.checks import plain, shown
from accel.errors import DataError
from quant.files.door import check_size

if TYPE_CHECKING:
    from typing import BinaryIO

    from accel.types import StrPath

MAX_MEMBERS = 10_000
_ENTRY = b"PK\1\2"  # begins the description of one member
_BLOCK = 1 << 24


def members(path: StrPath, stream: BinaryIO) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
    """(ZipFile, {name: ZipInfo}) of an open file: no more members, bytes and ways of packing than arrays need.

    Raises DataError for a bomb or an encrypted member, whatever zipfile raises for a damaged archive.
    """
    _check_count(path, stream)
    archive = zipfile.ZipFile(stream)
    found = {}
    for entry in archive.infolist():
        name = plain(entry.filename, 40)
        if entry.flag_bits & 1:
            raise DataError(f"{shown(path)}: {name} is encrypted; save the file again without a password")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(f"{shown(path)}: {name} is packed by method {entry.compress_type}; save the file again")
        if entry.filename in found:
            raise DataError(f"{shown(path)}: holds {name} twice; save the file again")
        found[entry.filename] = entry
    check_size(path, "holds", sum(entry.file_size for entry in found.values()))
    return archive, found


def _check_count(path: StrPath, stream: BinaryIO) -> None:
    """The number of members, found without making an object of each."""
    count, rest = 0, b""
    while block := stream.read(_BLOCK):
        count += (rest + block).count(_ENTRY)
        rest = block[1 - len(_ENTRY) :]
    stream.seek(0)
    if count > MAX_MEMBERS:
        raise DataError(f"{shown(path)}: holds {count} arrays, at most {MAX_MEMBERS} are allowed; split the file")
