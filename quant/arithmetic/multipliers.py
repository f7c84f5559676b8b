"""Integer multipliers of the requantization, and those that a build without a full multiplier can hold.

A build's requantizer is `full` (any multiplier below 2^31), `pow2` (one power of two), `khot2` or `khot3` (a sum
of at most two or three powers of two 2^0 .. 2^30).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from accel.errors import RangeError, UnsupportedError
from accel.names import REQUANTIZERS
from quant.arithmetic.scales import choose_multiplier, float32

if TYPE_CHECKING:
    from collections.abc import Iterable

    from accel.types import Ints

TOP = 1 << 31
SLACK = 2.0**-20  # more than float32's rounding of a scale


def khot_at_least(value: int, terms: int) -> int:
    """The smallest integer >= value (positive) with at most `terms` bits set."""
    if value & (value - 1) == 0:
        return value
    lead = 1 << (value.bit_length() - 1)
    if terms == 1:
        return 2 * lead
    return lead + khot_at_least(value - lead, terms - 1)


def hot_bits(multiplier: int) -> int:
    """Number of powers of two in a multiplier."""
    return int(multiplier).bit_count()


def check_requantizer(name: str) -> None:
    """Raise UnsupportedError for an unknown requantizer."""
    if name not in REQUANTIZERS:
        raise UnsupportedError(f"requantizer '{name}' is unknown; choose one of {', '.join(REQUANTIZERS)}")


def choose(real: float, rule: str, requantizer: str = "full") -> tuple[int, int]:
    """(m, shift) of a real multiplier: the nearest one, or the smallest representable one that is not below it."""
    multiplier, shift = choose_multiplier(real, rule)
    terms = REQUANTIZERS[requantizer]
    if not terms or multiplier == 0:
        return multiplier, shift
    multiplier = khot_at_least(multiplier, terms)
    if multiplier == TOP:
        multiplier, shift = TOP // 2, shift + (1 if rule == "gemmlowp" else -1)
    if shift < 0 and rule != "gemmlowp":
        raise RangeError(f"multiplier {real} must be below 2^30 for requantizer {requantizer}; check the scales")
    return multiplier, shift


def widening(reals: torch.Tensor, requantizer: str) -> torch.Tensor:
    """Factors of at least 1, a tensor like `reals` (positive), that make every real multiplier representable."""
    terms = REQUANTIZERS[requantizer]
    if not terms:
        return torch.ones_like(reals)
    wide = reals.double()
    rest, total = wide, torch.zeros_like(wide)
    for term in range(terms):
        mantissa, exponent = torch.frexp(rest)
        last = (term == terms - 1) & (mantissa > 0.5)  # the last power is rounded up
        power = torch.where(rest > 0, torch.ldexp(torch.ones_like(wide), exponent - 1 + last.long()), 0.0)
        total, rest = total + power, (rest - power).clamp(min=0)
    return (total / wide).to(reals.dtype)


def representable(name: str, reals: Iterable[float], rule: str, requantizer: str) -> tuple[Ints, Ints]:
    """choose_all for multipliers that `widening` has made representable up to float32's rounding."""
    if not REQUANTIZERS[requantizer]:
        return choose_all(name, reals, rule)
    return choose_all(name, [real * (1 - SLACK) for real in reals], rule, requantizer)


def real_value(multiplier: int, shift: int, rule: str) -> float:
    """The real number that (m, shift) stands for."""
    return math.ldexp(multiplier, shift - 31 if rule == "gemmlowp" else -shift)


def choose_all(name: str, reals: Iterable[float], rule: str, requantizer: str = "full") -> tuple[Ints, Ints]:
    """int64 arrays (multiplier [OC], shift [OC]); errors name the layer and the channel."""
    pairs = []
    for channel, real in enumerate(reals):
        try:
            pairs.append(choose(real, rule, requantizer))
        except RangeError as error:
            raise RangeError(f"{name}: channel {channel}: {error}") from None
    multiplier, shift = torch.tensor(pairs, dtype=torch.int64).T.numpy()
    return multiplier, shift


def fit_scales(
    name: str, scale: torch.Tensor, step: float, rule: str, requantizer: str
) -> tuple[torch.Tensor, Ints, Ints]:
    """(scale, multiplier, shift) of one layer: multiplier / 2^shift is scale * step, step = input / output scale.

    A narrow requantizer widens the weight scales (float64 [OC], float32 values) to what its multipliers stand for,
    so that the multipliers are right but for the scale's own float32 rounding.
    """
    multiplier, shift = choose_all(name, (scale * step).tolist(), rule, requantizer)
    if not REQUANTIZERS[requantizer]:
        return scale, multiplier, shift
    wanted = [real_value(int(m), int(s), rule) / step for m, s in zip(multiplier, shift, strict=True)]
    pairs = zip(wanted, scale.tolist(), strict=True)
    return torch.tensor([float32(value) if value else old for value, old in pairs]).double(), multiplier, shift
