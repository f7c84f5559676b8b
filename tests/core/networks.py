"""Random integer graphs for the tests: seeded, any shape, every rounding rule."""

import numpy as np

from accel.fixedpoint import RULES, qrange
from accel.ir import Conv2D, Dense, Graph, InputEncoding, MaxPool, Requantize, TensorType


def tensor(rng, height, width, channels, bits=8):
    """A tensor type with a random scale and zero point."""
    low, high = qrange(bits)
    zero_point = int(rng.integers(low, high + 1))
    return TensorType(height, width, channels, bits, float(rng.uniform(0.001, 0.1)), zero_point)


def requantize(rng, channels, rule, reduction, qmin=-128, qmax=127):
    """Multipliers and shifts that spread accumulators of `reduction` products over the output range."""
    real = rng.uniform(0.3, 3.0, channels) * 40 / (5000 * np.sqrt(reduction))
    exponent = np.floor(np.log2(real)).astype(np.int64) + 1
    multiplier = np.minimum(np.round(real / 2.0**exponent * 2**31).astype(np.int64), 2**31 - 1)
    shift = exponent if rule == "gemmlowp" else 31 - exponent
    return Requantize(rule, multiplier, shift, qmin, qmax)


def conv(rng, name, input_name, source, out_channels, kernel, stride=(1, 1), pads=(0, 0, 0, 0),
         rule="half_up", raw=False, weight_bits=8, qmin=-128, qmax=127):
    """A convolution with random weights on the tensor type `source`."""
    kh, kw = kernel
    height = (source.height + pads[0] + pads[1] - kh) // stride[0] + 1
    width = (source.width + pads[2] + pads[3] - kw) // stride[1] + 1
    shape = (out_channels, kh, kw, source.channels)
    weights = random_weights(rng, shape, weight_bits)
    bias = rng.integers(-3000, 3001, out_channels)
    scale = rng.uniform(0.001, 0.1, out_channels)
    if raw:
        output = TensorType(height, width, out_channels, 32, 0.01, 0)
        return Conv2D(name, input_name, source, output, weights, weight_bits, scale, bias, stride, pads, None)
    output = tensor(rng, height, width, out_channels)
    rule = requantize(rng, out_channels, rule, kh * kw * source.channels, qmin, qmax)
    return Conv2D(name, input_name, source, output, weights, weight_bits, scale, bias, stride, pads, rule)


def dense(rng, name, input_name, source, out_channels, rule="half_up", raw=False, weight_bits=8):
    """A dense layer with random weights on the tensor type `source`."""
    weights = random_weights(rng, (out_channels, source.elements), weight_bits)
    bias = rng.integers(-3000, 3001, out_channels)
    scale = rng.uniform(0.001, 0.1, out_channels)
    if raw:
        output = TensorType(1, 1, out_channels, 32, 0.01, 0)
        return Dense(name, input_name, source, output, weights, weight_bits, scale, bias, None)
    output = tensor(rng, 1, 1, out_channels)
    rule = requantize(rng, out_channels, rule, source.elements)
    return Dense(name, input_name, source, output, weights, weight_bits, scale, bias, rule)


def random_weights(rng, shape, bits):
    """Weights over the full range of `bits`, extremes included."""
    if bits == 1:
        return rng.integers(0, 2, shape) * 2 - 1
    low, high = qrange(bits)
    return rng.integers(low, high + 1, shape)


def maxpool(name, input_name, source, kernel, stride=None, pads=(0, 0, 0, 0)):
    """A max pool on the tensor type `source`."""
    stride = kernel if stride is None else stride
    height = (source.height + pads[0] + pads[1] - kernel[0]) // stride[0] + 1
    width = (source.width + pads[2] + pads[3] - kernel[1]) // stride[1] + 1
    output = TensorType(height, width, source.channels, source.bits, source.scale, source.zero_point)
    return MaxPool(name, input_name, source, output, kernel, stride, pads)


def images(rng, graph, count):
    """Random inputs of a graph, int64 [count, H, W, C]."""
    low, high = graph.input.qrange
    return rng.integers(low, high + 1, (count, *graph.input.shape))


def random_graph(rng, layers=3, max_side=9, max_channels=11):
    """A random chain: convolutions and pools, often a dense layer at the end, which may be raw."""
    source = tensor(rng, int(rng.integers(2, max_side + 1)), int(rng.integers(2, max_side + 1)),
                    int(rng.integers(1, max_channels + 1)))
    graph_input, name, built = source, "input", []
    for index in range(layers):
        last = index == layers - 1
        if last:
            kind = str(rng.choice(["conv", "conv", "dense"]))
        else:
            kind = str(rng.choice(["conv", "conv", "pool"])) if built and built[-1].op == "conv2d" else "conv"
        layer = _random_layer(rng, kind, f"{kind}{index}", name, source, 2 * max_channels,
                              last and bool(rng.integers(2)))
        built.append(layer)
        name, source = layer.name, layer.output
    return Graph("random", graph_input, InputEncoding(), tuple(built))


def narrow_network(rng):
    """A network whose accumulators fit 16 bits: two-bit weights, few inputs."""
    source = tensor(rng, 6, 5, 3)
    first = conv(rng, "a", "input", source, 6, (3, 3), (1, 1), (1, 1, 1, 1), "gemmlowp", weight_bits=2)
    pool = maxpool("p", "a", first.output, (2, 2))
    last = dense(rng, "b", "p", pool.output, 5, raw=True, weight_bits=2)
    return Graph("narrow", source, InputEncoding(), (first, pool, last))


def _random_layer(rng, kind, name, input_name, source, max_channels, raw):
    rule = str(rng.choice(RULES))
    out_channels = int(rng.integers(1, max_channels + 1))
    if kind == "dense":
        return dense(rng, name, input_name, source, out_channels, rule, raw)
    largest = 3 if kind == "pool" else 5
    kernel = tuple(min(int(rng.integers(1, largest + 1)), side) for side in source.shape[:2])
    pads = tuple(min(int(rng.integers(0, 3)), kernel[side // 2] - 1) for side in range(4))
    if kind == "pool":
        return maxpool(name, input_name, source, kernel, pads=pads)
    stride = tuple(int(value) for value in rng.integers(1, 4, 2))
    qmin, qmax = sorted(int(value) for value in rng.integers(-128, 128, 2))
    if rng.integers(2):
        qmin, qmax = -128, 127
    return conv(rng, name, input_name, source, out_channels, kernel, stride, pads, rule, raw, 8, qmin, qmax)
