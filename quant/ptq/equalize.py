"""Cross-layer equalization: the ranges of a channel's weights on both sides of an activation are made equal.

Nagel et al. 2019, Data-free quantization through weight equalization and bias correction, section 4.1. The network
stays the same real function: ReLU (or no clamp) and max pooling commute with a positive factor per channel.
"""

from dataclasses import replace

import torch

from quant.frontend.floatnet import FloatConv
from quant.frontend.fold import cannot_move_scale, move_scale, next_weighted

ROUNDS = 50
TOLERANCE = 1e-4


def equalize(network, rounds=ROUNDS, tolerance=TOLERANCE):
    """The FloatNetwork with equalized weights; layers whose scale cannot be moved stay as they are.

    Every pair is equalized in turn until no factor is further from 1 than `tolerance`, at most `rounds` times.
    """
    layers = network.layers
    pairs = [index for index in range(len(layers)) if cannot_move_scale(layers, index) is None]
    for _ in range(rounds):
        largest = 0.0
        for index in pairs:
            factors = pair_factors(layers[index], layers[next_weighted(layers, index)])
            layers = move_scale(layers, index, factors)
            largest = max(largest, float((factors - 1).abs().max()))
        if largest <= tolerance:
            break
    return replace(network, layers=tuple(layers))


def pair_factors(first, second):
    """float64 [C] by which `first`'s output channels are multiplied: sqrt(r2 / r1), r1 and r2 the largest |w| of the
    channel in both layers (equation 11 gives its inverse); 1 where one of them is 0."""
    before = first.weight.flatten(1).abs().amax(1)
    after = input_channels(second, len(before)).abs().amax(1)
    used = (before > 0) & (after > 0)
    return torch.where(used, torch.sqrt(torch.where(used, after, 1.0) / torch.where(used, before, 1.0)), 1.0)


def input_channels(layer, channels):
    """Weights as [C, all that read the channel]; a dense layer reads its inputs in NHWC order."""
    if isinstance(layer, FloatConv):
        return layer.weight.transpose(0, 1).flatten(1)
    return layer.weight.reshape(len(layer.weight), -1, channels).permute(2, 0, 1).flatten(1)
