"""The plain float network with torch's own fake_quantize operators, in float32.

It rounds differently from the integer contract: the sum and the scale are float32, the bias is not an
integer and ties go to even. So its integers may differ by one step where the exact value lies next to a
rounding tie; `quant.reference.compare` counts these differences and says how near to a tie they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from accel.tensor import Threshold
from quant.frontend.floatnet import has_weights

if TYPE_CHECKING:
    from accel.ir import Graph, Layer, WeightedLayer
    from accel.tensor import TensorType
    from accel.types import Ints
    from quant.frontend.floatnet import FloatNetwork, Weighted


class FakeQuantLayer(nn.Module):
    """One layer: float32 [N, C, H, W] on the input's grid -> float32 on the output's grid (raw outputs stay
    plain floats)."""

    bias: torch.Tensor
    weight: torch.Tensor
    level: torch.Tensor
    direction: torch.Tensor

    def __init__(self, layer: Layer, original: Weighted | None = None) -> None:
        super().__init__()
        self.op, self.output = layer.op, layer.output
        self.stride, self.pads = getattr(layer, "stride", (1, 1)), getattr(layer, "pads", (0, 0, 0, 0))
        if layer.op == "maxpool":
            self.kernel = layer.kernel
            return
        self.limits = layer.output.qrange
        if isinstance(layer.requantize, Threshold):
            self._take_threshold(layer, layer.requantize)
        elif layer.requantize is not None:
            self.limits = (layer.requantize.qmin, layer.requantize.qmax)
        self.fill = -1.0 if layer.input.bits == 1 else 0.0
        scale = torch.tensor(layer.weight_scale)
        weight = torch.tensor(layer.weights) * scale.reshape(-1, *(1,) * (layer.weights.ndim - 1))
        bias = torch.tensor(layer.bias) * scale * layer.input.scale
        if layer.op == "conv2d":
            weight = weight.permute(0, 3, 1, 2)
        if original is not None:
            weight, bias = original.weight, original.bias
        self.register_buffer("bias", bias.float())
        if layer.weight_bits == 1:
            weight = torch.where(weight < 0, -1.0, 1.0) * scale.reshape(-1, *(1,) * (weight.dim() - 1))
            self.register_buffer("weight", weight.float())
            return
        largest = 2 ** (layer.weight_bits - 1) - 1
        zero_points = torch.zeros(len(scale), dtype=torch.int32)
        self.register_buffer(
            "weight",
            torch.fake_quantize_per_channel_affine(
                weight.float().contiguous(), scale.float(), zero_points, 0, -largest - 1, largest
            ),
        )

    def _take_threshold(self, layer: WeightedLayer, rule: Threshold) -> None:
        """Real values between the accumulators at the threshold and below it, where the sign changes."""
        step = torch.tensor(layer.weight_scale * layer.input.scale)
        level = (torch.tensor(rule.threshold) - 0.5) * step
        self.register_buffer("level", level.float().reshape(-1, 1, 1))
        self.register_buffer("direction", 1 - 2 * torch.tensor(rule.invert).float().reshape(-1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.op == "dense":
            flat = x.permute(0, 2, 3, 1).flatten(1)
            return self._quantize(functional.linear(flat, self.weight, self.bias)[..., None, None])
        top, bottom, left, right = self.pads
        if self.op == "maxpool":
            x = functional.pad(x, (left, right, top, bottom), value=-torch.inf)
            return functional.max_pool2d(x, self.kernel, self.stride)
        x = functional.pad(x, (left, right, top, bottom), value=self.fill)
        return self._quantize(functional.conv2d(x, self.weight, self.bias, self.stride))

    def _quantize(self, y: torch.Tensor) -> torch.Tensor:
        if self.output.bits == 32:
            return y
        if self.output.bits == 1:
            return torch.where(y < self.level, -1.0, 1.0) * self.direction
        scale, zero_point = self.output.scale, self.output.zero_point
        y = torch.fake_quantize_per_tensor_affine(y, scale, zero_point, *self.output.qrange)
        # Clamped afterwards: torch wants the zero point inside the limits, a clamp above zero has it outside.
        return y.clamp(*((torch.tensor(self.limits) - zero_point).float() * np.float32(scale).item()).tolist())


class FakeQuantNetwork(nn.Module):
    """The fake-quantized network of an integer graph.

    network: the FloatNetwork that the graph was made from, whose float weights and biases are then used
    (same layers); without it the graph's dequantized ones are.
    """

    def __init__(self, graph: Graph, network: FloatNetwork | None = None) -> None:
        super().__init__()
        self.input = graph.input
        floats = () if network is None else network.layers
        originals = {layer.name: layer for layer in floats if has_weights(layer)}
        self.layers = nn.ModuleDict()
        for layer in graph.layers:
            self.layers[layer.name.replace(".", "_")] = FakeQuantLayer(layer, originals.get(layer.name))
        self.types = {layer.name: (layer.input, layer.output) for layer in graph.layers}

    @torch.no_grad()
    def step(self, name: str, q: Ints) -> Ints:
        """Integers that layer `name` puts out for integers q [N, H, W, C]: int64 [N, H, W, C], raw sums
        rounded."""
        source, target = self.types[name]
        x = self._dequantize(q, source)
        y = self.layers[name.replace(".", "_")](x).permute(0, 2, 3, 1).double()
        return (torch.round(y / target.scale).long() + target.zero_point).numpy()

    @torch.no_grad()
    def forward(self, q: Ints) -> torch.Tensor:
        """Float outputs [N, H, W, C] of the whole network for input integers q [N, H, W, C]."""
        x = self._dequantize(q, self.input)
        for module in self.layers.values():
            x = module(x)
        return x.permute(0, 2, 3, 1)

    @staticmethod
    def _dequantize(q: Ints, tensor: TensorType) -> torch.Tensor:
        values = torch.as_tensor(np.asarray(q)).long().permute(0, 3, 1, 2)
        return (values - tensor.zero_point).float() * np.float32(tensor.scale).item()
