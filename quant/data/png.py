"""A small PNG reader: 8-bit grey, grey with alpha, RGB and RGBA, not interlaced; alpha is dropped."""

import struct
import zlib
from pathlib import Path

import numpy as np

from accel.errors import DataError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_SIDE = 16384
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}


def read_png(path):
    """uint8 [H, W, C] with C = 1 or 3. Raises DataError for a damaged file or another kind of PNG."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    if not data.startswith(SIGNATURE):
        raise DataError(f"{path}: is not a PNG file")
    try:
        header, packed = _chunks(data)
        width, height, depth, kind, _, _, interlace = struct.unpack(">IIBBBBB", header)
        if depth != 8 or kind not in _CHANNELS or interlace:
            raise DataError(f"{path}: is a PNG of bit depth {depth}, colour type {kind}, interlace "
                            f"{interlace}; save it as plain 8-bit grey or RGB")
        if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
            raise DataError(f"{path}: is {width} x {height} pixels, at most {MAX_SIDE} a side are allowed")
        channels = _CHANNELS[kind]
        size = height * (1 + width * channels)
        raw = zlib.decompressobj().decompress(packed, size)
        if len(raw) != size:
            raise DataError(f"{path}: holds {len(raw)} bytes of pixels, expected {size}; the file is damaged")
        pixels = _unfilter(np.frombuffer(raw, np.uint8).reshape(height, -1), channels)
    except (struct.error, zlib.error, ValueError) as error:
        raise DataError(f"{path}: is damaged ({error}); save it again") from error
    return pixels.reshape(height, width, channels)[..., :3 if channels >= 3 else 1]


def _chunks(data):
    """(header, joined pixel data); every chunk's CRC is checked."""
    place, header, parts = len(SIGNATURE), b"", []
    while place + 12 <= len(data):
        size, = struct.unpack_from(">I", data, place)
        kind, body = data[place + 4:place + 8], data[place + 8:place + 8 + size]
        crc = data[place + 8 + size:place + 12 + size]
        if len(crc) != 4 or zlib.crc32(kind + body) != int.from_bytes(crc, "big"):
            raise ValueError(f"chunk {kind!r} fails its CRC")
        if kind == b"IHDR":
            header = body
        elif kind == b"IDAT":
            parts.append(body)
        place += 12 + size
    return header, b"".join(parts)


def _unfilter(rows, step):
    """Undo the five PNG row filters. rows: uint8 [H, 1 + W*C], the filter first; step: bytes per pixel."""
    previous = np.zeros(rows.shape[1] - 1, np.int64)
    result = np.empty((len(rows), len(previous)), np.uint8)
    for index, row in enumerate(rows):
        kind, line = int(row[0]), row[1:].astype(np.int64)
        if kind > 4:
            raise ValueError(f"unknown row filter {kind}")
        if kind == 2:
            line = (line + previous) & 255
        elif kind:
            for x in range(len(line)):
                left = line[x - step] if x >= step else 0
                corner = previous[x - step] if x >= step else 0
                line[x] = (line[x] + _predict(kind, int(left), int(previous[x]), int(corner))) & 255
        result[index] = previous = line
    return result


def _predict(kind, left, above, corner):
    if kind == 1:
        return left
    if kind == 3:
        return (left + above) // 2
    estimate = left + above - corner
    distances = (abs(estimate - left), abs(estimate - above), abs(estimate - corner))
    return (left, above, corner)[distances.index(min(distances))]
