"""Signal-to-noise ratio, coverage and largest error of one tensor at every width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from accel.errors import UnsupportedError
from quant.arithmetic import scales
from quant.check.thresholds import decibel
from quant.names import CLIPS, MULTI_BIT_WEIGHTS

if TYPE_CHECKING:
    from quant.check.thresholds import Thresholds

RATIOS = torch.linspace(1.0, 0.02, 99, dtype=torch.float64)  # of the largest value, a hundredth each
BINS = 4096


@dataclass(frozen=True)
class Figure:
    """One tensor at one width: SNR in dB (at most +-200), share of the values inside the range, largest absolute
    error in the tensor's own unit, and whether that is enough."""

    bits: int
    snr_db: float
    coverage: float
    max_error: float
    passes: bool


def check_clip(clip: str) -> None:
    """Raise UnsupportedError for an unknown way to choose the range."""
    if clip not in CLIPS:
        raise UnsupportedError(f"clip '{clip}' is unknown; choose one of {', '.join(CLIPS)}")


class ErrorSums:
    """Adds up signal, noise, values inside the range and the largest error of a tensor, part by part."""

    def __init__(self) -> None:
        self.signal = self.noise = self.max_error = 0.0
        self.inside = self.count = 0

    def add(self, values: torch.Tensor, scale: float | torch.Tensor, zero_point: int, qmin: int, qmax: int) -> None:
        """values: float64 tensor; scale: number or a tensor that broadcasts against it."""
        actual = (scales.to_integers(values, scale, zero_point, qmin, qmax) - zero_point).double() * scale
        error = (values - actual).abs()
        low, high = scale * (qmin - 0.5 - zero_point), scale * (qmax + 0.5 - zero_point)
        self.signal += float((values * values).sum())
        self.noise += float((error * error).sum())
        self.max_error = max(self.max_error, float(error.max()))
        self.inside += int(((values >= low) & (values <= high)).sum())
        self.count += values.numel()

    def figure(self, bits: int, thresholds: Thresholds) -> Figure:
        """The Figure of what was added."""
        snr_db, coverage = decibel(self.signal, self.noise), self.inside / max(self.count, 1)
        return Figure(bits, snr_db, coverage, self.max_error, thresholds.passes(bits, snr_db, coverage))


def weight_figures(weight: torch.Tensor, per_tensor: bool, thresholds: Thresholds, clip: str) -> tuple[Figure, ...]:
    """Figures of weights float64 [OC, ...] at 8, 6, 4, 2 bits, symmetric range, a scale per output channel or one.

    clip 'minmax': the largest magnitude is the end of the range. 'best': the scale of least squared error among those
    that keep the share inside the range that the thresholds ask for.
    """
    rows = weight.flatten(1)
    if per_tensor:
        rows = rows.reshape(1, -1)
    figures = []
    for bits in MULTI_BIT_WEIGHTS:
        low, high = scales.weight_limits(bits, full_range=False)
        scale = torch.tensor([scales.symmetric_scale(float(row.abs().max()), bits) for row in rows]).double()
        if clip == "best":
            scale = _best_weight_scales(rows, scale, high, thresholds.coverage[bits])
        sums = ErrorSums()
        sums.add(rows, scale[:, None], 0, low, high)
        figures.append(sums.figure(bits, thresholds))
    return tuple(figures)


def _best_weight_scales(rows: torch.Tensor, largest: torch.Tensor, high: int, coverage: float) -> torch.Tensor:
    """float64 [rows]: largest * ratio, each row's ratio that of least error among those from the smallest floor on that
    keeps `coverage` of all values inside the range."""
    losses, counts = [], []
    for ratio in RATIOS:
        scale = (largest * ratio).clamp(min=scales.SMALLEST_SCALE)[:, None]
        rounded = torch.round(rows / scale).clamp(-high, high) * scale
        losses.append(((rows - rounded) ** 2).sum(1))
        counts.append((rows.abs() <= scale * (high + 0.5)).sum(1))
    errors, inside = torch.stack(losses), torch.stack(counts)
    for last in range(len(RATIOS) - 1, -1, -1):
        index = errors[: last + 1].argmin(0)
        if int(inside.gather(0, index[None]).sum()) >= coverage * rows.numel():
            break
    return (largest * RATIOS[index]).float().double().clamp(min=scales.SMALLEST_SCALE)


class RangeSearch:
    """Chooses the affine range of an activation tensor from a histogram of all its values.

    low, high: smallest and largest value. A bin keeps the number and the mean of its values, so that the many zeros
    behind a ReLU are one exact value.
    """

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high
        self.counts, self.sums = np.zeros(BINS), np.zeros(BINS)

    def add(self, values: torch.Tensor) -> None:
        """values: float64 tensor inside low..high."""
        if self.low == self.high:
            return
        flat = values.numpy().ravel()
        place = (flat - self.low) * (BINS / (self.high - self.low))
        index = np.minimum(place.astype(np.int64), BINS - 1)
        self.counts += np.bincount(index, minlength=BINS)
        self.sums += np.bincount(index, weights=flat, minlength=BINS)

    def range(self, bits: int, clip: str, coverage: float) -> tuple[float, float]:
        """(low, high): all values for 'minmax', else the same share of both ends with the least squared error that
        keeps `coverage` of the values inside."""
        if clip == "minmax" or self.low == self.high:
            return self.low, self.high
        filled = np.flatnonzero(self.counts)
        counts = self.counts[filled]
        means = torch.tensor(self.sums[filled] / counts)
        width = (self.high - self.low) / BINS
        edges = self.low + width * filled
        best, least = (self.low, self.high), np.inf
        for ratio in RATIOS.tolist():
            low, high = self.low * ratio, self.high * ratio
            scale, zero_point = scales.affine_scale(low, high, bits)
            qmin, qmax = scales.integer_range(bits)
            kept = (edges >= scale * (qmin - 0.5 - zero_point)) & (edges + width <= scale * (qmax + 0.5 - zero_point))
            if ratio < 1 and counts[kept].sum() < coverage * counts.sum():
                break
            integers = scales.to_integers(means, scale, zero_point, qmin, qmax)
            error = float((counts * ((integers - zero_point).double() * scale - means).numpy() ** 2).sum())
            if error < least:
                best, least = (low, high), error
        return best
