"""Scales, zero points, integers and multipliers: the formulas of docs/numerics.md, in torch, stated on their
own.

real = scale * (q - zero_point). Scales are float32 values held as Python floats. `accel.fixedpoint` is not
used here on purpose: the equality of two independent statements is what the tests prove.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
import torch

from accel.errors import RangeError

Scale = TypeVar("Scale", float, torch.Tensor)
SMALLEST_SCALE = 2.0**-100
BIAS_LIMIT = 2**30  # a weight scale is widened until its channel's bias is at most so many steps
DEAD = 2.0**-24  # a channel is dead whose largest weight is at most this share of the layer's


def integer_range(bits: int) -> tuple[int, int]:
    """(qmin, qmax) of two's complement integers of `bits` bits."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def weight_limits(bits: int, full_range: bool) -> tuple[int, int]:
    """(low, high) of weight integers: symmetric, or two's complement's full range; 1 bit is -1 and +1."""
    if bits == 1:
        return -1, 1
    low, high = integer_range(bits)
    return (low if full_range else -high), high


def float32(value: float) -> float:
    """The nearest float32, as a Python float."""
    return float(np.float32(value))


def symmetric_scale(largest: float, bits: int) -> float:
    """S = largest / (2^(b-1) - 1) in float32; a zero range gives 1. largest: max|x|, finite."""
    if largest == 0:
        return 1.0
    return max(float32(largest / ((1 << (bits - 1)) - 1)), SMALLEST_SCALE)


def power_of_two(scale: Scale) -> Scale:
    """The smallest power of two that is not below a positive scale; float, or float64 tensor."""
    if torch.is_tensor(scale):
        mantissa, exponent = torch.frexp(scale)
        return torch.ldexp(torch.ones_like(scale), exponent - (mantissa == 0.5).long())
    mantissa, exponent = math.frexp(scale)
    return math.ldexp(1.0, exponent - (mantissa == 0.5))


def of_live_channels(scale: torch.Tensor, largest: torch.Tensor) -> torch.Tensor:
    """The scales with those of dead channels replaced by the largest one of the others, so that a dead channel's bias
    and multiplier are numbers like theirs; as they are where no channel is alive.

    scale, largest: tensors of one shape, a scale and the largest |weight| per channel.
    """
    alive = largest > DEAD * largest.max()
    return torch.where(alive, scale, torch.where(alive, scale, 0.0).max()) if alive.any() else scale


def affine_scale(low: float, high: float, bits: int) -> tuple[float, int]:
    """(S, zero_point) for the range low..high, widened to contain 0: S = (high - low) / (2^b - 1)."""
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        return 1.0, 0
    scale = max(float32((high - low) / ((1 << bits) - 1)), SMALLEST_SCALE)
    qmin, qmax = integer_range(bits)
    zero_point = qmin - round(low / scale)
    return scale, min(max(zero_point, qmin), qmax)


def to_integers(
    values: torch.Tensor, scale: float | torch.Tensor, zero_point: int, qmin: int, qmax: int
) -> torch.Tensor:
    """q = saturate(round_half_even(x * inv_scale) + zero_point) in float32; int64 tensor of the shape of
    `values`.

    scale: number, or float64 tensor that broadcasts against `values`.
    """
    inverse = torch.ones((), dtype=torch.float32) / torch.as_tensor(scale, dtype=torch.float64).float()
    rounded = torch.round(values.float() * inverse)
    return (rounded.clamp(-(2.0**31), 2.0**31).long() + zero_point).clamp(qmin, qmax)


def clamp_bounds(clamp: tuple[float, float], scale: float, zero_point: int, bits: int) -> tuple[int, int]:
    """(qmin, qmax) that carry a real clamp (low, high) on an output tensor of this scale and zero point."""
    qmin, qmax = integer_range(bits)
    low, high = (to_integers(torch.tensor(bound), scale, zero_point, qmin, qmax) for bound in clamp)
    return int(low), int(high)


def choose_multiplier(real: float, rule: str) -> tuple[int, int]:
    """(m, shift) that come closest to a real multiplier, m < 2^31.

    half_up, half_away: real = m / 2^shift with shift in [0, 62]. gemmlowp: real = m / 2^31 * 2^shift with
    the exponent in [-31, 30]; smaller multipliers become 0. Raises RangeError for one that is too large,
    NaN or negative.
    """
    if not 0 <= real < math.inf:
        raise RangeError(f"multiplier {real} must be a finite number of at least 0; check the scales")
    if real == 0:
        return 0, 0
    fraction, exponent = math.frexp(real)
    mantissa = math.floor(fraction * (1 << 31) + 0.5)
    if mantissa == 1 << 31:
        mantissa, exponent = mantissa >> 1, exponent + 1
    if rule == "gemmlowp":
        if exponent > 30:
            raise RangeError(f"multiplier {real} needs exponent {exponent}, above 30; check the scales")
        return (mantissa, exponent) if exponent >= -31 else (0, 0)
    if exponent > 31:
        raise RangeError(f"multiplier {real} must be below 2^31; check the scales")
    shift = 31 - exponent
    if shift > 62:
        mantissa, shift = math.floor(math.ldexp(real, 62) + 0.5), 62
    return mantissa, shift
