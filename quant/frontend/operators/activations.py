"""Clamps of every spelling: they become the clamp of the layer with weights before them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

from quant.frontend import fold
from quant.frontend.capture import Constant
from quant.frontend.values import Value

if TYPE_CHECKING:
    from quant.frontend.reader import Reader
    from quant.frontend.values import Handler

Bound: TypeAlias = Value | Constant | float


def clamp(reader: Reader, x: Value, min: Bound | None = None, max: Bound | None = None) -> Value:
    """x.clamp(min, max) with plain numbers or tensors of one value."""
    low = -math.inf if min is None else _number(reader, min)
    high = math.inf if max is None else _number(reader, max)
    return _clamped(reader, x, low, high)


def _clamped(reader: Reader, x: Value, low: float, high: float) -> Value:
    if not low <= high or low == math.inf or high == -math.inf:
        reader.refuse(f"clamps to {low}..{high}; give a lower bound that is not above the upper one")
    reader.need_last(x)
    x = reader.settle(x)
    if x.padding and not (x.padding.value == 0 and low <= 0 <= high):
        reader.no_padding(x)
    layers = fold.clamp_output(reader.layers, (low, high))
    if layers is None:
        reader.refuse("has no Conv2d or Linear before it to merge with; remove it or put it after one")
    return reader.replace_last(layers, x)


def _number(reader: Reader, bound: Bound) -> float:
    """A bound as a float: a number, or a tensor that holds one."""
    if isinstance(bound, Constant) and bound.tensor.unique().numel() == 1:
        return float(bound.tensor.flatten()[0])
    if isinstance(bound, (Constant, Value)):
        reader.refuse("clamps with a tensor; use plain numbers")
    return float(bound)


def relu(reader: Reader, x: Value) -> Value:
    """max(x, 0)."""
    return _clamped(reader, x, 0.0, math.inf)


def relu6(reader: Reader, x: Value) -> Value:
    """x in 0..6."""
    return _clamped(reader, x, 0.0, 6.0)


def hardtanh(reader: Reader, x: Value, min_val: float, max_val: float) -> Value:
    """x in min_val..max_val."""
    return _clamped(reader, x, float(min_val), float(max_val))


def _activation(reader: Reader, x: Bound, other: Bound) -> tuple[Value, Bound]:
    """(the activation of the two, the other one)."""
    if isinstance(x, Value):
        return x, other
    if isinstance(other, Value):
        return other, x
    reader.refuse("has no activation to limit")


def maximum(reader: Reader, x: Bound, other: Bound) -> Value:
    """The larger of an activation and one number."""
    activation, bound = _activation(reader, x, other)
    return _clamped(reader, activation, _number(reader, bound), math.inf)


def minimum(reader: Reader, x: Bound, other: Bound) -> Value:
    """The smaller of an activation and one number."""
    activation, bound = _activation(reader, x, other)
    return _clamped(reader, activation, -math.inf, _number(reader, bound))


def threshold(reader: Reader, x: Value, threshold: float, value: float) -> Value:
    """x where x > threshold, else value: a clamp where both are equal."""
    if threshold != value:
        reader.refuse(f"replaces what lies below {threshold} by {value}; only equal numbers are a clamp")
    return _clamped(reader, x, float(threshold), math.inf)


def leaky_relu(reader: Reader, x: Value, negative_slope: float) -> Value:
    """Slope 0 is ReLU, slope 1 nothing."""
    if negative_slope == 1:
        return x
    if negative_slope != 0:
        reader.refuse(f"has negative_slope={negative_slope}, which is no clamp; use ReLU")
    return relu(reader, x)


OPERATORS: dict[str, Handler] = {
    "relu": relu,
    "relu6": relu6,
    "hardtanh": hardtanh,
    "clamp": clamp,
    "clip": clamp,
    "clamp_min": clamp,
    "clamp_max": clamp,
    "maximum": maximum,
    "minimum": minimum,
    "max.other": maximum,
    "min.other": minimum,
    "threshold": threshold,
    "leaky_relu": leaky_relu,
}
