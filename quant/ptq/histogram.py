"""Histograms of what flows through a tensor, on both sides of zero, and the quantiles that they give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from accel.types import Array, Reals

BINS = 2048


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of real values in low..high (low <= 0 <= high).

    negative, positive: float64 [bins], counts of equal bins from zero outwards to `low` and to `high`. zeros: count of
    values that are exactly 0, which every grid holds.
    """

    low: float
    high: float
    negative: Reals
    positive: Reals
    zeros: float

    @property
    def total(self) -> float:
        """Number of values counted."""
        return float(self.negative.sum() + self.positive.sum() + self.zeros)

    def magnitudes(self) -> Histogram:
        """The histogram of |x|: both sides brought onto bins up to the larger bound."""
        bins, top = len(self.positive), max(self.high, -self.low)
        counts = np.zeros(bins)
        for side, bound in ((self.positive, self.high), (self.negative, -self.low)):
            if bound > 0:
                places = ((np.arange(bins) + 0.5) * (bound / top)).astype(np.int64)
                counts += np.bincount(np.minimum(places, bins - 1), weights=side, minlength=bins)
        return Histogram(0.0, top, np.zeros(bins), counts, self.zeros)

    def centres(self) -> tuple[Reals, Reals]:
        """(values, counts): the middle of every bin with a count and how many lie in it, without the zeros."""
        steps = (np.arange(len(self.positive)) + 0.5) / len(self.positive)
        values = np.concatenate([steps * self.low, steps * self.high])
        counts = np.concatenate([self.negative, self.positive])
        return values[counts > 0], counts[counts > 0]

    def quantile(self, share: float) -> float:
        """The value below which a share (0..1) of all values lies, linear inside a bin."""
        edges = np.linspace(0, 1, len(self.positive) + 1)
        values = np.concatenate([edges[:0:-1] * self.low, [0.0, 0.0], edges[1:] * self.high])
        counts = np.concatenate([self.negative[::-1], [self.zeros], self.positive])
        reached = np.concatenate([[0.0], np.cumsum(counts)]) / max(self.total, 1.0)
        inside = np.flatnonzero(counts)
        if not len(inside):
            return 0.0
        first, last = inside[0], inside[-1] + 1
        return float(np.interp(share, reached[first : last + 1], values[first : last + 1]))


class HistogramCollector:
    """Histograms of one tensor's channels, filled batch by batch; the bounds are known beforehand.

    low, high: float64 [channels], one of each for a whole tensor.
    """

    def __init__(self, low: torch.Tensor, high: torch.Tensor, bins: int = BINS) -> None:
        self.low = torch.as_tensor(low, dtype=torch.float64).clamp(max=0.0)
        self.high = torch.as_tensor(high, dtype=torch.float64).clamp(min=0.0)
        self.bins = bins
        self.counts = torch.zeros(2, len(self.low), bins, dtype=torch.float64)
        self.zeros = torch.zeros(len(self.low), dtype=torch.float64)

    def add(self, values: torch.Tensor) -> None:
        """Count float64 [channels, values]."""
        self.zeros += (values == 0).sum(1)
        for side, bound in enumerate((self.low, self.high)):
            span = torch.where(bound == 0, 1.0, bound)
            share = values / span[:, None]
            channel, place = torch.nonzero((share > 0) & (bound != 0)[:, None], as_tuple=True)
            bins = (share[channel, place] * self.bins).long().clamp(max=self.bins - 1)
            flat = torch.bincount(channel * self.bins + bins, minlength=len(bound) * self.bins)
            self.counts[side] += flat.reshape(len(bound), self.bins)

    def histograms(self) -> list[Histogram]:
        """A Histogram per channel."""
        negative, positive = self.counts.numpy()
        return [
            Histogram(float(low), float(high), negative[index], positive[index], float(self.zeros[index]))
            for index, (low, high) in enumerate(zip(self.low, self.high, strict=True))
        ]


def histogram_of(values: torch.Tensor | Array, bins: int = BINS) -> Histogram:
    """The Histogram of float64 values (a tensor or an array of any shape)."""
    flat = torch.as_tensor(values, dtype=torch.float64).reshape(1, -1)
    collector = HistogramCollector(flat.min(1).values, flat.max(1).values, bins)
    collector.add(flat)
    return collector.histograms()[0]
