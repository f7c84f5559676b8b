"""Cross-layer equalization: the ranges of a channel's weights on both sides of an activation are made equal.

Nagel et al. 2019, Data-free quantization through weight equalization and bias correction, section 4.1. The network
stays the same real function: ReLU (or no clamp) and max pooling commute with a positive factor per channel.

The paper's factor of a channel whose weights have decayed is huge, and what its bias puts out grows along until it is
all that the tensor's scale holds. So a channel's weights count as at least FAINT times the layer's largest, and
`pair_error` measures what two layers lose: factors that lose SLACK times as much as none are lowered, or left out.
Sound layers stay below it (LeNet-5: 1.6 at most), and what a pair loses alone is not yet what the network loses.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from quant.frontend.floatnet import FloatConv, weighted
from quant.frontend.fold import cannot_move_scale, move_scale, next_weighted
from quant.ptq.pair_error import PairError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant.frontend.floatnet import FloatLayer, FloatNetwork, Weighted
    from quant.ptq.options import LayerWidth

ROUNDS = 50
TOLERANCE = 1e-4
FAINT = 2.0**-16
SLACK = 2.0
BOUNDS = 10  # tried for the outputs of the channels
IMAGES = 32  # of the samples, on which pairs are measured


def equalize(
    network: FloatNetwork,
    samples: torch.Tensor,
    widths: Sequence[LayerWidth],
    *,
    full_range: bool = False,
    per_tensor: bool = False,
    rounds: int = ROUNDS,
    tolerance: float = TOLERANCE,
) -> FloatNetwork:
    """The FloatNetwork with equalized weights; layers whose scale cannot be moved stay as they are.

    Every pair is equalized in turn until no factor is further from 1 than `tolerance`, at most `rounds` times. samples:
    float64 [N, C, H, W], inputs of the network, on which every pair is then measured at the LayerWidths `widths`, one
    per layer with weights; full_range, per_tensor: of the weights.
    """
    layers = network.layers
    pairs = {
        index: later
        for index in range(len(layers))
        if cannot_move_scale(layers, index) is None and (later := next_weighted(layers, index)) is not None
    }
    for index, later in pairs.items():
        layers = _lifted(layers, index, later)
    found = {index: torch.ones(len(weighted(layers[index]).weight), dtype=torch.float64) for index in pairs}
    for _ in range(rounds):
        largest = 0.0
        for index, later in pairs.items():
            factors = pair_factors(weighted(layers[index]), weighted(layers[later]))
            layers = move_scale(layers, index, factors)
            found[index] = found[index] * factors
            largest = max(largest, float((factors - 1).abs().max()))
        if largest <= tolerance:
            break
    layers, x = network.layers, samples[:IMAGES]
    by_index = dict(zip((index for index, layer in enumerate(layers) if hasattr(layer, "weight")), widths, strict=True))
    for index in range(len(layers)):
        if index in pairs:
            error = PairError(
                layers[index : pairs[index] + 1], x, by_index[index], by_index[pairs[index]], full_range, per_tensor
            )
            layers = move_scale(layers, index, best_factors(found[index], error))
        x = layers[index].forward(x)
    return replace(network, layers=tuple(layers))


def pair_factors(first: Weighted, second: Weighted) -> torch.Tensor:
    """float64 [C] by which `first`'s output channels are multiplied: sqrt(r2 / r1), r1 and r2 the largest |w| of the
    channel in both layers (equation 11 gives its inverse); 1 where one of them is 0."""
    before = first.weight.flatten(1).abs().amax(1)
    after = input_channels(second, len(before)).abs().amax(1)
    used = (before > 0) & (after > 0)
    return torch.where(used, torch.sqrt(torch.where(used, after, 1.0) / torch.where(used, before, 1.0)), 1.0)


def _lifted(layers: Sequence[FloatLayer], index: int, later: int) -> tuple[FloatLayer, ...]:
    """The layers with a weight of FAINT times the layer's largest in every channel between the two whose weights are
    smaller, on either side: what the factors are found by."""
    before, behind = weighted(layers[index]), weighted(layers[later])
    first, second = before.weight.clone(), behind.weight.clone()
    channels = len(first)
    rows, columns = first.flatten(1), input_channels(behind, channels)
    for weight, faint in ((first, rows.abs().amax(1)), (second, columns.abs().amax(1))):
        for channel in torch.nonzero(faint < FAINT * faint.max()).flatten().tolist():
            # In NHWC order the first position of a dense layer's row holds the channels in turn.
            one = weight[channel] if weight is first else weight[0, channel]
            one.view(-1)[0] = FAINT * faint.max()
    lifted = list(layers)
    lifted[index], lifted[later] = replace(before, weight=first), replace(behind, weight=second)
    return tuple(lifted)


def input_channels(layer: Weighted, channels: int) -> torch.Tensor:
    """Weights as [C, all that read the channel]; a dense layer reads its inputs in NHWC order."""
    if isinstance(layer, FloatConv):
        return layer.weight.transpose(0, 1).flatten(1)
    return layer.weight.reshape(len(layer.weight), -1, channels).permute(2, 0, 1).flatten(1)


def best_factors(factors: torch.Tensor, error: PairError) -> torch.Tensor:
    """The factors [C] where they lose at most SLACK times as much as none, else those of least error among none and
    them with the largest outputs lowered to one of BOUNDS bounds. error: PairError."""
    none = torch.ones_like(factors)
    if error(factors) <= SLACK * error(none):
        return factors
    scaled = error.outputs * factors
    inside = scaled[scaled > 0]
    if not len(inside):
        return none
    bounds = torch.logspace(float(inside.max().log2()), float(inside.min().log2()), BOUNDS + 1, 2.0)[1:].double()
    lowered = [torch.where(scaled > bound, bound / error.outputs.clamp(min=1e-300), factors) for bound in bounds]
    return min([none, *lowered], key=error)
