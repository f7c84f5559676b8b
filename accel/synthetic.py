"""Networks of one layer with random weights, made when they are asked for by name: for speed, at every width.

conv128-w4a4 is a 3x3 convolution 128 -> 128 on 16x16 pixels with 4-bit weights and activations; dense1024-w4a4 a dense
layer 1024 -> 1024. A name is its seed: equal names give equal networks.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from accel.fixedpoint import qrange, quantize_multiplier
from accel.ir import Conv2D, Dense, Graph, InputEncoding
from accel.tensor import Requantize, TensorType, Threshold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accel.ir import Layer
    from accel.types import Ints

CONV_CHANNELS, CONV_SIDE, CONV_KERNEL = 128, 16, 3
DENSE_CHANNELS = 1024
WIDTHS = {
    "w8a8": (8, 8),
    "w6a8": (6, 8),
    "w4a8": (4, 8),
    "w4a4": (4, 4),
    "w2a8": (2, 8),
    "w2a2": (2, 2),
    "w1a8": (1, 8),
    "w1a1": (1, 1),
}
SHAPES = ("conv128", "dense1024")
NAMES = tuple(f"{shape}-{widths}" for shape in SHAPES for widths in WIDTHS)
NAMES_TEXT = f"{' or '.join(SHAPES)} with -{', -'.join(WIDTHS)}"


def synthetic_graph(name: str) -> Graph:
    """The Graph of one of NAMES: weights in the range that every build packs, outputs as wide as the input."""
    shape, widths = name.split("-")
    weight_bits, bits = WIDTHS[widths]
    random = np.random.default_rng(zlib.crc32(name.encode()))
    zero_points = random.integers(*_range(bits), 2, endpoint=True) if bits > 1 else (0, 0)
    if shape == "conv128":
        side, channels = CONV_SIDE, CONV_CHANNELS
        weight_shape: tuple[int, ...] = channels, CONV_KERNEL, CONV_KERNEL, channels
    else:
        side, channels = 1, DENSE_CHANNELS
        weight_shape = channels, channels
    source, output = (TensorType(side, side, channels, bits, 0.05, int(zero)) for zero in zero_points)
    weights = random_weights(random, weight_shape, weight_bits)
    values = _stored_values(source)
    spread = np.sqrt(weights[0].size * np.mean(weights.astype(float) ** 2) * np.var(values))
    middle = weights.reshape(channels, -1).sum(axis=1) * np.mean(values)
    bias = np.round(random.normal(0, spread / 2, channels) - middle).astype(np.int64)
    rule = _threshold(random, spread, channels) if bits == 1 else _requantize(random, spread, channels, bits)
    common = source, output, weights, weight_bits, np.full(channels, 0.01), bias
    notes = {"origin": "random weights, the name is the seed"}
    if shape == "conv128":
        layer: Layer = Conv2D("conv", "input", *common, (1, 1), (1, 1, 1, 1), rule, notes)
    else:
        layer = Dense("dense", "input", *common, rule, notes)
    return Graph(name, source, InputEncoding("uint8" if bits == 8 else "float"), (layer,), notes=notes)


def _range(bits: int) -> tuple[int, int]:
    """The symmetric range; two bits take all four values."""
    low, high = qrange(bits)
    return (low, high) if bits == 2 else (-high, high)


def random_weights(random: np.random.Generator, shape: Sequence[int], bits: int) -> Ints:
    """Weights of a symmetric range (two bits: all four values), int64."""
    if bits == 1:
        return 2 * random.integers(0, 2, shape) - 1
    return random.integers(*_range(bits), shape, endpoint=True)


def _stored_values(tensor: TensorType) -> Ints:
    """Every value of an element, without its zero point."""
    low, high = tensor.qrange
    return np.arange(low, high + 1, 2 if tensor.bits == 1 else 1) - tensor.zero_point


def _requantize(random: np.random.Generator, spread: float, channels: int, bits: int) -> Requantize:
    """Multipliers that make the standard deviation of the accumulators about a fifth of the output's range."""
    real = random.uniform(0.5, 1.5, channels) * 2**bits / 5 / spread
    multiplier, shift = zip(*(quantize_multiplier(value, "half_up") for value in real), strict=True)
    return Requantize("half_up", np.array(multiplier), np.array(shift), *qrange(bits))


def _threshold(random: np.random.Generator, spread: float, channels: int) -> Threshold:
    """Thresholds around 0, every fourth channel inverted."""
    level = np.round(random.normal(0, spread / 2, channels)).astype(np.int64)
    return Threshold(level, np.arange(channels) % 4 == 3)
