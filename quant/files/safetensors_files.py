"""Tensors of .safetensors files, by their own library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel.start import need
from quant.files.door import opened

if TYPE_CHECKING:
    import torch

    from accel.types import StrPath

MAX_HEADER_BYTES = 1 << 22
REMEDY = "save it again with safetensors.torch.save_file"


def read_safetensors(path: StrPath) -> dict[str, torch.Tensor]:
    """{name: tensor} of a .safetensors file. Raises DataError, TargetError where the package is missing."""
    need("safetensors")
    from safetensors.torch import load_file

    with opened(path, "a .safetensors file", REMEDY) as (stream, _):
        header = int.from_bytes(stream.read(8), "little")
        if header > MAX_HEADER_BYTES:
            raise ValueError(f"its header takes {header} bytes, more than {MAX_HEADER_BYTES}")
        return load_file(path)  # maps the file into memory, where reading it takes the memory twice
