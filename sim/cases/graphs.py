"""Random integer graphs for the tests: seeded, any shape, every rounding rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from accel.fixedpoint import INT32_MAX, INT32_MIN, qrange
from accel.ir import Conv2D, Dense, Graph, InputEncoding, MaxPool
from accel.names import ACTIVATION_BITS, RULES, WEIGHT_BITS
from accel.tensor import Requantize, TensorType, Threshold

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from numpy.random import Generator

    from accel.ir import Layer
    from accel.types import Ints


def tensor(rng: Generator, height: int, width: int, channels: int, bits: int = 8) -> TensorType:
    """A tensor type with a random scale and zero point."""
    low, high = (0, 0) if bits == 1 else qrange(bits)
    zero_point = int(rng.integers(low, high + 1))
    return TensorType(height, width, channels, bits, float(rng.uniform(0.001, 0.1)), zero_point)


def requantize(
    rng: Generator, channels: int, rule: str, reduction: int, qmin: int = -128, qmax: int = 127
) -> Requantize:
    """Multipliers and shifts that spread accumulators of `reduction` products over the output range."""
    real = rng.uniform(0.3, 3.0, channels) * 40 / (5000 * np.sqrt(reduction))
    exponent = np.floor(np.log2(real)).astype(np.int64) + 1
    multiplier = np.minimum(np.round(real / 2.0**exponent * 2**31).astype(np.int64), 2**31 - 1)
    shift = exponent if rule == "gemmlowp" else 31 - exponent
    return Requantize(rule, multiplier, shift, qmin, qmax)


def spread_of(reduction: int, widths: Iterable[int]) -> float:
    """Standard deviation of a sum of `reduction` products of weights and inputs of `widths` bits."""
    return np.prod([max(2**bits / 3.5, 1) for bits in widths]) * np.sqrt(reduction)


def narrow_requantize(
    rng: Generator, channels: int, rule: str, reduction: int, widths: Iterable[int], output_bits: int
) -> Requantize:
    """As requantize, for weights and input of `widths` (weight bits, input bits) and narrow outputs."""
    real = rng.uniform(0.3, 3.0, channels) * 2**output_bits / 6 / spread_of(reduction, widths)
    exponent = np.floor(np.log2(real)).astype(np.int64) + 1
    multiplier = np.minimum(np.round(real / 2.0**exponent * 2**31).astype(np.int64), 2**31 - 1)
    low, high = qrange(output_bits)
    qmin, qmax = (low, high) if rng.integers(2) else sorted(int(value) for value in rng.integers(low, high + 1, 2))
    return Requantize(rule, multiplier, exponent if rule == "gemmlowp" else 31 - exponent, qmin, qmax)


def threshold(rng: Generator, channels: int, reduction: int, widths: Iterable[int]) -> Threshold:
    """Batch norm and sign of random channels, gammas of both signs and zeros among them: gamma > 0 is a threshold,
    gamma < 0 an inverted one, gamma = 0 a constant."""
    level = np.round(rng.normal(0, spread_of(reduction, widths), channels)).astype(np.int64)
    invert = rng.integers(0, 2, channels).astype(bool)
    constant = rng.integers(0, 4, channels) == 0
    level = np.where(constant, np.where(rng.integers(0, 2, channels), INT32_MIN, INT32_MAX + 1), level)
    return Threshold(level, invert)


def conv(
    rng: Generator,
    name: str,
    input_name: str,
    source: TensorType,
    out_channels: int,
    kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    rule: str = "half_up",
    raw: bool = False,
    weight_bits: int = 8,
    qmin: int = -128,
    qmax: int = 127,
    output_bits: int = 8,
    spread: bool = False,
) -> Conv2D:
    """A convolution with random weights on the tensor type `source`; spread: narrow weights use the output's range."""
    kh, kw = kernel
    height = (source.height + pads[0] + pads[1] - kh) // stride[0] + 1
    width = (source.width + pads[2] + pads[3] - kw) // stride[1] + 1
    shape = (out_channels, kh, kw, source.channels)
    weights = random_weights(rng, shape, weight_bits)
    reduction, widths = kh * kw * source.channels, (weight_bits, source.bits)
    reach = int(2 * spread_of(reduction, widths)) if spread else 3000
    bias = rng.integers(-reach, reach + 1, out_channels)
    scale = rng.uniform(0.001, 0.1, out_channels)
    if raw:
        output = TensorType(height, width, out_channels, 32, 0.01, 0)
        return Conv2D(name, input_name, source, output, weights, weight_bits, scale, bias, stride, pads, None)
    output = tensor(rng, height, width, out_channels, output_bits)
    if output_bits == 1:
        scaling: Requantize | Threshold = threshold(rng, out_channels, reduction, widths)
    elif (source.bits, output_bits, spread) == (8, 8, False):
        scaling = requantize(rng, out_channels, rule, reduction, qmin, qmax)
    else:
        scaling = narrow_requantize(rng, out_channels, rule, reduction, widths, output_bits)
    return Conv2D(name, input_name, source, output, weights, weight_bits, scale, bias, stride, pads, scaling)


