"""Scales from observed ranges, and dequantization: float32, one correctly rounded operation after the other.

The hardware's range observer, scale generator and dequantizer are compared with this file to the bit. Everything that
is called float32 here is rounded to nearest, ties to even, subnormals included, as IEEE 754 says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from accel.errors import ModelError, RangeError
from accel.fixedpoint import qrange
from accel.names import ACTIVATION_BITS

if TYPE_CHECKING:
    from typing import SupportsFloat

    from numpy.typing import ArrayLike

    from accel.types import Floats

ONE, ZERO, INFINITY = np.float32(1), np.float32(0), np.float32(np.inf)


class Scale(NamedTuple):
    """What the quantizer needs: real = scale * (q - zero_point), inv_scale = 1 / scale in float32."""

    scale: np.float32
    inv_scale: np.float32
    zero_point: int


class Range(NamedTuple):
    """Smallest and largest value, largest magnitude, and whether a NaN was seen (it counts for nothing else)."""

    minimum: np.float32
    maximum: np.float32
    abs_max: np.float32
    nan: bool


def observe(values: ArrayLike) -> Range:
    """Range of float32 values: NaN is ignored, -0 counts as 0; of no value at all (inf, -inf, 0)."""
    values = np.asarray(values, dtype=np.float32).ravel()
    usable = values[~np.isnan(values)] + ZERO  # -0 + 0 = +0
    minimum = usable.min(initial=INFINITY)
    maximum = usable.max(initial=-INFINITY)
    abs_max = np.abs(usable).max(initial=ZERO)
    return Range(minimum, maximum, abs_max, len(usable) < len(values))


def scale_steps(bits: int, symmetric: bool) -> int:
    """The divisor of the range: 2^(bits-1) - 1 symmetric, 2^bits - 1 affine; 1 bit is symmetric with divisor 1."""
    if bits not in ACTIVATION_BITS:
        raise ModelError(f"bits={bits} must be one of {', '.join(map(str, ACTIVATION_BITS))}")
    if bits == 1:
        return 1
    return 2 ** (bits - 1) - 1 if symmetric else 2**bits - 1


def scale_of(minimum: SupportsFloat, maximum: SupportsFloat, bits: int, symmetric: bool) -> Scale:
    """Scale, inverse and zero point of the range minimum .. maximum, widened to contain 0.

    In float32: lo = min(minimum, 0), hi = max(maximum, 0); d = max(-lo, hi) if symmetric, else hi - lo;
    scale = d / steps, or 1 where d = 0; inv_scale = 1 / scale. The zero point is 0 if symmetric, else
    qmin - round_half_even(lo / scale), limited to qmin .. qmax. 1 bit is always symmetric.
    Raises RangeError where d, scale or inv_scale is not positive and finite.
    """
    steps = np.float32(scale_steps(bits, symmetric))
    low, high = min(np.float32(minimum), ZERO), max(np.float32(maximum), ZERO)
    symmetric = symmetric or bits == 1
    with np.errstate(over="ignore", divide="ignore", under="ignore"):
        width = max(-low, high) if symmetric else high - low
        scale = width / steps if width else ONE
        inv_scale = ONE / scale
    if not (np.isfinite(scale) and np.isfinite(inv_scale)):
        raise RangeError(
            f"range {minimum!r} .. {maximum!r} gives scale {scale!r} at {bits} bits; the scale and its "
            "inverse must be positive and finite in float32; scale the values"
        )
    if symmetric:
        return Scale(scale, inv_scale, 0)
    qmin, qmax = qrange(bits)
    with np.errstate(under="ignore"):
        zero_point = qmin - int(np.rint(low / scale))
    return Scale(scale, inv_scale, min(max(zero_point, qmin), qmax))


def dequantize(q: ArrayLike, scale: float | np.float32, zero_point: int) -> Floats:
    """float32(q - zero_point) * float32(scale): the exact integer difference is rounded to float32, then the product.

    q: integers of at most 32 bits (codes or raw accumulators). scale: a positive float32 whose inverse is finite.
    """
    difference = np.asarray(q, dtype=np.int64) - np.asarray(zero_point, dtype=np.int64)
    with np.errstate(over="ignore", under="ignore"):
        return difference.astype(np.float32) * np.float32(scale)
