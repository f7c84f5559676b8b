"""Networks for the tests of the whole accelerator: each named one is awkward in its own way, the others random."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from accel.config import HardwareConfig
from accel.ir import Graph, InputEncoding
from accel.names import RULES
from accel.tensor import Requantize, TensorType
from sim.cases.graphs import conv, dense, maxpool, random_graph

if TYPE_CHECKING:
    from numpy.random import Generator

    from accel.ir import Layer


def chain(name: str, *layers: Layer) -> Graph:
    return Graph(name, layers[0].input, InputEncoding(), layers)


def awkward(rng: Generator) -> Graph:
    """IC not a multiple of lanes, asymmetric pads, stride 2, no square, a zero point, OC below and beside rows."""
    source = TensorType(11, 6, 5, 8, 0.02, 37)
    first = conv(rng, "a", "input", source, 3, (3, 2), (2, 1), (0, 1, 1, 0), "half_away", qmin=-20)
    second = conv(rng, "b", "a", first.output, 11, (2, 3), (1, 2), (1, 0, 2, 1), "gemmlowp")
    pool = maxpool("p", "b", second.output, (2, 3), pads=(1, 0, 0, 2))
    third = conv(rng, "c", "p", pool.output, 9, (1, 1))
    last = dense(rng, "d", "c", third.output, 13, raw=True)
    return chain("awkward", first, second, pool, third, last)


def small(rng: Generator) -> Graph:
    """Three layers in a few hundred cycles at 4x4, for the slow simulators: convolution with pool, another, dense."""
    source = TensorType(6, 5, 3, 8, 0.02, -9)
    first = conv(rng, "a", "input", source, 5, (3, 3), pads=(1, 0, 1, 1), rule="gemmlowp")
    pool = maxpool("p", "a", first.output, (2, 2), pads=(0, 1, 0, 1))
    second = conv(rng, "b", "p", pool.output, 6, (2, 1), rule="half_away", qmin=-100)
    last = dense(rng, "c", "b", second.output, 3, raw=True)
    return chain("small", first, pool, second, last)


def dense_first(rng: Generator) -> Graph:
    """Starts with a dense layer and ends with int8, not raw."""
    source = TensorType(3, 5, 3, 8, 0.05, -77)
    first = dense(rng, "a", "input", source, 21, "half_away")
    second = dense(rng, "b", "a", first.output, 3, "gemmlowp")
    return chain("dense_first", first, second, dense(rng, "c", "b", second.output, 17))


def one_layer(rng: Generator) -> Graph:
    """One strided 1x1 convolution with an int8 output."""
    return chain("one_layer", conv(rng, "only", "input", TensorType(7, 9, 3, 8, 0.1, 127), 10, (1, 1), (2, 3)))


def one_raw_layer(rng: Generator) -> Graph:
    """One convolution whose accumulators come out of a map of pixels."""
    source = TensorType(6, 4, 2, 8, 0.1, -128)
    return chain("one_raw_layer", conv(rng, "only", "input", source, 5, (3, 3), pads=(1, 1, 2, 0), raw=True))


def pools(rng: Generator) -> Graph:
    """A pool first, pools that round down and up, a window of one row, two pools in a row."""
    source = TensorType(13, 10, 3, 8, 0.03, 5)
    first = maxpool("first", "input", source, (3, 2), pads=(2, 2, 1, 1))
    conv_a = conv(rng, "a", "first", first.output, 7, (2, 2), pads=(1, 1, 1, 1), rule="gemmlowp")
    down = maxpool("down", "a", conv_a.output, (1, 2))
    again = maxpool("again", "down", down.output, (2, 1), pads=(1, 1, 0, 0))
    conv_b = conv(rng, "b", "again", again.output, 6, (2, 2))
    last = maxpool("last", "b", conv_b.output, (3, 2), pads=(2, 0, 0, 1))
    return chain("pools", first, conv_a, down, again, conv_b, last)


def exponents(rng: Generator) -> Graph:
    """gemmlowp with exponents of both signs in one layer, then the ends of the shifts and multipliers of the others."""
    source = TensorType(5, 5, 2, 8, 0.1, 3)
    first = conv(rng, "both", "input", source, 12, (1, 1), weight_bits=2)
    multiplier = np.array([0, *rng.integers(2**30, 2**31, 10), 2**31 - 1])
    shift = np.array([-31, -9, -4, -3, -2, -1, 0, 1, 2, 3, 6, 10])
    first = replace(first, requantize=Requantize("gemmlowp", multiplier, shift, -128, 127))
    multiplier = np.array([1, 2**31 - 1, 0, *rng.integers(2**30, 2**31, 9)])
    shift = np.array([0, 62, 1, 40, 31, 32, 33, 34, 35, 36, 33, 34])
    second = conv(rng, "up", "both", first.output, 12, (1, 1), weight_bits=1)
    second = replace(second, requantize=Requantize("half_up", multiplier, shift, -128, 127))
    third = conv(rng, "away", "up", second.output, 12, (1, 1), weight_bits=1)
    third = replace(third, requantize=Requantize("half_away", multiplier, shift, -100, 90))
    return chain("exponents", first, second, third)


def extreme(rng: Generator) -> Graph:
    """Every weight and zero point at an end of its range: the largest sums of the packed multipliers."""
    source = TensorType(4, 4, 9, 8, 0.1, -128)
    first = conv(rng, "a", "input", source, 9, (3, 3), pads=(1, 1, 1, 1), rule="half_away")
    weights = np.where(rng.integers(0, 2, first.weights.shape), 127, -128)
    weights[0], weights[1] = -128, 127
    first = replace(first, weights=weights)
    last = dense(rng, "b", "a", first.output, 11, raw=True)
    weights = np.full(last.weights.shape, -128)
    weights[1::2] = 127
    return chain("extreme", first, replace(last, weights=weights))


def deep(rng: Generator) -> Graph:
    """Eight layers: the whole program memory of a build with max_layers=8."""
    layers, name, source = [], "input", TensorType(3, 4, 2, 8, 0.1, 60)
    for number in range(8):
        layers.append(conv(rng, f"l{number}", name, source, int(rng.integers(1, 13)), (1, 1), rule=RULES[number % 3]))
        name, source = layers[-1].name, layers[-1].output
    return chain("deep", *layers)


NETWORKS = (small, awkward, dense_first, one_layer, one_raw_layer, pools, exponents, extreme, deep)


# Three networks that fill a memory of this build to its last word.
FULL = HardwareConfig(
    rows=4,
    lanes=4,
    req_lanes=4,
    multiplier="18x18",
    weight_depth=1024,
    act_depth=1024,
    line_depth=512,
    param_depth=512,
    pool_depth=256,
    max_layers=8,
)


def full_rows(rng: Generator) -> Graph:
    """Two rows of 256 words each in the line buffer, 768 + 256 words of activations, 256 pooled columns."""
    first = conv(rng, "a", "input", TensorType(3, 256, 4, 8, 0.1, 9), 4, (1, 1))
    second = conv(rng, "b", "a", first.output, 4, (1, 1), rule="half_away")
    pool = maxpool("p", "b", second.output, (3, 1))
    return chain("full_rows", first, second, pool, conv(rng, "c", "p", pool.output, 3, (1, 1), (1, 50)))


def full_weights(rng: Generator) -> Graph:
    """1 + 33 * 31 words of weights."""
    first = conv(rng, "a", "input", TensorType(11, 3, 4, 8, 0.1, 9), 4, (1, 1))
    return chain("full_weights", first, dense(rng, "b", "a", first.output, 124, raw=True))


def full_parameters(rng: Generator) -> Graph:
    """1 + 127 groups of four channels."""
    first = conv(rng, "a", "input", TensorType(4, 2, 4, 8, 0.1, 9), 4, (1, 1))
    return chain("full_parameters", first, dense(rng, "b", "a", first.output, 508))


def narrow_sums(rng: Generator) -> Graph:
    """A random network whose accumulators are proven to fit 16 bits: few products of 1- and 2-bit weights."""
    source = TensorType(
        int(rng.integers(3, 9)), int(rng.integers(3, 9)), int(rng.integers(1, 6)), 8, 0.1, int(rng.integers(-128, 128))
    )
    rules = [str(rng.choice(RULES)) for _ in range(3)]
    bits = [int(rng.integers(1, 3)) for _ in range(3)]
    first = conv(
        rng,
        "a",
        "input",
        source,
        int(rng.integers(1, 8)),
        (2, 3),
        pads=(1, 0, 1, 1),
        rule=rules[0],
        weight_bits=bits[0],
    )
    second = conv(rng, "b", "a", first.output, 9, (3, 1), (1, 2), (1, 1, 0, 0), rules[1], weight_bits=bits[1])
    last = conv(rng, "c", "b", second.output, 6, (1, 1), rule=rules[2], raw=bool(rng.integers(2)), weight_bits=bits[2])
    return chain("narrow_sums", first, second, last)


def random_network(rng: Generator) -> Graph:
    return random_graph(rng, layers=int(rng.integers(1, 6)), max_side=14, max_channels=19)
