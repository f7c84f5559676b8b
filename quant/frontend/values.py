"""What the front end knows of one activation tensor while it reads a graph, operator by operator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from quant.frontend.capture import PROBE_BATCH, Constant

if TYPE_CHECKING:
    from collections.abc import Iterable

    from quant.frontend.floatnet import FloatLayer, Shape


@dataclass(frozen=True, eq=False)
class Affine:
    """x * scale + offset that no layer has taken yet: scale, offset float64 [C, H, W]. label, name: of the operator
    that began it."""

    scale: torch.Tensor
    offset: torch.Tensor
    label: str
    name: str

    def per_channel(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """(scale, offset) as float64 [C], or None where they differ within a channel."""
        parts = [part.flatten(1) for part in (self.scale, self.offset)]
        if not all(torch.equal(part, part[:, :1].expand_as(part)) for part in parts):
            return None
        return parts[0][:, 0], parts[1][:, 0]


@dataclass(frozen=True, eq=False)
class Padding:
    """Constant padding that no layer has taken yet: pads (top, bottom, left, right) of `value`."""

    pads: tuple[int, int, int, int]
    value: float
    label: str


@dataclass(frozen=True, eq=False)
class Value:
    """An activation tensor.

    layer: the float layer that puts it out, None for the network's input. shape: (H, W, C) of that output. dims: the
    shape that the user's code sees, with the batch. index: int64 of that shape, what element of the batch [N, C, H, W]
    stands where; None where they stand in this order. affine, padding: what the next layer has to do first. ended:
    label of a softmax or the like that was dropped and that nothing may follow.
    """

    layer: FloatLayer | None
    shape: Shape
    dims: tuple[int, ...]
    index: torch.Tensor | None = None
    affine: Affine | None = None
    padding: Padding | None = None
    ended: str | None = None

    @property
    def elements(self) -> int:
        """Number of values of one image."""
        return math.prod(self.shape)

    @property
    def map_dims(self) -> tuple[int, int, int, int]:
        """The shape [N, C, H, W] that a convolution reads."""
        height, width, channels = self.shape
        return PROBE_BATCH, channels, height, width

    def order(self) -> torch.Tensor:
        """int64 [N, ...]: what `index` says, also where it is None."""
        if self.index is None:
            return torch.arange(math.prod(self.dims)).reshape(self.dims)
        return self.index

    def is_map(self) -> bool:
        """True where it is the layer's own [N, C, H, W]."""
        return self.index is None and self.dims == self.map_dims

    def keeps_images(self) -> bool:
        """True where the first axis is the batch and each image has all of its values."""
        if self.dims[:1] != (PROBE_BATCH,) or math.prod(self.dims) != PROBE_BATCH * self.elements:
            return False
        if self.index is None:
            return True
        everything = self.index.reshape(PROBE_BATCH, -1).sort().values
        return torch.equal(everything, torch.arange(PROBE_BATCH * self.elements).reshape(PROBE_BATCH, -1))


def network_input(shape: Shape, dims: Iterable[int]) -> Value:
    """The Value of the images: shape (H, W, C), dims as the network sees them without the batch."""
    return Value(None, shape, (PROBE_BATCH, *dims))


class Unknown:
    """An activation behind a refused layer, of a shape that says nothing about what it holds."""


Operand: TypeAlias = Value | Constant | float
Handler: TypeAlias = Callable[..., Any]  # of an operator: the Reader, then what the operator's schema names
