"""The float network between the front end and the quantizer: a chain of folded layers, in float64.

Batch norm, dropout and flatten are gone; ReLU and clamps are the `clamp` of the layer before them. Feature
maps are [N, C, H, W] tensors, vectors are [N, C, 1, 1]. Dense weights are in NHWC order of their input, as
in the integer graph.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import TypeIs

NO_CLAMP = (-math.inf, math.inf)
Shape: TypeAlias = tuple[int, int, int]  # (H, W, C)


@dataclass(frozen=True, eq=False)
class FloatConv:
    """Convolution: weight float64 [OC, IC, KH, KW], bias float64 [OC], pads (top, bottom, left, right) of
    zeros."""

    name: str
    weight: torch.Tensor
    bias: torch.Tensor
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    clamp: tuple[float, float] = NO_CLAMP

    def output_shape(self, shape: Shape) -> Shape:
        """(H, W, C) after this layer for an input of (H, W, C)."""
        kernel = tuple(self.weight.shape[2:])
        return (*_windows(shape, kernel, self.stride, self.pads), self.weight.shape[0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        top, bottom, left, right = self.pads
        x = functional.pad(x, (left, right, top, bottom))
        return functional.conv2d(x, self.weight, self.bias, self.stride).clamp(*self.clamp)


@dataclass(frozen=True, eq=False)
class FloatDense:
    """Matrix product over the whole input in NHWC order: weight float64 [OC, H*W*C], bias float64 [OC]."""

    name: str
    weight: torch.Tensor
    bias: torch.Tensor
    clamp: tuple[float, float] = NO_CLAMP

    def output_shape(self, shape: Shape) -> Shape:
        """(1, 1, OC) for any input that fits."""
        return 1, 1, self.weight.shape[0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.permute(0, 2, 3, 1).flatten(1)
        return functional.linear(flat, self.weight, self.bias).clamp(*self.clamp)[..., None, None]


@dataclass(frozen=True, eq=False)
class FloatPool:
    """Max pool; pads (top, bottom, left, right) never win; a rounded-up output is written with larger
    pads."""

    name: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)

    def output_shape(self, shape: Shape) -> Shape:
        """(H, W, C) after this layer for an input of (H, W, C)."""
        return (*_windows(shape, self.kernel, self.stride, self.pads), shape[2])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        top, bottom, left, right = self.pads
        x = functional.pad(x, (left, right, top, bottom), value=-math.inf)
        return functional.max_pool2d(x, self.kernel, self.stride)


Weighted: TypeAlias = FloatConv | FloatDense
FloatLayer: TypeAlias = FloatConv | FloatDense | FloatPool


@dataclass(frozen=True, eq=False)
class FloatNetwork:
    """A chain of float layers over an input of (H, W, C). notes: sentences about what reading left out."""

    name: str
    input_shape: Shape
    layers: tuple[FloatLayer, ...] = field(default_factory=tuple)
    notes: tuple[str, ...] = ()

    @property
    def output_shape(self) -> Shape:
        """(H, W, C) of the last layer."""
        shape = self.input_shape
        for layer in self.layers:
            shape = layer.output_shape(shape)
        return shape

    @torch.no_grad()
    def run(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Every layer's output by name, float64 [N, C, H, W], for x float64 [N, C, H, W]."""
        outputs = {}
        for layer in self.layers:
            x = outputs[layer.name] = layer.forward(x)
        return outputs


def has_weights(layer: FloatLayer) -> TypeIs[Weighted]:
    """True for layers that multiply and accumulate."""
    return not isinstance(layer, FloatPool)


def weighted(layer: FloatLayer) -> Weighted:
    """The layer, which must multiply and accumulate."""
    if not has_weights(layer):
        raise TypeError(f"{layer.name} has no weights")
    return layer


def _windows(
    shape: Shape, kernel: Sequence[int], stride: tuple[int, int], pads: tuple[int, int, int, int]
) -> tuple[int, int]:
    height = (shape[0] + pads[0] + pads[1] - kernel[0]) // stride[0] + 1
    width = (shape[1] + pads[2] + pads[3] - kernel[1]) // stride[1] + 1
    return height, width
