"""The grid of integers that a range of real values gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quant.arithmetic import scales

if TYPE_CHECKING:
    from accel.types import Reals


@dataclass(frozen=True)
class Grid:
    """How a tensor is quantized: bits; symmetric (zero point 0) or affine; pow2: the scale is a power of two, rounded
    up so that the range stays inside."""

    bits: int
    symmetric: bool = False
    pow2: bool = False

    def fit(self, low: float, high: float) -> tuple[float, int]:
        """(scale, zero point) of the range low..high, widened to contain 0."""
        if self.symmetric:
            scale, zero_point = scales.symmetric_scale(max(-low, high, 0.0), self.bits), 0
        else:
            scale, zero_point = scales.affine_scale(low, high, self.bits)
        if not self.pow2:
            return scale, zero_point
        scale = scales.power_of_two(scale)
        if not self.symmetric:
            qmin, qmax = scales.integer_range(self.bits)
            zero_point = min(max(qmin - round(min(low, 0.0) / scale), qmin), qmax)
        return scale, zero_point

    def rounded(self, values: Reals, scale: float, zero_point: int) -> Reals:
        """The real values that float64 NumPy values become on the grid; rounding half to even."""
        qmin, qmax = scales.integer_range(self.bits)
        return scale * (np.clip(np.round(values / scale) + zero_point, qmin, qmax) - zero_point)