def dense(
    rng: Generator,
    name: str,
    input_name: str,
    source: TensorType,
    out_channels: int,
    rule: str = "half_up",
    raw: bool = False,
    weight_bits: int = 8,
    output_bits: int = 8,
    spread: bool = False,
) -> Dense:
    """A dense layer with random weights on the tensor type `source`."""
    weights = random_weights(rng, (out_channels, source.elements), weight_bits)
    widths = weight_bits, source.bits
    reach = int(2 * spread_of(source.elements, widths)) if spread else 3000
    bias = rng.integers(-reach, reach + 1, out_channels)
    scale = rng.uniform(0.001, 0.1, out_channels)
    if raw:
        output = TensorType(1, 1, out_channels, 32, 0.01, 0)
        return Dense(name, input_name, source, output, weights, weight_bits, scale, bias, None)
    output = tensor(rng, 1, 1, out_channels, output_bits)
    if output_bits == 1:
        scaling: Requantize | Threshold = threshold(rng, out_channels, source.elements, widths)
    elif (source.bits, output_bits, spread) == (8, 8, False):
        scaling = requantize(rng, out_channels, rule, source.elements)
    else:
        scaling = narrow_requantize(rng, out_channels, rule, source.elements, widths, output_bits)
    return Dense(name, input_name, source, output, weights, weight_bits, scale, bias, scaling)


def random_weights(rng: Generator, shape: Sequence[int], bits: int) -> Ints:
    """Weights over the full range of `bits`, extremes included."""
    if bits == 1:
        return rng.integers(0, 2, shape) * 2 - 1
    low, high = qrange(bits)
    return rng.integers(low, high + 1, shape)


def maxpool(
    name: str,
    input_name: str,
    source: TensorType,
    kernel: tuple[int, int],
    stride: tuple[int, int] | None = None,
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
) -> MaxPool:
    """A max pool on the tensor type `source`."""
    stride = kernel if stride is None else stride
    height = (source.height + pads[0] + pads[1] - kernel[0]) // stride[0] + 1
    width = (source.width + pads[2] + pads[3] - kernel[1]) // stride[1] + 1
    output = TensorType(height, width, source.channels, source.bits, source.scale, source.zero_point)
    return MaxPool(name, input_name, source, output, kernel, stride, pads)


def images(rng: Generator, graph: Graph, count: int) -> Ints:
    """Random inputs of a graph, int64 [count, H, W, C]."""
    return random_weights(rng, (count, *graph.input.shape), graph.input.bits)


def random_graph(rng: Generator, layers: int = 3, max_side: int = 9, max_channels: int = 11) -> Graph:
    """A random chain: convolutions and pools, often a dense layer at the end, which may be raw."""
    source = tensor(
        rng,
        int(rng.integers(2, max_side + 1)),
        int(rng.integers(2, max_side + 1)),
        int(rng.integers(1, max_channels + 1)),
    )
    graph_input, name = source, "input"
    built: list[Layer] = []
    for index in range(layers):
        last = index == layers - 1
        if last:
            kind = str(rng.choice(["conv", "conv", "dense"]))
        else:
            kind = str(rng.choice(["conv", "conv", "pool"])) if built and built[-1].op == "conv2d" else "conv"
        layer = _random_layer(
            rng, kind, f"{kind}{index}", name, source, 2 * max_channels, last and bool(rng.integers(2))
        )
        built.append(layer)
        name, source = layer.name, layer.output
    return Graph("random", graph_input, InputEncoding(), tuple(built))


