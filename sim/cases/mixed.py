"""Networks whose layers differ in precision, for the tests of mixed builds: each is awkward in its own way."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from accel.fixedpoint import qrange
from accel.ir import INPUT_NAME, Graph, InputEncoding
from accel.names import WEIGHT_BITS
from accel.reference import accumulator_bounds, run_layer
from accel.tensor import RAW_BITS, TensorType, Threshold
from sim.cases.graphs import conv, dense, images, maxpool, random_mixed_graph, tensor

if TYPE_CHECKING:
    from typing import Any

    from numpy.random import Generator

    from accel.ir import Layer, WeightedLayer
    from accel.types import Ints, Reals

RAW = RAW_BITS
ENDS = (-(2**31), 2**31 - 1)  # thresholds that no accumulator crosses


def layer(
    rng: Generator,
    name: str,
    input_name: str,
    source: TensorType,
    channels: int,
    weight_bits: int,
    output_bits: int,
    *,
    kernel: tuple[int, int] | None = None,
    weights: Ints | None = None,
    **options: Any,
) -> WeightedLayer:
    """A convolution, without a kernel a dense layer. output_bits RAW puts the accumulators out; weights: these, else
    random ones that fit every multiplier."""
    widths: dict[str, Any] = {"weight_bits": weight_bits, "spread": True, "raw": output_bits == RAW}
    widths["output_bits"] = 8 if output_bits == RAW else output_bits
    widths |= options
    if kernel:
        made: WeightedLayer = conv(rng, name, input_name, source, channels, kernel, **widths)
    else:
        made = dense(rng, name, input_name, source, channels, **widths)
    return packable(made) if weights is None else replace(made, weights=weights)


def packable(made: WeightedLayer) -> WeightedLayer:
    """The layer without 4-bit weights of -8, which 25-bit multipliers cannot hold in every row."""
    return replace(made, weights=np.maximum(made.weights, -7)) if made.weight_bits == 4 else made


def chain(rng: Generator, name: str, *layers: Layer) -> Graph:
    return lively(rng, Graph(name, layers[0].input, InputEncoding("float"), layers))


def random_mixed(rng: Generator, max_channels: int = 40, **widths: Any) -> Graph:
    """A random chain; three of four layers with 4-bit weights have none of -8."""
    graph = random_mixed_graph(rng, int(rng.integers(1, 6)), max_channels=max_channels // 2, **widths)
    layers = [packable(made) if made.op != "maxpool" and rng.integers(4) else made for made in graph.layers]
    return lively(rng, graph.with_layers(layers))


def lively(rng: Generator, graph: Graph) -> Graph:
    """The network with biases and thresholds in the middle of its accumulators: few channels of it are constant.

    Thresholds that no accumulator reaches stay: they are meant.
    """
    q, layers = images(rng, graph, 4), []
    for made in graph.layers:
        if made.op != "maxpool" and made.requantize is not None:
            sums = run_layer(accumulating(made), q)
            middle = np.median(sums, axis=(0, 1, 2)).astype(np.int64)
            if isinstance(made.requantize, Threshold):
                made = replace(made, requantize=near(rng, made.requantize, middle, sums.std(axis=(0, 1, 2))))
            else:
                made = replace(made, bias=made.bias - middle)
        layers.append(made)
        q = run_layer(made, q)
    return graph.with_layers(layers)


def near(rng: Generator, rule: Threshold, middle: Ints, deviation: Reals) -> Threshold:
    moved = middle + np.round(rng.uniform(-0.5, 0.5, len(middle)) * deviation).astype(np.int64)
    low, high = ENDS
    return Threshold(np.where((low < rule.threshold) & (rule.threshold < high), moved, rule.threshold), rule.invert)


def accumulating(made: WeightedLayer) -> WeightedLayer:
    """The layer with its accumulators as output."""
    return replace(made, requantize=None, output=TensorType(*made.output.shape, RAW, 1.0, 0))


def every_mode(rng: Generator) -> Graph:
    """All modes in one network, wide to narrow and back, each with a kernel and padding of its own."""
    source = tensor(rng, 7, 6, 3, 8)
    a = layer(rng, "w8a8", INPUT_NAME, source, 10, 8, 4, kernel=(3, 3), pads=(1, 1, 1, 1))
    b = layer(rng, "w4a4", "w8a8", a.output, 13, 4, 2, kernel=(2, 3), pads=(1, 0, 1, 1))
    pool = maxpool("pool", "w4a4", b.output, (2, 2))
    c = layer(rng, "w2a2", "pool", pool.output, 21, 2, 1, kernel=(3, 2), pads=(1, 1, 0, 1))
    d = layer(rng, "w1a1", "w2a2", c.output, 19, 1, 1, kernel=(3, 3), pads=(1, 1, 1, 1))
    again = maxpool("again", "w1a1", d.output, (3, 1), pads=(1, 1, 0, 0))
    e = layer(rng, "w6a1", "again", again.output, 9, 4, 8, kernel=(1, 1))
    return chain(rng, "every_mode", a, b, pool, c, d, again, e, layer(rng, "w2a8", "w6a1", e.output, 11, 2, RAW))


def small_mixed(rng: Generator) -> Graph:
    """Three modes in a few hundred cycles at 4x4, for the slow simulators."""
    source = tensor(rng, 4, 4, 3, 8)
    first = layer(rng, "a", INPUT_NAME, source, 5, 4, 4, kernel=(3, 2), pads=(1, 0, 1, 0))
    pool = maxpool("p", "a", first.output, (2, 1))
    second = layer(rng, "b", "p", pool.output, 6, 4, 1, kernel=(2, 2), pads=(0, 1, 1, 0))
    third = layer(rng, "c", "b", second.output, 9, 1, 2, kernel=(1, 2))
    return chain(rng, "small_mixed", first, pool, second, third, layer(rng, "d", "c", third.output, 3, 2, RAW))


def narrow_storage(rng: Generator) -> Graph:
    """8-bit activations with weights of every width."""
    layers, name, source = [], INPUT_NAME, tensor(rng, 5, 4, 3, 8)
    for bits in WEIGHT_BITS:
        layers.append(layer(rng, f"w{bits}a8", name, source, 9, bits, 8, kernel=(2, 3), pads=(1, 0, 1, 1)))
        name, source = layers[-1].name, layers[-1].output
    return chain(rng, "narrow_storage", *layers, layer(rng, "last", name, source, 7, 6, 8))


def constants(rng: Generator) -> Graph:
    """Binary layers whose channels are constant or inverted, as negative and zero gammas of a batch norm make them."""
    source = tensor(rng, 5, 5, 17, 1)
    first = layer(rng, "a", INPUT_NAME, source, 24, 1, 1, kernel=(3, 3), pads=(1, 1, 1, 1))
    low, high = accumulator_bounds(first)
    edges = np.resize([*ENDS, 0, 1], 24)
    edges[4:8], edges[8:12], edges[12:16] = low[4:8], high[8:12], high[12:16] + 1
    first = replace(first, requantize=Threshold(edges, np.arange(24) // 2 % 2 == 1))
    second = layer(rng, "b", "a", first.output, 12, 1, 1, kernel=(2, 2))
    second = replace(second, requantize=Threshold(np.arange(12) - 6, np.ones(12, bool)))  # negative gammas
    last = layer(rng, "c", "b", second.output, 10, 1, RAW)
    return Graph("constants", source, InputEncoding("float"), (first, second, last))


def extremes(rng: Generator) -> Graph:
    """Every weight and zero point at an end of its range, in every mode: the largest sums of the packed fields."""
    layers, name, source = [], INPUT_NAME, TensorType(4, 3, 9, 8, 0.1, -128)
    for bits, after in ((8, 4), (4, 2), (2, 1), (1, 8)):
        low, high = qrange(bits)
        weights = np.where(rng.integers(0, 2, (11, 3, 3, source.channels)), low, high)
        weights[0], weights[1] = low, high
        layers.append(
            layer(rng, f"w{bits}", name, source, 11, bits, after, kernel=(3, 3), pads=(1, 1, 1, 1), weights=weights)
        )
        name, source = layers[-1].name, layers[-1].output
    return chain(rng, "extremes", *layers)


def minus_eight(rng: Generator) -> Graph:
    """4-bit weights of -8 in every row: what a multiplier cannot pack is computed one width up."""
    layers, name, source = [], INPUT_NAME, tensor(rng, 3, 4, 5, 4)
    for low, high in ((-8, 7), (-7, 7), (-8, -8)):
        weights = rng.integers(low, high + 1, (9, 2, 2, source.channels))
        layers.append(
            layer(
                rng,
                f"from{low}to{high}".replace("-", "m"),
                name,
                source,
                9,
                4,
                4,
                kernel=(2, 2),
                pads=(1, 0, 1, 0),
                weights=weights,
            )
        )
        name, source = layers[-1].name, layers[-1].output
    return chain(rng, "minus_eight", *layers)


NAMED = (every_mode, small_mixed, narrow_storage, constants, extremes, minus_eight)


def remainder(rng: Generator, bits: int, channels: int) -> Graph:
    """One convolution over `channels` channels computed at `bits`: words that end in the middle of a pixel's bytes."""
    source = tensor(rng, 3, 4, channels, bits)
    return chain(
        rng,
        f"w{bits}a{bits}c{channels}",
        layer(rng, "only", INPUT_NAME, source, 5, bits, RAW, kernel=(2, 3), pads=(1, 0, 1, 1)),
    )


def switch(rng: Generator, before: int, after: int) -> Graph:
    """A layer computed at `before` bits, then one at `after` bits whose shape does not depend on `before`."""
    source = tensor(rng, 2, 3, 8, before)
    first = layer(rng, "first", INPUT_NAME, source, 12, before, after, kernel=(1, 1))
    return chain(rng, f"switch{before}to{after}", first, layer(rng, "second", "first", first.output, 9, after, after))
