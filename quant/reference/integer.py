"""The quantized reference in PyTorch: the integer graph as nn.Modules, exact to the bit.

It states the requantization on its own, in int64, and is compared with `accel.reference` in every layer.
Sums run in float64 where the weights prove every partial sum below 2^53, so they are exact; else in int64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from accel.errors import ModelError, RangeError
from accel.limits import blocks
from accel.tensor import Threshold

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from accel.ir import Conv2D, Dense, Graph, MaxPool, WeightedLayer
    from accel.tensor import Requantize

INT32 = (-(2**31), 2**31 - 1)
PART_ELEMENTS = 2**24  # of the windows that torch's float64 convolution writes out at a time


def round_shift_up(product: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """floor(product / 2^shift + 1/2), int64; shift >= 0, broadcast; no rounding at 0."""
    half = torch.where(shift > 0, torch.ones_like(shift) << (shift - 1).clamp(min=0), 0)
    return (product + half) >> shift


def round_shift_away(product: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """product / 2^shift to the nearest integer, ties away from zero, int64; shift >= 0, broadcast."""
    return product.sign() * round_shift_up(product.abs(), shift)


def rounded_product(acc: torch.Tensor, multiplier: torch.Tensor, shift: torch.Tensor, rule: str) -> torch.Tensor:
    """R(acc) of the three rounding rules for int32 values in int64 [N, OC, H, W]; multiplier and shift int64
    [OC]."""
    multiplier, shift = multiplier.reshape(-1, 1, 1), shift.reshape(-1, 1, 1)
    if rule == "half_up":
        return round_shift_up(acc * multiplier, shift)
    if rule == "half_away":
        return round_shift_away(acc * multiplier, shift)
    if rule != "gemmlowp":
        raise ModelError(f"rounding rule '{rule}' is unknown")
    shifted = acc << shift.clamp(min=0)
    _require_int32("accumulator << exponent", shifted)
    high = (shifted * multiplier + (1 << 30)) >> 31
    return round_shift_away(high, (-shift).clamp(min=0))


def _require_int32(what: str, values: torch.Tensor) -> None:
    if values.numel() and not (INT32[0] <= int(values.min()) and int(values.max()) <= INT32[1]):
        raise RangeError(
            f"{what} reaches {int(values.min())}..{int(values.max())}, outside int32; use "
            "smaller weights or fewer inputs"
        )


class IntegerRequantize(nn.Module):
    """int32 accumulators -> stored integers: saturate(zero_point + R(acc)) to qmin..qmax."""

    multiplier: torch.Tensor
    shift: torch.Tensor

    def __init__(self, requantize: Requantize, zero_point: int) -> None:
        super().__init__()
        self.rule, self.zero_point = requantize.rule, zero_point
        self.bounds = (requantize.qmin, requantize.qmax)
        self.register_buffer("multiplier", torch.tensor(requantize.multiplier))
        self.register_buffer("shift", torch.tensor(requantize.shift))

    def forward(self, acc: torch.Tensor) -> torch.Tensor:
        result = rounded_product(acc, self.multiplier, self.shift, self.rule).clamp(*INT32)
        return (result + self.zero_point).clamp(*self.bounds)


class IntegerThreshold(nn.Module):
    """int32 accumulators -> signs: +1 from the channel's threshold on and -1 below it, negated where inverted."""

    threshold: torch.Tensor
    direction: torch.Tensor

    def __init__(self, rule: Threshold) -> None:
        super().__init__()
        self.register_buffer("threshold", torch.tensor(rule.threshold))
        self.register_buffer("direction", 1 - 2 * torch.tensor(rule.invert).long())

    def forward(self, acc: torch.Tensor) -> torch.Tensor:
        reached = (acc - self.threshold.reshape(-1, 1, 1)).sign()
        return (2 * reached + 1).clamp(-1, 1) * self.direction.reshape(-1, 1, 1)


