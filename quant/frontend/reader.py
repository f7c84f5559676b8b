"""The state of one reading: the chain of float layers so far, and what every kind of operator does to it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from accel.errors import UnsupportedError
from quant.frontend import fold
from quant.frontend.floatnet import FloatConv, has_weights
from quant.frontend.names import safe
from quant.frontend.tensors import check_finite
from quant.frontend.values import Affine, Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import NoReturn

    from torch.fx import Node

    from quant.frontend.floatnet import FloatLayer


class Reader:
    """layers: float layers so far. node: the current one of the graph; label: what messages call it; base: the name
    that a layer of it would like. notes: sentences for the user."""

    node: Node

    def __init__(self) -> None:
        self.layers: list[FloatLayer] = []
        self.notes: list[str] = []
        self.label = self.base = ""

    def refuse(self, rule: str) -> NoReturn:
        """Raise UnsupportedError that begins with the layer's name."""
        raise UnsupportedError(f"{self.label}: {rule}")

    def name(self, base: str | None = None) -> str:
        """A layer name that is unique and safe in a file name."""
        return safe(base or self.base, {layer.name for layer in self.layers})

    def need_last(self, value: Value) -> None:
        """Only chains: the value is what the last layer puts out."""
        if value.ended:
            raise UnsupportedError(
                f"{value.ended}: is only supported at the end of the network, where it is left out; "
                f"{self.label} follows it"
            )
        last = self.layers[-1] if self.layers else None
        if value.layer is not last:
            names = [layer.name if layer else "the input" for layer in (value.layer, last)]
            self.refuse(
                f"reads {names[0]} where the layer before is {names[1]}; only a chain of layers is supported, "
                "remove the branch"
            )

    def need_images(self, value: Value) -> None:
        """The first axis is the batch, and every image has all of its values."""
        if not value.keeps_images():
            self.refuse(
                f"reads a tensor of shape {list(value.dims)} made of (H, W, C)={value.shape}, which mixes the "
                "images of a batch or drops values; keep the first axis, as in x.flatten(1)"
            )

    def need_map(self, value: Value) -> None:
        """The value is the [N, C, H, W] that the layer before puts out."""
        self.need_images(value)
        if not value.is_map():
            height, width, channels = value.shape
            self.refuse(
                f"reads {['N', *value.dims[1:]]} rearranged from [N, {channels}, {height}, {width}]; only "
                "flattening is supported, put the layer before Flatten"
            )

    def no_padding(self, value: Value) -> None:
        """Nothing but a convolution or pool takes padding."""
        if value.padding:
            raise UnsupportedError(
                f"{value.padding.label}: zero padding is only supported directly before a Conv2d or "
                f"MaxPool2d, not before {self.label}; give the padding to the convolution"
            )

    def put(self, layer: FloatLayer, value: Value, dims: Iterable[int], index: torch.Tensor | None = None) -> Value:
        """The Value of a new layer behind `value`."""
        self.layers.append(layer)
        return Value(layer, layer.output_shape(value.shape), tuple(dims), index)

    def replace_last(self, layers: Iterable[FloatLayer], value: Value) -> Value:
        """The Value whose layers were changed into these."""
        self.layers = list(layers)
        return replace(value, layer=self.layers[-1])

    def scaled(self, value: Value, scale: torch.Tensor, offset: torch.Tensor) -> Value:
        """The Value of x * scale + offset; scale, offset: float64 tensors that broadcast to its dims.

        The layer before takes them where it has no clamp, else the one behind (`settle`, or its own folding).
        """
        self.need_last(value)
        self.need_images(value)
        scale, offset = (_in_place(part, value) for part in (scale, offset))
        if value.padding and (offset.any() or value.padding.value != 0):
            self.no_padding(value)
        return self.affine(value, Affine(scale, offset, self.label, self.base))

    def affine(self, value: Value, new: Affine) -> Value:
        """The Value with the Affine behind it."""
        old = value.affine
        if old is not None:
            new = Affine(old.scale * new.scale, old.offset * new.scale + new.offset, old.label, old.name)
        own = value.layer
        channels = new.per_channel()
        is_last = own is not None and old is None and self.layers[-1] is own
        if channels and own is not None and is_last and has_weights(own) and fold.is_unclamped(own):
            return self.replace_last([*self.layers[:-1], fold.scale_outputs(own, *channels)], value)
        return replace(value, affine=new)

    def settle(self, value: Value) -> Value:
        """The Value with no affine left: a layer of its own computes it."""
        if value.affine is None:
            return value
        self.need_last(value)
        affine, channels = value.affine, value.affine.per_channel()
        if channels is None:
            raise UnsupportedError(
                f"{affine.label}: scales or shifts every value of (H, W, C)={value.shape} by its "
                "own factor, and no Linear follows that could take it; use one value per channel, "
                "as BatchNorm2d before Flatten does"
            )
        layer = fold.channel_scale(
            self.name(affine.name), *channels, as_vector=value.layer is not None and value.shape[:2] == (1, 1)
        )
        return replace(self.put(layer, value, value.dims, value.index), padding=value.padding)

    def stand_in(self, dims: Sequence[int]) -> Value:
        """A Value of this shape in place of a refused layer's, so that what follows is looked at too."""
        height, width = dims[2:] if len(dims) == 4 else (1, 1)
        nothing = torch.zeros(dims[1], dtype=torch.float64)
        layer = FloatConv(self.label, nothing.reshape(-1, 1, 1, 1)[:, :0], nothing)
        self.layers.append(layer)
        return Value(layer, (height, width, dims[1]), tuple(dims))

    def finish(self, value: Value) -> None:
        """Check the Value that the network returns, and what only the whole chain shows."""
        if value.ended is None:
            self.need_last(value)
        if value.padding:
            raise UnsupportedError(
                f"{value.padding.label}: zero padding at the end of the network does nothing useful; remove it"
            )
        self.settle(value)
        for layer in self.layers:
            if has_weights(layer):
                check_finite(layer.name, "folded weight", layer.weight)
                check_finite(layer.name, "folded bias", layer.bias)


def _in_place(part: torch.Tensor, value: Value) -> torch.Tensor:
    """A tensor that broadcasts to the value's dims, as float64 [C, H, W]."""
    height, width, channels = value.shape
    spread = torch.as_tensor(part, dtype=torch.float64).expand(value.dims)[0].reshape(-1)
    result = torch.empty_like(spread)
    result[value.order()[0].reshape(-1)] = spread
    return result.reshape(channels, height, width)
