"""Executes an integer graph exactly: the oracle that compiler, hardware and simulators are compared with.

Numpy only. Products are summed by float64 matrix products where the actual weights prove that every partial
sum stays below 2^53, so that each of them is exact; else by int64.
"""

import numpy as np

from accel import fixedpoint
from accel.errors import ModelError, RangeError, UnsupportedError
from accel.fixedpoint import INT32_MAX, INT32_MIN
from accel.tensor import Requantize, Threshold

_CHUNK_ELEMENTS = 2**19  # keeps a working set of some MB in the caches


def accumulator_bounds(layer):
    """(low, high) int64[OC]: the range of the accumulator with bias, proven from the layer's actual weights.

    Every input element may take any stored value of its type; padding is one of these values.
    """
    qmin, qmax = layer.input.qrange
    low, high = qmin - layer.input.zero_point, qmax - layer.input.zero_point
    weights = layer.weights.reshape(layer.weights.shape[0], -1)
    positive = np.maximum(weights, 0).sum(axis=1)
    negative = np.minimum(weights, 0).sum(axis=1)
    return layer.bias + positive * low + negative * high, layer.bias + positive * high + negative * low


def check_accumulators(layer):
    """Raise RangeError unless every possible accumulator fits int32, for gemmlowp also when shifted up."""
    low, high = accumulator_bounds(layer)
    requantize = layer.requantize
    if isinstance(requantize, Requantize) and requantize.rule == "gemmlowp":
        # Clipped to 2^32, which already fails, so that the shift by at most 30 stays inside int64.
        up = np.maximum(requantize.shift, 0)
        low, high = (np.clip(bound, -(2**32), 2**32) << up for bound in (low, high))
    bad = np.flatnonzero((low < INT32_MIN) | (high > INT32_MAX))
    if bad.size:
        channel = int(bad[0])
        raise RangeError(f"{layer.name}: the accumulator of channel {channel} may reach {int(low[channel])}.."
                         f"{int(high[channel])}, outside int32; use smaller weights, a smaller bias or "
                         "fewer inputs")


def run(graph, q):
    """Execute `graph` on integers q [N, H, W, C]; returns {layer name: int64 [N, H, W, C]}, raw accumulators
    included.

    Raises ModelError for a wrong shape or type, RangeError for a value outside the input type or an
    accumulator outside int32.
    """
    q = _check_input(graph, q)
    outputs, tensor = {}, q
    for layer in graph.layers:
        tensor = run_layer(layer, tensor)
        outputs[layer.name] = tensor
    return outputs


def check_network(graph):
    """check_accumulators of every layer with weights: such a network runs on the hardware, whatever the image."""
    for layer in graph.layers:
        if layer.op != "maxpool":
            check_accumulators(layer)


def run_layer(layer, q):
    """Execute one layer on int64 [N, H, W, C] of its input type."""
    if layer.op == "maxpool":
        return _in_chunks(_max_pool, layer, q, q[0].size)
    images_cost = layer.macs // layer.weights.shape[0]
    return _in_chunks(_weighted, layer, q, max(images_cost, layer.output.elements))


