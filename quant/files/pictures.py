"""PNG pictures as arrays, decoded by pillow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from accel.checks import shown
from accel.errors import DataError
from accel.start import need
from quant.files.door import opened

if TYPE_CHECKING:
    from typing import BinaryIO

    from accel.types import Bytes, StrPath

MAX_PIXELS = 1 << 24
MAX_CHUNKS = 1 << 16
_SIGNATURE_BYTES = 8
_DEPTH_AT = 24  # place of the bit depth: behind signature, length, "IHDR", width and height
REMEDY = "save it again as an 8-bit PNG"


def read_png(path: StrPath) -> Bytes:
    """uint8 [H, W, C] of a PNG file with C = 1 or 3; palettes become colours, transparency is dropped.

    Raises DataError for a damaged, huge, animated or 16-bit picture, TargetError where pillow is missing.
    """
    need("pillow", alone=True)
    from PIL.PngImagePlugin import PngImageFile

    with opened(path, "a PNG file", REMEDY) as (stream, _):
        _check_chunks(path, stream)
        picture = PngImageFile(stream)
        width, height = picture.size
        if width * height > MAX_PIXELS:
            raise DataError(
                f"{shown(path)}: is {width} x {height} pixels, at most {MAX_PIXELS} in all are allowed; "
                "give a smaller picture"
            )
        if getattr(picture, "is_animated", False):
            raise DataError(f"{shown(path)}: is an animation of {picture.n_frames} pictures; save one of them")
        picture.verify()  # every checksum; it leaves the picture unusable
        stream.seek(_DEPTH_AT)
        if (depth := stream.read(1)[0]) > 8:
            raise DataError(f"{shown(path)}: has {depth} bits per value; {REMEDY}")
        stream.seek(0)
        picture = PngImageFile(stream)
        is_grey = picture.mode in ("1", "L", "LA")
        pixels = np.asarray(picture.convert("L" if is_grey else "RGB"))
    return pixels.reshape(height, width, -1)


def _check_chunks(path: StrPath, stream: BinaryIO) -> None:
    """Raise DataError for a file of so many parts that walking over them takes long."""
    stream.seek(_SIGNATURE_BYTES)
    for _ in range(MAX_CHUNKS):
        head = stream.read(8)
        if len(head) < 8 or head.endswith(b"IEND"):
            stream.seek(0)
            return
        stream.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)
    raise DataError(f"{shown(path)}: has more than {MAX_CHUNKS} chunks; {REMEDY}")
