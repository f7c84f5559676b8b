"""Small sound graphs of random widths: what hostile_models damages."""

import numpy as np

from accel.fixedpoint import qrange
from accel.ir import Conv2D, Dense, Graph, InputEncoding, MaxPool, Requantize, TensorType, Threshold
from accel.names import RULES, WEIGHT_BITS


def tensor(rng, height, width, channels, raw=False):
    bits = 32 if raw else int(rng.choice([8, 8, 4, 2, 1]))
    low, high = (0, 0) if bits in (1, 32) else qrange(bits)
    return TensorType(height, width, channels, bits, float(rng.uniform(0.001, 0.1)), int(rng.integers(low, high + 1)))


def weighted(rng, kind, name, before, source, output, shape, stride=(1, 1), pads=(0, 0, 0, 0)):
    """A layer with random weights of a random width."""
    bits, channels = int(rng.choice(WEIGHT_BITS)), shape[0]
    low, high = qrange(bits)
    weights = rng.integers(0, 2, shape) * 2 - 1 if bits == 1 else rng.integers(low, high + 1, shape)
    bias = rng.integers(-1000, 1001, channels)
    if output.bits == 32:
        rule = None
    elif output.bits == 1:
        rule = Threshold(bias, rng.integers(0, 2, channels).astype(bool))
    else:
        kind_of_rule = str(rng.choice(RULES))
        shift = rng.integers(-12, -5, channels) if kind_of_rule == "gemmlowp" else rng.integers(36, 44, channels)
        rule = Requantize(kind_of_rule, rng.integers(2**30, 2**31 - 1, channels), shift, *qrange(output.bits))
    common = name, before, source, output, weights, bits, np.full(channels, 0.01), bias
    return Dense(*common, rule) if kind == "dense" else Conv2D(*common, stride, pads, rule)


def small_graph(rng):
    """A convolution, a pool and a dense layer."""
    source = tensor(rng, 6, 5, int(rng.integers(1, 6)))
    middle = tensor(rng, 6, 5, int(rng.integers(1, 10)))
    first = weighted(
        rng, "conv", "conv", "input", source, middle, (middle.channels, 3, 3, source.channels), pads=(1, 1, 1, 1)
    )
    pooled = TensorType(3, 2, middle.channels, middle.bits, middle.scale, middle.zero_point)
    pool = MaxPool("pool", "conv", middle, pooled, (2, 2), (2, 2), (0, 0, 0, 0))
    last = weighted(rng, "dense", "last", "pool", pooled, tensor(rng, 1, 1, 4, raw=True), (4, pooled.elements))
    return Graph(
        "small",
        source,
        InputEncoding("uint8" if source.bits == 8 else "float"),
        (first, pool, last),
        ("a", "b", "c", "d"),
        {"origin": "random"},
    )


def side(rng, most=65535):
    """A size between 1 and `most`, small and large ones alike."""
    return int(min(most, 2 ** rng.uniform(0, np.log2(most + 1))))
