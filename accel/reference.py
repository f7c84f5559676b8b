"""Executes an integer graph exactly: the oracle that compiler, hardware and simulators are compared with.

Numpy only. Products are summed by float64 matrix products, which the bounds of accel/limits.py keep exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from accel import fixedpoint, limits
from accel.errors import ModelError, RangeError, UnsupportedError
from accel.fixedpoint import INT32_MAX, INT32_MIN
from accel.tensor import Requantize, Threshold

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from numpy.typing import ArrayLike

    from accel.ir import Graph, Layer, WeightedLayer
    from accel.types import Array, Ints

_CHUNK_ELEMENTS = 2**19  # keeps a working set of some MB in the caches


def accumulator_bounds(layer: WeightedLayer, approximate: bool = False) -> tuple[Ints, Ints]:
    """(low, high) int64[OC]: the range of the accumulator with bias, proven from the layer's actual weights.

    Every input element may take any stored value of its type; padding is one of these values. approximate: with
    approximate products, each of which may be off by APPROXIMATE_ERRORS.
    """
    qmin, qmax = layer.input.qrange
    low, high = qmin - layer.input.zero_point, qmax - layer.input.zero_point
    weights = layer.weights.reshape(layer.weights.shape[0], -1)
    positive = np.maximum(weights, 0).sum(axis=1)
    negative = np.minimum(weights, 0).sum(axis=1)
    lowest, highest = layer.bias + positive * low + negative * high, layer.bias + positive * high + negative * low
    if approximate:
        errors = fixedpoint.APPROXIMATE_ERRORS[:, weights & 7]
        lowest, highest = lowest + errors.min(axis=0).sum(axis=1), highest + errors.max(axis=0).sum(axis=1)
    return lowest, highest


def check_accumulators(layer: WeightedLayer, approximate: bool = False) -> None:
    """Raise RangeError unless every possible accumulator fits int32, for gemmlowp also when shifted up."""
    low, high = accumulator_bounds(layer, approximate)
    requantize = layer.requantize
    if isinstance(requantize, Requantize) and requantize.rule == "gemmlowp":
        # Clipped to 2^32, which already fails, so that the shift by at most 30 stays inside int64.
        up = np.maximum(requantize.shift, 0)
        low, high = (np.clip(bound, -(2**32), 2**32) << up for bound in (low, high))
    bad = np.flatnonzero((low < INT32_MIN) | (high > INT32_MAX))
    if bad.size:
        channel = int(bad[0])
        raise RangeError(
            f"{layer.name}: the accumulator of channel {channel} may reach {int(low[channel])}.."
            f"{int(high[channel])}, outside int32; use smaller weights, a smaller bias or "
            "fewer inputs"
        )


def run(
    graph: Graph, q: Array, keep: Collection[str] | None = None, *, int6_multiplier: str = "exact"
) -> dict[str, Ints]:
    """Execute `graph` on integers q [N, H, W, C]; returns {layer name: int64 [N, H, W, C]}, raw accumulators
    included.

    keep: names of the layers to return, else all. int6_multiplier: of INT6_MULTIPLIERS; "approximate" computes layers
    of 6-bit weights as a build of that option does, with fixedpoint.approximate_product. Raises ModelError for a wrong
    shape or type, RangeError for a value outside the input type or an accumulator outside int32.
    """
    q, batch = _check_input(graph, q), limits.batch(graph.work, len(q))
    parts: dict[str, list[Ints]] = {layer.name: [] for layer in graph.layers if keep is None or layer.name in keep}
    for start in range(0, max(1, len(q)), batch):
        tensor = q[start : start + batch]
        for layer in graph.layers:
            tensor = run_layer(layer, tensor, approximate=int6_multiplier == "approximate" and is_int6(layer))
            if layer.name in parts:
                parts[layer.name].append(tensor)
    return {name: part[0] if len(part) == 1 else np.concatenate(part) for name, part in parts.items()}


def check_network(graph: Graph) -> None:
    """check_accumulators of every layer with weights: such a network runs on the hardware, whatever the image."""
    for layer in graph.layers:
        if layer.op != "maxpool":
            check_accumulators(layer)


def is_int6(layer: Layer) -> bool:
    """Whether the layer has 6-bit weights."""
    return layer.op != "maxpool" and layer.weight_bits == 6


def run_layer(layer: Layer, q: Ints, approximate: bool = False) -> Ints:
    """Execute one layer on int64 [N, H, W, C] of its input type, in parts that keep the working set small.

    approximate: with approximate products.
    """
    rows, columns, channels = layer.output.shape
    place = max(layer.work.windows // (rows * columns), channels)  # elements at one place of the output
    images = max(1, _CHUNK_ELEMENTS // (place * rows * columns))
    compute = _max_pool if layer.op == "maxpool" else _weighted(layer, approximate)
    out = np.empty((len(q), rows, columns, channels), dtype=np.int64)
    for start in range(0, len(q), images):
        windows = _windows(layer, q[start : start + images])
        for high, wide in limits.blocks(rows, columns, place, _CHUNK_ELEMENTS):
            out[start : start + images, high, wide] = compute(windows[:, high, wide])
    return out


def _check_input(graph: Graph, q: ArrayLike) -> Ints:
    q = np.asarray(q)
    if q.dtype.kind not in "iu":
        raise ModelError(f"{graph.name}: input must be integers, not {q.dtype}")
    if q.ndim != 4 or q.shape[1:] != graph.input.shape:
        raise ModelError(
            f"{graph.name}: input must have shape (N, {', '.join(map(str, graph.input.shape))}), not {q.shape}"
        )
    if not graph.input.holds(q):
        low, high = graph.input.qrange
        allowed = "be -1 or +1" if graph.input.bits == 1 else f"lie in {low}..{high}"
        raise RangeError(f"{graph.name}: input must {allowed}, not {int(q.min())}..{int(q.max())}")
    return q.astype(np.int64)


def _windows(layer: Layer, q: Ints) -> Ints:
    """View [N, OH, OW, C, KH, KW] of the padded tensor's windows; a dense layer's only one is its whole input."""
    if layer.op == "dense":
        return q.reshape(len(q), 1, 1, -1, 1, 1)
    top, bottom, left, right = layer.pads
    fill = layer.input.qrange[0] if layer.op == "maxpool" else layer.input.padding
    padded = np.pad(q, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    windows = np.lib.stride_tricks.sliding_window_view(padded, layer.kernel, axis=(1, 2))
    return windows[:, :: layer.stride[0], :: layer.stride[1]]


def _max_pool(windows: Ints) -> Ints:
    return windows.max(axis=(4, 5))


def _weighted(layer: WeightedLayer, approximate: bool) -> Callable[[Ints], Ints]:
    """Function from windows to the layer's output.

    Sums are float64 matrix products, and exact: |x - zero point| <= 255, |w| <= 128, at most MAX_WEIGHTS of them, so
    every partial sum stays below 2^40. Approximate products are exact ones and an error that depends on the low three
    bits of x and w: for each value of x's the elements that have it meet the errors of the weights.
    """
    integers = layer.weights.reshape(layer.weights.shape[0], -1).T
    weights = integers.astype(np.float64)
    errors = fixedpoint.APPROXIMATE_ERRORS[:, integers & 7].astype(np.float64) if approximate else ()

    def compute(windows: Ints) -> Ints:
        stored = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, len(weights))
        sums = (stored - layer.input.zero_point).astype(np.float64) @ weights
        for low, error in enumerate(errors):
            sums += (stored & 7 == low).astype(np.float64) @ error
        acc = sums.astype(np.int64) + layer.bias
        acc = acc.reshape(*windows.shape[:3], -1)
        if acc.size and (acc.min() < INT32_MIN or acc.max() > INT32_MAX):
            check_accumulators(layer, approximate)
        return _stored(layer, acc)

    return compute


def _stored(layer: WeightedLayer, acc: Ints) -> Ints:
    """What the layer stores for its accumulators."""
    rule = layer.requantize
    if rule is None:
        return acc
    if isinstance(rule, Threshold):
        return fixedpoint.threshold(acc, rule.threshold, rule.invert)
    return fixedpoint.requantize(
        acc,
        rule.multiplier,
        rule.shift,
        rule=rule.rule,
        qmin=rule.qmin,
        qmax=rule.qmax,
        zero_point=layer.output.zero_point,
    )


def encode_input(graph: Graph, images: ArrayLike) -> Ints:
    """Images [N, H, W, C] -> the graph's input integers.

    Encoding uint8 takes raw uint8 images: q = u - 128. Encoding float takes normalized float32 images, or
    uint8 images, which are normalized here as (u / 255 - mean) / std in float32.
    """
    images = np.asarray(images)
    if images.ndim == 3 and graph.input.channels == 1:
        images = images[..., None]
    if images.ndim != 4 or images.shape[1:] != graph.input.shape:
        raise ModelError(
            f"{graph.name}: images must have shape (N, {', '.join(map(str, graph.input.shape))}), not {images.shape}"
        )
    if graph.encoding.kind == "uint8":
        if images.dtype != np.uint8:
            raise ModelError(f"{graph.name}: images must be uint8, not {images.dtype}; the input encoding is uint8")
        return images.astype(np.int64) - 128
    if images.dtype == np.uint8:
        mean, std = (np.array(part, dtype=np.float32) for part in (graph.encoding.mean, graph.encoding.std))
        images = (images.astype(np.float32) / np.float32(255) - mean) / std
    if images.dtype.kind != "f":
        raise ModelError(f"{graph.name}: images must be float32 or uint8, not {images.dtype}")
    if np.isnan(images).any():
        raise RangeError(f"{graph.name}: images hold NaN; replace it before encoding")
    return fixedpoint.quantize(images, graph.input.scale, graph.input.zero_point, graph.input.bits)


def classify(graph: Graph, q: Array, batch: int = limits.MAX_BATCH) -> Ints:
    """Class of each image: the index of the largest output, the lowest among equals; int64 [N]."""
    if graph.output.height != 1 or graph.output.width != 1:
        raise UnsupportedError(f"{graph.name}: output {graph.output.shape} is not a vector of classes")
    last = graph.layers[-1].name
    q, batch = _check_input(graph, q), limits.batch(graph.work, batch)
    parts = [
        run(graph, q[start : start + batch], (last,))[last].reshape(-1, graph.output.channels).argmax(axis=1)
        for start in range(0, q.shape[0], batch)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