def narrow_network(rng: Generator) -> Graph:
    """A network whose accumulators fit 16 bits: two-bit weights, few inputs."""
    source = tensor(rng, 6, 5, 3)
    first = conv(rng, "a", "input", source, 6, (3, 3), (1, 1), (1, 1, 1, 1), "gemmlowp", weight_bits=2)
    pool = maxpool("p", "a", first.output, (2, 2))
    last = dense(rng, "b", "p", pool.output, 5, raw=True, weight_bits=2)
    return Graph("narrow", source, InputEncoding(), (first, pool, last))


def _window(rng: Generator, source: TensorType, largest: int) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """A random (kernel, pads) for a tensor, the kernel at most `largest`."""
    height, width = (min(int(rng.integers(1, largest + 1)), side) for side in source.shape[:2])
    top, bottom, left, right = (min(int(rng.integers(0, 3)), side - 1) for side in (height, height, width, width))
    return (height, width), (top, bottom, left, right)


def _random_layer(
    rng: Generator, kind: str, name: str, input_name: str, source: TensorType, max_channels: int, raw: bool
) -> Layer:
    rule = str(rng.choice(RULES))
    out_channels = int(rng.integers(1, max_channels + 1))
    if kind == "dense":
        return dense(rng, name, input_name, source, out_channels, rule, raw)
    largest = 3 if kind == "pool" else 5
    kernel, pads = _window(rng, source, largest)
    if kind == "pool":
        return maxpool(name, input_name, source, kernel, pads=pads)
    down, right = rng.integers(1, 4, 2).tolist()
    qmin, qmax = sorted(int(value) for value in rng.integers(-128, 128, 2))
    if rng.integers(2):
        qmin, qmax = -128, 127
    return conv(rng, name, input_name, source, out_channels, kernel, (down, right), pads, rule, raw, 8, qmin, qmax)


def random_mixed_graph(
    rng: Generator,
    layers: int = 3,
    max_side: int = 9,
    max_channels: int = 11,
    *,
    weight_widths: Sequence[int] = WEIGHT_BITS,
    widths: Sequence[int] = ACTIVATION_BITS,
    input_bits: int | None = None,
) -> Graph:
    """A random chain in which every tensor and every layer's weights have a width of their own.

    1-bit outputs have inverted and constant channels. input_bits: width of the first tensor, else a random one.
    """

    def side(largest: int, least: int = 1) -> int:
        return int(rng.integers(least, largest + 1))

    source = tensor(
        rng,
        side(max_side, 2),
        side(max_side, 2),
        side(max_channels),
        int(rng.choice(widths)) if input_bits is None else input_bits,
    )
    encoding = InputEncoding("uint8" if source.bits == 8 else "float")
    graph_input, name = source, "input"
    built: list[Layer] = []
    for index in range(layers):
        last = index == layers - 1
        kind = str(rng.choice(["conv", "conv", "dense" if last else "pool"]))
        if kind == "pool" and (not built or built[-1].op == "maxpool"):
            kind = "conv"
        options = {
            "weight_bits": int(rng.choice(weight_widths)),
            "output_bits": int(rng.choice(widths)),
            "raw": last and bool(rng.integers(2)),
            "rule": str(rng.choice(RULES)),
            "spread": True,
        }
        built.append(_mixed_layer(rng, kind, f"{kind}{index}", name, source, side(2 * max_channels), options))
        name, source = built[-1].name, built[-1].output
    return Graph("mixed", graph_input, encoding, tuple(built))


def _mixed_layer(
    rng: Generator,
    kind: str,
    name: str,
    input_name: str,
    source: TensorType,
    out_channels: int,
    options: Mapping[str, Any],
) -> Layer:
    if kind == "dense":
        return dense(rng, name, input_name, source, out_channels, **options)
    kernel, pads = _window(rng, source, 3)
    if kind == "pool":
        return maxpool(name, input_name, source, kernel, pads=pads)
    down, right = rng.integers(1, 3, 2).tolist()
    return conv(rng, name, input_name, source, out_channels, kernel, (down, right), pads, **options)