class _Weighted(nn.Module):
    """What convolution and dense layers share: int64 [N, C, H, W] in, int64 [N, OC, OH, OW] out."""

    bias: torch.Tensor
    weight: torch.Tensor

    def __init__(self, layer: WeightedLayer) -> None:
        super().__init__()
        self.name, self.zero_point = layer.name, layer.input.zero_point
        qmin, qmax = layer.input.qrange
        terms = layer.weights[0].size
        largest = (qmax - qmin) * int(abs(layer.weights).max()) * terms
        self.sum_type = torch.float64 if largest < 2**53 else torch.int64
        self.register_buffer("bias", torch.tensor(layer.bias))
        self.requantize: IntegerThreshold | IntegerRequantize | None = None
        if isinstance(layer.requantize, Threshold):
            self.requantize = IntegerThreshold(layer.requantize)
        elif layer.requantize is not None:
            self.requantize = IntegerRequantize(layer.requantize, layer.output.zero_point)

    def accumulate(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def forward(self, q: torch.Tensor) -> torch.Tensor:
        acc = self.accumulate((q - self.zero_point).to(self.sum_type)).long() + self.bias.reshape(-1, 1, 1)
        _require_int32(f"{self.name}: accumulator", acc)
        return acc if self.requantize is None else self.requantize(acc)


class IntegerConv2d(_Weighted):
    """Convolution of an ir.Conv2D; padding inserts the input's zero point, in a 1-bit tensor -1."""

    def __init__(self, layer: Conv2D) -> None:
        super().__init__(layer)
        self.stride, self.pads = layer.stride, layer.pads
        self.fill = -1 if layer.input.bits == 1 else 0
        self.register_buffer("weight", torch.tensor(layer.weights).permute(0, 3, 1, 2).contiguous())

    def accumulate(self, x: torch.Tensor) -> torch.Tensor:
        top, bottom, left, right = self.pads
        x = functional.pad(x, (left, right, top, bottom), value=self.fill)
        if self.sum_type == torch.float64:
            return self._convolution(x)
        height, width = self.weight.shape[2:]
        windows = x.unfold(2, height, self.stride[0]).unfold(3, width, self.stride[1])
        return (windows[:, None] * self.weight[None, :, :, None, None]).sum((2, 5, 6))

    def _convolution(self, x: torch.Tensor) -> torch.Tensor:
        """A part of the output at a time, each from its part of the padded input."""
        (height, width), (down, right), weight = self.weight.shape[2:], self.stride, self.weight.double()
        rows, columns = ((x.shape[2] - height) // down + 1), ((x.shape[3] - width) // right + 1)
        result = x.new_empty(len(x), len(weight), rows, columns)
        for high, wide in blocks(rows, columns, len(x) * weight[0].numel(), PART_ELEMENTS):
            part = x[
                :,
                :,
                high.start * down : (high.stop - 1) * down + height,
                wide.start * right : (wide.stop - 1) * right + width,
            ]
            result[:, :, high, wide] = functional.conv2d(part, weight, stride=self.stride)
        return result


class IntegerLinear(_Weighted):
    """Dense layer of an ir.Dense over the whole input in NHWC order."""

    def __init__(self, layer: Dense) -> None:
        super().__init__(layer)
        self.register_buffer("weight", torch.tensor(layer.weights))

    def accumulate(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.permute(0, 2, 3, 1).flatten(1)
        return (flat @ self.weight.to(self.sum_type).T)[..., None, None]


class IntegerMaxPool2d(nn.Module):
    """Maximum of stored integers; pads are the smallest stored value."""

    def __init__(self, layer: MaxPool) -> None:
        super().__init__()
        self.kernel, self.stride, self.pads = layer.kernel, layer.stride, layer.pads
        self.fill = layer.input.qrange[0]

    def forward(self, q: torch.Tensor) -> torch.Tensor:
        top, bottom, left, right = self.pads
        padded = functional.pad(q, (left, right, top, bottom), value=self.fill)
        return functional.max_pool2d(padded.float(), self.kernel, self.stride).long()


MODULES = {"conv2d": IntegerConv2d, "dense": IntegerLinear, "maxpool": IntegerMaxPool2d}


class IntegerNetwork(nn.Module):
    """The whole integer graph; `run` gives every layer's integers, `forward` the last layer's."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.layers = nn.ModuleDict()
        for layer in graph.layers:
            self.layers[layer.name.replace(".", "_")] = MODULES[layer.op](layer)
        self.names = [layer.name for layer in graph.layers]

    @torch.no_grad()
    def run(self, q: ArrayLike) -> dict[str, torch.Tensor]:
        """{layer name: int64 [N, H, W, C]} for int64 q [N, H, W, C]; the same layout as
        `accel.reference.run`."""
        x, outputs = torch.as_tensor(q).long().permute(0, 3, 1, 2), {}
        for name, module in zip(self.names, self.layers.values(), strict=True):
            x = module(x)
            outputs[name] = x.permute(0, 2, 3, 1)
        return outputs

    def forward(self, q: torch.Tensor) -> torch.Tensor:
        return self.run(q)[self.names[-1]]
