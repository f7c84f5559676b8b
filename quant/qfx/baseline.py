"""Post-training quantization with float scales at any width: what learned fixed point has to beat.

Weights: one scale per channel of the least squared error, rounded to nearest or by GPTQ; activations: one scale per
tensor of the least squared error, unsigned behind a ReLU. The widths need not be those of the accelerator.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from quant.frontend.floatnet import FloatNetwork, has_weights
from quant.ptq import gptq
from quant.ptq.layer_data import LayerData
from quant.qat.ste import best_scale

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quant.frontend.floatnet import Weighted
    from quant.frontend.prepare import PreparedNetwork


class Step:
    """values -> scale * clamp(round(values / scale)); one scale, of the least squared error over `samples`."""

    def __init__(self, samples: torch.Tensor, bits: int) -> None:
        signed = bool((samples < 0).any())
        self.low = -(1 << (bits - 1)) if signed else 0
        self.high = self.low + (1 << bits) - 1
        self.scale = best_scale(samples.reshape(1, -1), self.low, self.high).squeeze()

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        return torch.round(values / self.scale).clamp(self.low, self.high) * self.scale


class FloatScaleNetwork:
    """A FloatNetwork with quantized weights and a Step behind every layer with weights but the last."""

    def __init__(self, network: FloatNetwork, steps: Mapping[str, Step]) -> None:
        self.network, self.steps = network, steps

    def eval(self) -> None:
        """Nothing: there is no training mode."""

    @torch.no_grad()
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [N, C, H, W] in [0, 1] -> float32 logits [N, classes]."""
        for layer in self.network.layers:
            x = layer.forward(x)
            if layer.name in self.steps:
                x = self.steps[layer.name](x)
        return x.flatten(1)


@torch.no_grad()
def float_scale_ptq(
    prepared: PreparedNetwork, images: torch.Tensor, bits: int, rounding: str = "gptq"
) -> FloatScaleNetwork:
    """The FloatScaleNetwork of a PreparedNetwork without mean (zero point -128); images: float32 [N, C, H, W] in
    [0, 1] for calibration; bits: of weights and activations; rounding: 'nearest' or 'gptq'."""
    layers, steps = [], {}
    count = sum(map(has_weights, prepared.network.layers))
    real = ideal = images.double()
    for source in prepared.network.layers:
        layer = source
        if has_weights(source):
            layer = _weights(source, bits, rounding, LayerData(real, _unclamped(source, ideal)))
        real, ideal = layer.forward(real), source.forward(ideal)
        layers.append(layer)
        if has_weights(layer) and sum(map(has_weights, layers)) < count:
            steps[layer.name] = Step(real, bits)
            real = steps[layer.name](real)
    single = [
        replace(layer, weight=layer.weight.float(), bias=layer.bias.float()) if has_weights(layer) else layer
        for layer in layers
    ]
    network = FloatNetwork(prepared.network.name, prepared.network.input_shape, tuple(single))
    for step in steps.values():
        step.scale = step.scale.float()
    return FloatScaleNetwork(network, steps)


def _unclamped(layer: Weighted, x: torch.Tensor) -> torch.Tensor:
    return replace(layer, clamp=(-torch.inf, torch.inf)).forward(x)


def _weights(layer: Weighted, bits: int, rounding: str, data: LayerData) -> Weighted:
    high = (1 << (bits - 1)) - 1
    scale = best_scale(layer.weight.flatten(1), -high, high).reshape(-1)
    columns = scale.reshape(-1, *(1,) * (layer.weight.dim() - 1))
    if rounding == "gptq":
        integers = gptq.round_weights(layer, scale, -high, high, data)
    else:
        integers = torch.round(layer.weight / columns).clamp(-high, high)
    return replace(layer, weight=integers * columns)
