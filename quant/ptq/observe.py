"""Calibration: the range of every tensor of a float network over some images."""

import torch

from accel.errors import RangeError
from quant.names import PERCENTILE
from quant.ptq.clipping import activation_warning
from quant.ptq.grid import Grid
from quant.ptq.histogram import HistogramCollector
from quant.ptq.ranges import check_method, choose_range

INPUT = "input"
KL_CANDIDATES = 512


class MinMax:
    """Smallest and largest value seen, per tensor name: float64 [channels] each, or one of each for a whole tensor."""

    def __init__(self, per_channel=False):
        self.ranges, self.per_channel = {}, per_channel

    def add(self, name, tensor):
        """tensor: float64 [N, C, H, W]."""
        rows = as_rows(tensor, self.per_channel)
        low, high = rows.min(1).values, rows.max(1).values
        if name in self.ranges:
            low = torch.minimum(low, self.ranges[name][0])
            high = torch.maximum(high, self.ranges[name][1])
        self.ranges[name] = low, high


def as_rows(tensor, per_channel):
    """[N, C, H, W] as [C, N*H*W], or as one row."""
    return tensor.transpose(0, 1).flatten(1) if per_channel else tensor.reshape(1, -1)


def passes(method):
    """How often `calibrate` goes through the images."""
    return 1 if method == "minmax" else 2


def calibrate(
    network, batches, method="minmax", grids=None, *, percentile=PERCENTILE, per_channel=False, warn=lambda text: None
):
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


def _tensors(network, batches):
    """(name, tensor) of the input and of every layer, batch by batch."""
    for batch in batches:
        yield INPUT, batch
        yield from network.run(batch).items()
