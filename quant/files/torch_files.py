"""Files of torch.save (.pt, .pth, .ckpt): checked, then read by torch.load(weights_only=True)."""

from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING

import torch

from accel.checks import plain, shown
from accel.errors import DataError
from quant.files.archive import members
from quant.files.door import opened
from quant.files.pickles import MAX_STEPS, Foreign, foreign, outline

if TYPE_CHECKING:
    from typing import Any, BinaryIO

    from accel.types import StrPath
    from quant.files.pickles import Named

MAX_PICKLE_BYTES = 1 << 23
_ZIP, _LEGACY = b"PK\3\4", b"\x80\2"
_LEGACY_STEPS = 10, 10, 100, MAX_STEPS, MAX_STEPS
_MAGIC = 0x1950A86A20F9469CFC6C
_KINDS = {
    "_rebuild_qtensor": "a quantized tensor",
    "_rebuild_sparse_tensor": "a sparse tensor",
    "_rebuild_meta_tensor_no_storage": "a meta tensor (without values)",
    "_rebuild_nested_tensor": "a nested tensor",
    "_rebuild_from_type_v2": "a tensor of a class of its own",
    "_rebuild_wrapper_subclass": "a tensor of a class of its own",
}


def read_torch(path: StrPath, what: str, remedy: str, convert: str | None = None) -> Any:
    """What torch.save wrote to a file, on the CPU; no code in it is executed.

    what, remedy: for messages; convert: the remedy where it holds objects beside the tensors. Raises DataError where it
    holds other objects than plain values and dense tensors, where a checksum is wrong, or where it would take more
    memory than the file's own size.
    """
    with opened(path, what, remedy) as (stream, size):
        start = stream.read(4)
        stream.seek(0)
        if start.startswith(_ZIP):
            found = _check_archive(path, stream, remedy)
        elif start.startswith(_LEGACY):
            found = _check_legacy(stream, size)
        else:
            raise ValueError("it does not begin as files of torch.save do")
        for place, value in foreign(found):
            raise DataError(_refusal(path, place, value, convert if convert and place else remedy))
        stream.seek(0)
        try:
            return torch.load(stream, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:  # says how to execute what is in the file
            raise ValueError("torch.load(weights_only=True) refuses it") from None


def _check_archive(path: StrPath, stream: BinaryIO, remedy: str) -> object:
    """The outline of a zip archive's pickle, after all checksums. Raises DataError, ValueError."""
    archive, entries = members(path, stream)
    if any(name.endswith("/constants.pkl") for name in entries):
        raise DataError(f"{shown(path)}: is a TorchScript archive; {remedy}")
    pickles = [entry for name, entry in entries.items() if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ValueError("it is a zip archive that torch.save did not write")
    if any(entry.compress_type for entry in entries.values()):
        raise ValueError("it is packed, which torch.save does not do")
    if pickles[0].file_size > MAX_PICKLE_BYTES:
        raise ValueError(f"its description takes {pickles[0].file_size} bytes, more than {MAX_PICKLE_BYTES}")
    if (damaged := archive.testzip()) is not None:
        raise ValueError(f"{plain(damaged, 40)} in it fails its checksum")
    return outline(io.BytesIO(archive.read(pickles[0])))[0]


def _check_legacy(stream: BinaryIO, size: int) -> object:
    """The outline of a file of torch before 1.6: magic number, version, system, object and names of storages, each a
    pickle of its own, then the storages. Raises ValueError."""
    (magic, _), _, _, (found, storages), _ = (outline(stream, most) for most in _LEGACY_STEPS)
    if magic != _MAGIC:
        raise ValueError("it does not begin as files of torch.save do")
    elements = sum(storage.elements for storage in storages.values())
    if elements > size:
        raise ValueError(f"its tensors have {elements} elements, the file {size} bytes")
    return found


def _refusal(path: StrPath, place: str, value: Foreign | Named, remedy: str) -> str:
    module, _, name = value.name.partition(" ")
    where = f"at {plain(place, 60)} " if place else ""
    if name in _KINDS:
        return f"{shown(path)}: holds {where}{_KINDS[name]}; give dense tensors of floats"
    if not place and isinstance(value, Foreign):
        return f"{shown(path)}: is a pickled object of {plain(f'{module}.{name}')}, which is never executed; {remedy}"
    return f"{shown(path)}: holds {where}a pickled {plain(f'{module}.{name}')}, which is never executed; {remedy}"
