"""Float32 bit patterns for the tests of the float blocks: every class, ties and their neighbours, random patterns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random
    from typing import SupportsFloat

    from accel.types import Floats

INFINITY, NAN = 0x7F800000, 0x7FC00000
EDGES = (
    0,
    1,
    2,
    3,
    0x400000,
    0x7FFFFF,
    0x800000,
    0x800001,
    0xFFFFFF,
    0x1000000,
    0x3EFFFFFF,
    0x3F000000,
    0x3F000001,
    0x3F7FFFFF,
    0x3F800000,
    0x3F800001,
    0x3FC00000,
    0x40200000,
    0x42FF0000,
    0x43000000,
    0x7E800000,
    0x7F000000,
    0x7F7FFFFE,
    0x7F7FFFFF,
    INFINITY,
    0x7F800001,
    NAN,
    0x7FFFFFFF,
)


def bits_of(value: SupportsFloat) -> int:
    """Bit pattern of a number as float32."""
    return int(np.float32(value).view(np.uint32))


def float_of(bits: int) -> np.float32:
    """float32 with this bit pattern."""
    return np.uint32(bits).view(np.float32)


def floats(patterns: Sequence[int]) -> Floats:
    """float32 array of bit patterns."""
    return np.array(patterns, dtype=np.uint32).view(np.float32)


def is_nan(bits: int) -> bool:
    return bits & 0x7FFFFFFF > INFINITY


def random_pattern(rng: Random) -> int:
    """Any class: edge values, exponents around 1, subnormals, everything."""
    kind = rng.randrange(5)
    sign = rng.getrandbits(1) << 31
    if kind == 0:
        return sign | rng.choice(EDGES)
    if kind == 1:
        return sign | rng.randint(110, 140) << 23 | rng.getrandbits(23)
    if kind == 2:
        return sign | rng.getrandbits(rng.randint(1, 24))
    if kind == 3:
        return sign | rng.randrange(256) << 23 | rng.choice((0, 1, 0x400000, 0x7FFFFF))
    return rng.getrandbits(32)


def around_ties(inv_scale: float, highest: int, spread: int = 1) -> list[int]:
    """Patterns whose products with inv_scale lie at the half-integers up to highest, and their neighbours.

    Both signs; `spread` float32 steps around the quotient half / inv_scale.
    """
    halves = np.arange(0, 2 * highest + 2, dtype=np.float64) / 2
    with np.errstate(over="ignore"):
        centre = (halves / np.float64(np.float32(inv_scale))).astype(np.float32).view(np.uint32).astype(np.int64)
    near = (centre[:, None] + np.arange(-spread, spread + 1)).ravel()
    near = near[(near >= 0) & (near <= INFINITY)]
    return [int(bits) | sign << 31 for bits in near for sign in (0, 1)]
