"""Calibration: the range of every tensor of a float network over some images."""

import math

from accel.errors import RangeError, UnsupportedError

CALIBRATIONS = ("minmax",)
INPUT = "input"


class MinMax:
    """Smallest and largest value seen, per tensor name."""

    def __init__(self):
        self.ranges = {}

    def add(self, name, tensor):
        low, high = self.ranges.get(name, (math.inf, -math.inf))
        self.ranges[name] = min(low, float(tensor.min())), max(high, float(tensor.max()))


def calibrate(network, batches, method="minmax"):
    """Ranges {tensor name: (low, high)} of a FloatNetwork, the input under 'input'.

    batches: iterable of float64 [N, C, H, W], at least one. Raises UnsupportedError for an unknown method and
    RangeError where the calibration images make a tensor infinite or NaN.
    """
    if method not in CALIBRATIONS:
        raise UnsupportedError(f"calibration '{method}' is not supported; use {', '.join(CALIBRATIONS)}")
    observer = MinMax()
    for batch in batches:
        observer.add(INPUT, batch)
        for name, tensor in network.run(batch).items():
            observer.add(name, tensor)
    if not observer.ranges:
        raise RangeError(f"{network.name}: calibration needs at least one image; raise --calibration-images")
    for name, bounds in observer.ranges.items():
        if not all(map(math.isfinite, bounds)):
            raise RangeError(f"{name}: the calibration range {bounds} must be finite; check the weights and "
                             "the images")
    return observer.ranges
