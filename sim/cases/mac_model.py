"""What the MAC array computes, in plain integers: bytes of channels, dot products, exact weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from numpy.typing import ArrayLike

EXTREME_CODES = {8: (0x80, 0x7F, 0xFF), 4: (0x8, 0x7, 0xF), 2: (0x2, 0x1, 0x3), 1: (0, 1)}


def channels(byte: int, bits: int) -> list[int]:
    """Values of the 8 / bits channels of a byte, the lowest channel first; 1 bit: +1 and -1."""
    codes = [byte >> bits * i & 2**bits - 1 for i in range(8 // bits)]
    if bits == 1:
        return [2 * code - 1 for code in codes]
    return [code - (code >> bits - 1 << bits) for code in codes]


def byte_dot(x: int, w: int, bits: int) -> int:
    """What a byte of activations and one of weights add to an accumulator, without offset: binary 2 * equal bits."""
    if bits == 1:
        return 2 * (~(x ^ w) & 0xFF).bit_count()
    return sum(a * b for a, b in zip(channels(x, bits), channels(w, bits), strict=True))


def dot(x: Iterable[int], w: Iterable[int], bits: int) -> int:
    """Sum of byte_dot over two sequences of bytes."""
    return sum(byte_dot(a, b, bits) for a, b in zip(x, w, strict=True))


def pack(values: ArrayLike, bits: int = 8) -> int:
    """One integer of `values`, the first one in the low bits."""
    return sum((int(value) % 2**bits) << bits * i for i, value in enumerate(np.ravel(values)))


def random_byte(rng: Random, bits: int, limits: tuple[int, int] | None = None, kind: str = "random") -> int:
    """A byte of channels: random, or "extreme" ones. limits: (lowest, highest) weight that is exact."""
    byte = 0
    for i in range(8 // bits):
        code = rng.choice(EXTREME_CODES[bits]) if kind == "extreme" else rng.getrandbits(bits)
        value = channels(code, bits)[0] if bits > 1 else 0
        if limits is not None and bits > 1 and not limits[0] <= value <= limits[1]:
            code = limits[0] % 2**bits
        byte |= code << bits * i
    return byte
