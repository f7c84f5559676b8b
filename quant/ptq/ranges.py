"""From a histogram to the range that a grid should cover: extremes, percentile, KL divergence, squared error."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from accel.errors import UnsupportedError
from quant.names import CALIBRATIONS, PERCENTILE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from accel.types import Reals
    from quant.ptq.grid import Grid
    from quant.ptq.histogram import Histogram

Terms: TypeAlias = tuple[float, float, float, float, float]  # sums over the bins, see _Merged.terms
SEARCH_STEPS = 100
SWEEPS = 3
SMOOTHING = 1e-4  # of a count, where the candidate has none


def choose_range(
    histogram: Histogram, method: str, grid: Grid, percentile: float = PERCENTILE, candidates: int | None = None
) -> tuple[float, float]:
    """(low, high) with low <= 0 <= high for a Grid, by a method of CALIBRATIONS.

    percentile: the share in per cent of the values below `high` (and above `low`) for 'percentile'. candidates: number
    of ranges that 'kl' tries; every bin's edge by default. Raises UnsupportedError for an unknown method.
    """
    check_method(method)
    if histogram.low == histogram.high:
        return 0.0, 0.0
    if method == "percentile":
        return percentile_range(histogram, percentile, grid.symmetric)
    if method == "kl":
        return kl_range(histogram, grid, candidates)
    if method == "mse":
        return mse_range(histogram, grid)
    return histogram.low, histogram.high


def check_method(method: str, what: str = "calibration") -> None:
    """Raise UnsupportedError for an unknown method."""
    if method not in CALIBRATIONS:
        raise UnsupportedError(f"{what} '{method}' is not supported; use {', '.join(CALIBRATIONS)}")


def percentile_range(histogram: Histogram, percentile: float, symmetric: bool = False) -> tuple[float, float]:
    """The range between the (100 - p)-th and the p-th percentile; symmetric: the p-th of the magnitudes."""
    share = percentile / 100
    if symmetric:
        bound = histogram.magnitudes().quantile(share)
        return -bound, bound
    return min(histogram.quantile(1 - share), 0.0), max(histogram.quantile(share), 0.0)


def mse_range(histogram: Histogram, grid: Grid) -> tuple[float, float]:
    """The range whose grid has the smallest squared error, bounds in thousandths of the extremes.

    Both bounds shrink by the same share first; then one is searched while the other one stands, in turn.
    """
    values, counts = histogram.centres()

    def error(low: float, high: float) -> float:
        scale, zero_point = grid.fit(low, high)
        return float(counts @ (values - grid.rounded(values, scale, zero_point)) ** 2)

    def upper(low: float, part: float) -> float:
        return error(low, part * histogram.high)

    def lower(high: float, part: float) -> float:
        return error(part * histogram.low, high)

    if grid.symmetric:
        top = max(-histogram.low, histogram.high)
        share = _best_share(lambda part: error(-part * top, part * top))
        return -share * top, share * top
    share = _best_share(lambda part: error(part * histogram.low, part * histogram.high))
    low, high = share * histogram.low, share * histogram.high
    for _ in range(SWEEPS if low < 0 < high else 0):
        before, smallest = (low, high), error(low, high)
        tried = histogram.high * _best_share(partial(upper, low))
        high = tried if error(low, tried) < smallest else high
        tried = histogram.low * _best_share(partial(lower, high))
        low = tried if error(tried, high) < error(low, high) else low
        if (low, high) == before:
            break
    return low, high


def _best_share(error: Callable[[float], float]) -> float:
    """The share of the extreme, in (0, 1], with the smallest error: hundredths, then tenths of these around the best.
    The largest wins a tie."""
    best = 1.0
    for span, step in ((None, 1 / SEARCH_STEPS), (1 / SEARCH_STEPS, 0.1 / SEARCH_STEPS)):
        low, high = (step, 1.0) if span is None else (max(best - span, step), min(best + span, 1.0))
        shares = np.linspace(high, low, max(round((high - low) / step), 1) + 1)
        best = float(shares[np.argmin([error(share) for share in shares])])
    return best


def kl_range(histogram: Histogram, grid: Grid, candidates: int | None = None) -> tuple[float, float]:
    """The range that loses least information: the smallest KL divergence between the clipped histogram and itself with
    the bins of one integer merged (Migacz 2017, 8-bit inference with TensorRT, GTC).

    Both bounds shrink by the same share; the values outside count in the outermost bins. Exact zeros stay out.
    """
    if grid.symmetric:
        histogram = histogram.magnitudes()
    low, high, bins = histogram.low, histogram.high, len(histogram.positive)
    levels = 1 << (grid.bits - grid.symmetric)
    above = min(max(round(levels * high / (high - low)), high > 0), levels - (low < 0))
    sides = [
        _Merged(*side) for side in ((histogram.positive, above), (histogram.negative, levels - above)) if side[0].any()
    ]
    start = min(max(above, levels - above), bins)
    edges = np.arange(bins, start - 1, -1)  # of equal ones the widest range
    if candidates is not None and candidates < len(edges):
        edges = np.unique(np.linspace(start, bins, candidates).round().astype(np.int64))[::-1]
    divergences = [_divergence([side.terms(edge) for side in sides]) for edge in edges.tolist()]
    share = float(edges[np.argmin(divergences)]) / bins
    return (-share * high if grid.symmetric else share * low), share * high


def _divergence(sides: Sequence[Terms]) -> float:
    """KL divergence in nats of the clipped bins p from the merged ones q, both brought to the sum 1."""
    p_log_p, p_log_q, p_sum, q_sum, inner = np.sum(sides, axis=0)
    if inner == 0:  # every value would be clipped
        return np.inf
    return (p_log_p - p_log_q) / p_sum - np.log(p_sum / q_sum)


class _Merged:
    """One side of a histogram, counts [bins], whose inner bins are merged into so many levels."""

    def __init__(self, counts: Reals, levels: int) -> None:
        self.counts, self.levels = counts, levels
        entropy = counts * np.log(np.maximum(counts, 1))
        self.sums = np.concatenate([np.zeros((3, 1)), np.cumsum([counts, counts > 0, entropy], axis=1)], axis=1)

    def terms(self, edge: int) -> Terms:
        """Sums over the first `edge` bins: p log p, p log q, p, q and the counts. What lies outside counts in the last
        bin of p, as in the paper, and not in q; a level's q is spread over those of its bins that p fills."""
        total, filled, entropy = self.sums
        last, outside = self.counts[edge - 1], total[-1] - total[edge]
        bounds = -(-np.arange(self.levels + 1) * edge // self.levels)
        inner, share = np.diff(total[bounds]), np.diff(filled[bounds])
        kept = inner.copy()
        if outside > 0:
            kept[-1] += outside
            share[-1] += last == 0
        q = np.maximum(inner / np.maximum(share, 1), SMOOTHING)
        p_log_p = entropy[edge] - _x_log_x(last) + _x_log_x(last + outside)
        return p_log_p, kept @ np.log(q), kept.sum(), (share * q).sum(), inner.sum()


def _x_log_x(value: float) -> float:
    return value * np.log(value) if value > 0 else 0.0
