"""A trained float network as a chain of fixed-point layers, ready to train on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from accel.errors import ModelError, UnsupportedError
from quant.frontend.floatnet import NO_CLAMP, FloatConv, has_weights
from quant.frontend.fold import PIXEL_SCALE
from quant.qfx.layers import GREY_LEVELS, FixedConv2d, FixedInput, FixedLinear, FixedMaxPool
from quant.qfx.quantizer import STARTS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from quant.frontend.floatnet import Shape, Weighted
    from quant.frontend.prepare import PreparedNetwork


@dataclass(frozen=True)
class FixedOptions:
    """weight_width, activation_width: word lengths, one or one per layer with weights (activations: but the last).
    per_channel: a binary point per output channel of the weights (the last layer has one). start: 'mse', 'max' or a
    number of integer bits. rate: how fast the binary points learn. learn: whether they do.
    """

    weight_width: int | tuple[int, ...] = 8
    activation_width: int | tuple[int, ...] = 8
    per_channel: bool = False
    start: str | int = "mse"
    rate: float = 10.0
    learn: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.start, str) and self.start not in STARTS:
            raise UnsupportedError(f"start '{self.start}' is unknown; choose one of {', '.join(STARTS)} or a number")


class FixedNetwork(nn.Sequential):
    """Chain of FixedInput, fixed-point layers, ReLU, FixedMaxPool and Flatten: images in [0, 1] -> logits.

    input_shape: (H, W, C) of the image.
    """

    input_shape: tuple[int, int, int] | None = None


def convert(prepared: PreparedNetwork, options: FixedOptions | None = None) -> FixedNetwork:
    """The FixedNetwork of a PreparedNetwork (uint8 input): same layers, learned binary points.

    The image becomes grey level / 256, a fixed-point word, so the first layer's weights are multiplied by 256 / 255.
    Raises UnsupportedError for what has no fixed-point form here, ModelError for a wrong number of widths.
    """
    options, network = options or FixedOptions(), prepared.network
    if prepared.encoding != "uint8":
        raise UnsupportedError(f"{network.name}: fixed-point networks read uint8 images, not '{prepared.encoding}'")
    if not has_weights(network.layers[0]):
        raise UnsupportedError(f"{network.name}: the first layer must be a Conv2d or a Linear")
    count = sum(map(has_weights, network.layers))
    weight_widths = _expand(options.weight_width, count, "weight widths")
    input_widths = (None, *_expand(options.activation_width, count - 1, "activation widths"))
    fixed, shape = FixedNetwork(), network.input_shape
    fixed.input_shape = shape
    pixels = FixedInput((prepared.zero_point or 0) + 128)
    fixed.add_module("pixels", pixels)
    pixel_step = PIXEL_SCALE * (GREY_LEVELS + 1)
    index = 0
    for layer in network.layers:
        if not has_weights(layer):
            fixed.add_module(layer.name, FixedMaxPool(layer))
            shape = layer.output_shape(shape)
            continue
        last = index == count - 1
        part = _weighted(layer, shape, weight_widths[index], input_widths[index], options, last)
        if index == 0:
            part.weight.data.mul_(pixel_step)
            part.reads(pixels)
        if not isinstance(layer, FloatConv):
            fixed.add_module(f"{layer.name}_flatten", nn.Flatten())
        fixed.add_module(layer.name, part)
        if layer.clamp != NO_CLAMP:
            fixed.add_module(f"{layer.name}_clamp", _clamp(layer.clamp))
        shape, index = layer.output_shape(shape), index + 1
    return fixed


def _expand(widths: int | Iterable[int], count: int, what: str) -> tuple[int, ...]:
    widths = (widths,) if isinstance(widths, int) else tuple(widths)
    if len(widths) not in (1, count):
        raise ModelError(
            f"{what} {','.join(map(str, widths))} name {len(widths)} layers where the network has "
            f"{count}; give one, or {count}"
        )
    return widths * count if len(widths) == 1 else widths


def _weighted(
    layer: Weighted, shape: Shape, weight_width: int, input_width: int | None, options: FixedOptions, last: bool
) -> FixedConv2d | FixedLinear:
    start = {"start": options.start} if isinstance(options.start, str) else {"integer_bits": options.start}
    given = {"rate": options.rate, "learn": options.learn, **start}
    common: dict[str, Any] = {
        "weight_width": weight_width,
        "input_width": input_width,
        "weights": given,
        "inputs": given,
        "per_channel": options.per_channel and not last,
    }
    weight = layer.weight.float()
    if isinstance(layer, FloatConv):
        rows, columns = weight.shape[2:]
        conv = FixedConv2d(weight.shape[1], len(weight), (rows, columns), layer.stride, pads=layer.pads, **common)
        return conv.take(weight, layer.bias.float(), weight_width == 1)
    height, width, channels = shape
    weight = weight.reshape(-1, height, width, channels).permute(0, 3, 1, 2).flatten(1)
    dense = FixedLinear(weight.shape[1], len(weight), **common)
    return dense.take(weight, layer.bias.float(), weight_width == 1)


def _clamp(bounds: tuple[float, float]) -> nn.Module:
    low, high = bounds
    if low == 0 and high == float("inf"):
        return nn.ReLU()
    return nn.Hardtanh(low, high)
