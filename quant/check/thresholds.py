"""What a width must reach: signal-to-noise ratio and range coverage, as presets or as the user's own numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from accel.checks import plain
from accel.errors import RangeError
from quant.names import MULTI_BIT_WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DECIBEL_LIMIT = 200.0
DEFAULT_PRESET = "strict"


def decibel(signal: float, noise: float) -> float:
    """10 log10(signal / noise), limited to +-200 so that it stays a number; no noise at all is 200."""
    if signal == 0 or noise == 0:
        return DECIBEL_LIMIT if noise == 0 else -DECIBEL_LIMIT
    return min(max(10 * (math.log10(signal) - math.log10(noise)), -DECIBEL_LIMIT), DECIBEL_LIMIT)


@dataclass(frozen=True)
class Thresholds:
    """Smallest SNR in dB and smallest share of values inside the range, each {bits: number} for 8, 6, 4 and 2 bits.

    Raises RangeError for an SNR outside -200..200 dB and a coverage outside 0..1.
    """

    snr_db: dict[int, float]
    coverage: dict[int, float]

    def __post_init__(self) -> None:
        for bits in MULTI_BIT_WEIGHTS:
            snr, coverage = self.snr_db[bits], self.coverage[bits]
            if not -DECIBEL_LIMIT <= snr <= DECIBEL_LIMIT:
                raise RangeError(f"SNR threshold {snr} dB for {bits} bits must lie in -200..200 dB; 40 dB is usual")
            if not 0 <= coverage <= 1:
                raise RangeError(f"coverage threshold {coverage} for {bits} bits must lie in 0..1; give 0.99 for 99 %")

    def passes(self, bits: int, snr_db: float, coverage: float) -> bool:
        """Whether a tensor with these figures may have `bits` bits."""
        return snr_db >= self.snr_db[bits] and coverage >= self.coverage[bits]

    def hopeless(self) -> tuple[int, ...]:
        """Widths below 8 whose SNR threshold a Gaussian tensor cannot reach with any scale."""
        return tuple(bits for bits in MULTI_BIT_WEIGHTS[1:] if self.snr_db[bits] > gaussian_snr(bits))


PRESETS = {
    "strict": Thresholds(dict.fromkeys(MULTI_BIT_WEIGHTS, 40.0), dict.fromkeys(MULTI_BIT_WEIGHTS, 0.99)),
    "per-width": Thresholds({8: 36.0, 6: 26.0, 4: 16.0, 2: 12.0}, dict.fromkeys(MULTI_BIT_WEIGHTS, 0.99)),
}


def choose(
    preset: str = DEFAULT_PRESET, snr_db: Iterable[float] | None = None, coverage: Iterable[float] | None = None
) -> Thresholds:
    """The Thresholds of a preset, with SNR or coverage replaced: one number for all widths, or four for 8, 6, 4, 2.

    Raises RangeError for an unknown preset and another count of numbers.
    """
    if preset not in PRESETS:
        raise RangeError(f"preset '{plain(preset)}' is unknown; choose one of {', '.join(PRESETS)}")
    base = PRESETS[preset]
    return Thresholds(_per_width("SNR", snr_db, base.snr_db), _per_width("coverage", coverage, base.coverage))


def _per_width(what: str, values: Iterable[float] | None, default: Mapping[int, float]) -> dict[int, float]:
    if values is None:
        return dict(default)
    values = tuple(values)
    if len(values) not in (1, len(MULTI_BIT_WEIGHTS)):
        raise RangeError(
            f"{len(values)} {what} thresholds were given; give one for all widths, or "
            f"{len(MULTI_BIT_WEIGHTS)} for {', '.join(map(str, MULTI_BIT_WEIGHTS))} bits"
        )
    return dict(zip(MULTI_BIT_WEIGHTS, values * (len(MULTI_BIT_WEIGHTS) // len(values)), strict=True))


@cache
def gaussian_snr(bits: int) -> float:
    """SNR in dB of Gaussian values in symmetric integers of `bits` bits at the best scale.

    The error of a uniform quantizer of 2^b - 1 levels, integrated over the normal density, at the best range (J. Max,
    Quantizing for minimum distortion, 1960), which is found by ternary search: the error has one minimum.
    """
    top = (1 << (bits - 1)) - 1
    low, high = 0.5, 6.0
    while high - low > 1e-3:
        third = (high - low) / 3
        if _gaussian_error((low + third) / top, top) < _gaussian_error((high - third) / top, top):
            high -= third
        else:
            low += third
    return -10 * math.log10(_gaussian_error(low / top, top))


def _gaussian_error(step: float, top: int) -> float:
    """Mean squared error of N(0, 1) rounded to -top..top times step."""
    total = 0.0
    for level in range(top + 1):
        low = (level - 0.5) * step if level else 0.0
        high = (level + 0.5) * step if level < top else math.inf
        total += 2 * _second_moment(low, high, level * step)
    return total


def _second_moment(low: float, high: float, center: float) -> float:
    """Integral of (x - center)^2 times the normal density over low..high."""

    def density(x: float) -> float:
        return 0.0 if math.isinf(x) else math.exp(-x * x / 2) / math.sqrt(2 * math.pi)

    def below(x: float) -> float:
        return 1.0 if math.isinf(x) else (1 + math.erf(x / math.sqrt(2))) / 2

    def edge(x: float) -> float:
        return 0.0 if math.isinf(x) else x * density(x)

    mass = below(high) - below(low)
    first, second = density(low) - density(high), mass + edge(low) - edge(high)
    return second - 2 * center * first + center * center * mass
