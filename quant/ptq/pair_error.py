"""What two layers with weights lose together when weights and the activations between them are rounded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from accel.errors import ModelError
from quant.arithmetic import scales
from quant.frontend.floatnet import NO_CLAMP, weighted
from quant.frontend.fold import move_scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant.frontend.floatnet import FloatLayer, Weighted
    from quant.ptq.options import LayerWidth

SIGNS = 1
INPUT_BITS = 8  # of the first layer's input, here: of its scale only the size counts


class PairError:
    """The squared error at the end of a pair, as a function of the factors between its layers.

    layers: the first, the pools between, the second. x: float64 [N, C, H, W], the first one's input. first, second:
    LayerWidths. outputs: float64 [C], the largest |output| of the first layer's channels before the clamp.
    """

    def __init__(
        self,
        layers: Sequence[FloatLayer],
        x: torch.Tensor,
        first: LayerWidth,
        second: LayerWidth,
        full_range: bool,
        per_tensor: bool,
    ) -> None:
        self.layers, self.x, self.widths = layers, x, (first, second)
        self.options = full_range, per_tensor
        self.outputs = replace(weighted(layers[0]), clamp=NO_CLAMP).forward(x).abs().amax((0, 2, 3))
        self.input_scale = scales.affine_scale(float(x.min()), float(x.max()), INPUT_BITS)[0]
        self.wanted = x
        for layer in layers:
            self.wanted = layer.forward(self.wanted)

    @torch.no_grad()
    def __call__(self, factors: torch.Tensor) -> float:
        """The sum over all images, positions and channels for factors float64 [C]."""
        layers = move_scale(self.layers, 0, factors)
        x = self._rounded(weighted(layers[0]), self.widths[0], self.input_scale).forward(self.x)
        bits = self.widths[0].activation_bits
        if bits is None:
            raise ModelError(
                f"{layers[0].name}: puts out raw sums; only a layer whose output is quantized is part of a pair"
            )
        scale, zero_point = scales.affine_scale(float(x.min()), float(x.max()), bits)
        x = (scales.to_integers(x, scale, zero_point, *scales.integer_range(bits)) - zero_point).double() * scale
        for layer in layers[1:-1]:
            x = layer.forward(x)
        x = self._rounded(weighted(layers[-1]), self.widths[1], scale).forward(x)
        return float((x - self.wanted).square().sum())

    def _rounded(self, layer: Weighted, width: LayerWidth, input_scale: float) -> Weighted:
        """The layer with its weights rounded to nearest, the scales wide enough for its bias; a layer that puts out raw
        sums has one scale."""
        full_range, per_tensor = self.options
        per_tensor = per_tensor or width.activation_bits is None
        rows = layer.weight.reshape(1 if per_tensor else len(layer.weight), -1)
        if width.weight_bits == SIGNS:
            weight = torch.where(rows < 0, -1.0, 1.0) * rows.abs().mean(1, keepdim=True)
        else:
            limits = scales.weight_limits(width.weight_bits, full_range)
            largest = rows.abs().amax(1).tolist()
            scale = torch.tensor([scales.symmetric_scale(value, width.weight_bits) for value in largest]).double()
            by_bias = layer.bias.abs() / (input_scale * scales.BIAS_LIMIT)
            scale = torch.maximum(scale, by_bias.max() if per_tensor else by_bias)
            weight = scales.to_integers(rows, scale[:, None], 0, *limits) * scale[:, None]
        return replace(layer, weight=weight.reshape(layer.weight.shape))