def _in_chunks(function, layer, q, cost):
    """Run `function` over as many images at a time as keep the working set small."""
    step = max(1, _CHUNK_ELEMENTS // max(1, cost))
    if q.shape[0] <= step:
        return function(layer, q)
    return np.concatenate([function(layer, q[start:start + step]) for start in range(0, q.shape[0], step)])


def _check_input(graph, q):
    q = np.asarray(q)
    if q.dtype.kind not in "iu":
        raise ModelError(f"{graph.name}: input must be integers, not {q.dtype}")
    if q.ndim != 4 or q.shape[1:] != graph.input.shape:
        raise ModelError(f"{graph.name}: input must have shape (N, "
                         f"{', '.join(map(str, graph.input.shape))}), "
                         f"not {q.shape}")
    if not graph.input.holds(q):
        low, high = graph.input.qrange
        allowed = "be -1 or +1" if graph.input.bits == 1 else f"lie in {low}..{high}"
        raise RangeError(f"{graph.name}: input must {allowed}, not {int(q.min())}..{int(q.max())}")
    return q.astype(np.int64)


def _windows(q, kernel, stride, pads, fill):
    """View [N, OH, OW, C, KH, KW] of the padded tensor's windows."""
    top, bottom, left, right = pads
    padded = np.pad(q, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(1, 2))
    return windows[:, ::stride[0], ::stride[1]]


def _max_pool(layer, q):
    fill = layer.input.qrange[0]
    return _windows(q, layer.kernel, layer.stride, layer.pads, fill).max(axis=(4, 5))


def _weighted(layer, q):
    if layer.op == "conv2d":
        windows = _windows(q, layer.kernel, layer.stride, layer.pads, layer.input.padding)
        columns = windows.transpose(0, 1, 2, 4, 5, 3)
    else:
        columns = q[:, None, None]
    shape = columns.shape[:3]
    weights = layer.weights.reshape(layer.weights.shape[0], -1)
    acc = _dot(columns.reshape(-1, weights.shape[1]) - layer.input.zero_point, weights)
    acc = (acc + layer.bias).reshape(*shape, weights.shape[0])
    if acc.size and (acc.min() < INT32_MIN or acc.max() > INT32_MAX):
        check_accumulators(layer)
    if layer.requantize is None:
        return acc
    rule = layer.requantize
    if isinstance(rule, Threshold):
        return fixedpoint.threshold(acc, rule.threshold, rule.invert)
    return fixedpoint.requantize(acc, rule.multiplier, rule.shift, rule=rule.rule, qmin=rule.qmin,
                                 qmax=rule.qmax, zero_point=layer.output.zero_point)


def _dot(columns, weights):
    """columns [M, K] times weights [OC, K], exact."""
    largest = int(np.abs(columns).max(initial=0)) * int(np.abs(weights).sum(axis=1).max())
    if largest < 2**53:
        return (columns.astype(np.float64) @ weights.T.astype(np.float64)).astype(np.int64)
    return columns @ weights.T


def encode_input(graph, images):
    """Images [N, H, W, C] -> the graph's input integers.

    Encoding uint8 takes raw uint8 images: q = u - 128. Encoding float takes normalized float32 images, or
    uint8 images, which are normalized here as (u / 255 - mean) / std in float32.
    """
    images = np.asarray(images)
    if images.ndim == 3 and graph.input.channels == 1:
        images = images[..., None]
    if images.ndim != 4 or images.shape[1:] != graph.input.shape:
        raise ModelError(f"{graph.name}: images must have shape (N, "
                         f"{', '.join(map(str, graph.input.shape))}), "
                         f"not {images.shape}")
    if graph.encoding.kind == "uint8":
        if images.dtype != np.uint8:
            raise ModelError(f"{graph.name}: images must be uint8, not {images.dtype}; the input encoding "
                             "is uint8")
        return images.astype(np.int64) - 128
    if images.dtype == np.uint8:
        mean, std = (np.array(part, dtype=np.float32) for part in (graph.encoding.mean, graph.encoding.std))
        images = (images.astype(np.float32) / np.float32(255) - mean) / std
    if images.dtype.kind != "f":
        raise ModelError(f"{graph.name}: images must be float32 or uint8, not {images.dtype}")
    if np.isnan(images).any():
        raise RangeError(f"{graph.name}: images hold NaN; replace it before encoding")
    return fixedpoint.quantize(images, graph.input.scale, graph.input.zero_point, graph.input.bits)


def classify(graph, q, batch=256):
    """Class of each image: the index of the largest output, the lowest among equals; int64 [N]."""
    if graph.output.height != 1 or graph.output.width != 1:
        raise UnsupportedError(f"{graph.name}: output {graph.output.shape} is not a vector of classes")
    last = graph.layers[-1].name
    q = _check_input(graph, q)
    parts = [run(graph, q[start:start + batch])[last].reshape(-1, graph.output.channels).argmax(axis=1)
             for start in range(0, q.shape[0], batch)]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
