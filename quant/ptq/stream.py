"""Calibration images on their way through the float network and the integer network, layer by layer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from accel.tensor import RAW_BITS, TensorType
from quant.arithmetic import scales
from quant.frontend.floatnet import NO_CLAMP
from quant.ptq.layer_data import LayerData
from quant.reference.integer import MODULES

if TYPE_CHECKING:
    from accel.ir import Layer, WeightedLayer
    from accel.types import Array
    from quant.frontend.floatnet import FloatLayer, Weighted
    from quant.frontend.prepare import PreparedNetwork


class LayerStream:
    """What both networks hold in front of the next layer.

    prepared: PreparedNetwork. images: as its encoding takes them, [N, H, W, C]. tensor: the integer graph's input.
    """

    def __init__(self, prepared: PreparedNetwork, images: Array, tensor: TensorType) -> None:
        self.floats = prepared.input_values(images)
        if prepared.encoding == "uint8":
            self.integers = torch.as_tensor(images.copy()).permute(0, 3, 1, 2).long() - 128
        else:
            self.integers = scales.to_integers(self.floats, tensor.scale, tensor.zero_point, *tensor.qrange)

    @torch.no_grad()
    def data(self, layer: Weighted, tensor: TensorType) -> LayerData:
        """LayerData of a FloatConv or FloatDense that reads `tensor`."""
        inputs = (self.integers - tensor.zero_point).double() * tensor.scale
        return LayerData(inputs, replace(layer, clamp=NO_CLAMP).forward(self.floats))

    @torch.no_grad()
    def accumulators(self, built: WeightedLayer) -> torch.Tensor:
        """int64 [N, OC, OH, OW] of an ir layer, bias included."""
        raw = replace(built.output, bits=RAW_BITS, zero_point=0)
        return MODULES[built.op](replace(built, requantize=None, output=raw))(self.integers)

    @torch.no_grad()
    def step(self, layer: FloatLayer, built: Layer) -> None:
        """Go through the float layer and through the ir layer made of it."""
        self.floats, self.integers = layer.forward(self.floats), MODULES[built.op](built)(self.integers)
