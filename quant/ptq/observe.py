"""Calibration: the range of every tensor of a float network over some images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from accel.errors import RangeError
from quant.names import PERCENTILE
from quant.ptq.clipping import activation_warning
from quant.ptq.grid import Grid
from quant.ptq.histogram import HistogramCollector
from quant.ptq.ranges import check_method, choose_range

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from quant.frontend.floatnet import FloatNetwork

INPUT = "input"
KL_CANDIDATES = 512


class MinMax:
    """Smallest and largest value seen, per tensor name: float64 [channels] each, or one of each for a whole tensor."""

    def __init__(self, per_channel: bool = False) -> None:
        self.ranges: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        self.per_channel = per_channel

    def add(self, name: str, tensor: torch.Tensor) -> None:
        """tensor: float64 [N, C, H, W]."""
        rows = as_rows(tensor, self.per_channel)
        low, high = rows.min(1).values, rows.max(1).values
        if name in self.ranges:
            low = torch.minimum(low, self.ranges[name][0])
            high = torch.maximum(high, self.ranges[name][1])
        self.ranges[name] = low, high


def as_rows(tensor: torch.Tensor, per_channel: bool) -> torch.Tensor:
    """[N, C, H, W] as [C, N*H*W], or as one row."""
    return tensor.transpose(0, 1).flatten(1) if per_channel else tensor.reshape(1, -1)


def passes(method: str) -> int:
    """How often `calibrate` goes through the images."""
    return 1 if method == "minmax" else 2


def calibrate(
    network: FloatNetwork,
    batches: Iterable[torch.Tensor],
    method: str = "minmax",
    grids: Mapping[str, Grid] | None = None,
    *,
    percentile: float = PERCENTILE,
    per_channel: bool = False,
    warn: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Ranges {tensor name: (low, high)} of a FloatNetwork, the input under 'input'.

    batches: iterable of float64 [N, C, H, W], at least one; every method but 'minmax' goes through it twice, first for
    the extremes, then for a histogram. method: of CALIBRATIONS. grids: {tensor name: Grid} for the tensors that will be
    quantized, the others keep their extremes; without it every tensor is taken for 8 bits, affine. per_channel: a
    list of a pair per channel instead of one pair. warn(text) is called for a tensor that a method clips with a great
    loss (`clipping`). Raises UnsupportedError for an unknown method and RangeError where
    the calibration images make a tensor infinite or NaN.
    """
    check_method(method)
    extremes = MinMax(per_channel)
    for name, tensor in _tensors(network, batches):
        extremes.add(name, tensor)
    if not extremes.ranges:
        raise RangeError(f"{network.name}: calibration needs at least one image; raise --calibration-images")
    ranges = {
        name: list(zip(*(bound.tolist() for bound in bounds), strict=True)) for name, bounds in extremes.ranges.items()
    }
    for name, bounds in extremes.ranges.items():
        if not all(torch.isfinite(bound).all() for bound in bounds):
            shown = ranges[name] if per_channel else ranges[name][0]
            raise RangeError(f"{name}: the calibration range {shown} must be finite; check the weights and the images")
    if method != "minmax":
        grids = dict.fromkeys(ranges, Grid(8)) if grids is None else grids
        collectors = {name: HistogramCollector(*extremes.ranges[name]) for name in grids}
        for name, tensor in _tensors(network, batches):
            if name in collectors:
                collectors[name].add(as_rows(tensor, per_channel))
        for name, collector in collectors.items():
            ranges[name] = []
            for histogram in collector.histograms():
                ranges[name].append(choose_range(histogram, method, grids[name], percentile, KL_CANDIDATES))
                text = activation_warning(name, histogram, grids[name], ranges[name][-1], method)
                if text is not None:
                    warn(text)
    return ranges if per_channel else {name: pairs[0] for name, pairs in ranges.items()}


def _tensors(network: FloatNetwork, batches: Iterable[torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    """(name, tensor) of the input and of every layer, batch by batch."""
    for batch in batches:
        yield INPUT, batch
        yield from network.run(batch).items()
