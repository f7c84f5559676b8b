"""Layers with weights: convolutions, matrix products and batch norms, as modules or as functions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from accel.errors import ModelError, RangeError
from quant.frontend import fold
from quant.frontend.capture import PROBE_BATCH, Constant
from quant.frontend.floatnet import FloatConv, FloatDense
from quant.frontend.tensors import exact
from quant.frontend.values import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant.frontend.floatnet import Weighted
    from quant.frontend.reader import Reader
    from quant.frontend.values import Handler, Operand

NO_PADS = (0, 0, 0, 0)


def pair(value: int | Sequence[int]) -> tuple[int, int]:
    """(value, value) of one number, or the two that were given."""
    values = (value,) if isinstance(value, int) else tuple(value)
    first, second = values * 2 if len(values) == 1 else values
    return first, second


def _constant(reader: Reader, what: str, value: Operand | None, shape: Sequence[int] | None = None) -> torch.Tensor:
    """A parameter as float64; refused where it depends on the input."""
    if not isinstance(value, Constant):
        reader.refuse(f"its {what} depends on the input; only trained weights are supported")
    return exact(reader.label, what, value.tensor, shape)


def _bias(reader: Reader, bias: Operand | None, count: int) -> torch.Tensor:
    return torch.zeros(count).double() if bias is None else _constant(reader, "bias", bias).expand(count).clone()


def conv2d(
    reader: Reader,
    x: Operand,
    weight: Constant,
    bias: Operand | None,
    stride: Sequence[int],
    padding: Sequence[int] | str,
    dilation: Sequence[int],
    groups: int,
    transposed: bool = False,
    output_padding: Sequence[int] = (),
) -> Value:
    """Conv2d with any stride and zero padding; groups, dilation and transposed convolutions are refused."""
    if not isinstance(x, Value) or weight.tensor.dim() != 4 or transposed:
        reader.refuse("is not supported; use Conv2d over the input with trained weights")
    for attribute, wanted, actual in (("groups", 1, groups), ("dilation", (1, 1), pair(dilation))):
        if actual != wanted:
            reader.refuse(f"{attribute}={actual} is not supported; use {attribute}={wanted}")
    values, kernel = _constant(reader, "weight", weight), tuple(weight.tensor.shape[2:])
    offset = _bias(reader, bias, len(values))
    reader.need_last(x)
    reader.need_map(x)
    if padding == "same":
        own = tuple(side for size in kernel for side in ((size - 1) // 2, size // 2))
    elif isinstance(padding, str):  # "valid"
        own = NO_PADS
    else:
        own = tuple(side for size in pair(padding) for side in (size, size))
    if x.padding and x.padding.value != 0:
        reader.refuse(f"follows padding with {x.padding.value}; only zero padding is supported")
    top, bottom, left, right = map(sum, zip(own, x.padding.pads if x.padding else NO_PADS, strict=True))
    pads = top, bottom, left, right
    channels = x.affine.per_channel() if x.affine else None
    if x.affine and (channels is None or (any(pads) and channels[1].any())):
        x, channels = reader.settle(x), None
    layer: Weighted = FloatConv(reader.name(), values, offset, pair(stride), pads)
    if channels is not None:
        layer = fold.scale_inputs(layer, *channels)
    height, width, count = layer.output_shape(x.shape)
    return reader.put(layer, x, (PROBE_BATCH, count, height, width))


def linear(reader: Reader, x: Operand, weight: Operand, bias: Operand | None = None) -> Value:
    """x @ weight.T + bias over the last axis: a dense layer over all values of an image, in any order, or a 1x1
    convolution where the last axis holds the channels."""
    if not isinstance(x, Value):
        reader.refuse("its input is a constant; only the input's data flow is supported")
    values = _constant(reader, "weight", weight)
    offset = _bias(reader, bias, len(values))
    reader.need_last(x)
    reader.no_padding(x)
    reader.need_images(x)
    order = x.order()[0].reshape(-1, x.dims[-1])
    if len(order) == 1:
        return _dense(reader, x, values, offset, order[0])
    height, width, channels = x.shape
    places = order[:, 0]
    if channels != x.dims[-1] or not torch.equal(order, places[:, None] + height * width * torch.arange(channels)):
        reader.refuse(
            f"acts on the last axis of [N, {', '.join(map(str, x.dims[1:]))}], which holds parts of "
            f"(H, W, C)={x.shape}; put a Flatten before it"
        )
    return _pointwise(reader, x, values, offset, places)


def _dense(reader: Reader, x: Value, weight: torch.Tensor, bias: torch.Tensor, order: torch.Tensor) -> Value:
    """The dense layer of weights [O, K] whose column k reads element order[k] of [C, H, W]."""
    height, width, channels = x.shape
    if weight.shape[1] != x.elements:
        raise ModelError(
            f"{reader.label}: in_features={weight.shape[1]} but (H, W, C)={x.shape} are {x.elements} "
            "values; set in_features to that"
        )
    placed = torch.empty_like(weight)
    placed[:, order] = weight
    placed = placed.reshape(-1, channels, height, width).permute(0, 2, 3, 1).reshape(len(weight), -1)
    layer: Weighted = FloatDense(reader.name(), placed, bias)
    if x.affine:
        parts = (part.permute(1, 2, 0).reshape(-1) for part in (x.affine.scale, x.affine.offset))
        layer = fold.scale_inputs(layer, *parts)
    return reader.put(layer, x, (*x.dims[:-1], len(weight)))


def _pointwise(reader: Reader, x: Value, weight: torch.Tensor, bias: torch.Tensor, places: torch.Tensor) -> Value:
    """The 1x1 convolution over the pixels `places` (indices into H*W), in the user's order."""
    channels = x.affine.per_channel() if x.affine else None
    if x.affine and channels is None:
        x = reader.settle(x)
    layer: Weighted = FloatConv(reader.name(), weight[:, :, None, None], bias)
    if channels is not None:
        layer = fold.scale_inputs(layer, *channels)
    height, width, count = layer.output_shape(x.shape)
    dims = (*x.dims[:-1], count)
    image = places[:, None] + height * width * torch.arange(count)
    batch = torch.arange(PROBE_BATCH).reshape(-1, 1, 1) * (height * width * count)
    return reader.put(layer, x, dims, (image + batch).reshape(dims))


def matmul(reader: Reader, x: Operand, other: Operand) -> Value:
    """x @ other with a constant matrix on the right."""
    if not isinstance(x, Value) or not isinstance(other, Constant) or other.tensor.dim() != 2:
        reader.refuse("multiplies two activations; only a constant matrix on the right is supported")
    return linear(reader, x, replace(other, tensor=other.tensor.T))


def addmm(reader: Reader, x: Operand, mat1: Operand, mat2: Operand, beta: float = 1, alpha: float = 1) -> Value:
    """beta * bias + alpha * (mat1 @ mat2); x is the bias here."""
    if not isinstance(x, Constant) or (beta, alpha) != (1, 1):
        reader.refuse("is only supported as bias + x @ weight")
    if not isinstance(mat1, Value) or not isinstance(mat2, Constant):
        reader.refuse("multiplies two activations; only a constant matrix on the right is supported")
    return linear(reader, mat1, replace(mat2, tensor=mat2.tensor.T), x)


def batch_norm(
    reader: Reader,
    x: Value,
    weight: Operand | None,
    bias: Operand | None,
    running_mean: Operand | None,
    running_var: Operand | None,
    training: bool = False,
    eps: float = 1e-5,
    **_options: object,
) -> Value:
    """Batch norm in eval mode: an affine function per channel, which folds."""
    if training or running_mean is None or running_var is None:
        reader.refuse(
            "normalizes by the batch it sees (track_running_stats=False or training=True) and has no "
            "statistics to fold; train with running statistics"
        )
    mean = _constant(reader, "running_mean", running_mean)
    variance = _constant(reader, "running_var", running_var) + eps
    if (variance <= 0).any():
        channel = int((variance <= 0).nonzero()[0])
        raise RangeError(
            f"{reader.label}: running_var + eps of channel {channel} is "
            f"{variance[channel].item()}, which must be positive; train the model again"
        )
    gamma = torch.ones_like(mean) if weight is None else _constant(reader, "weight", weight)
    beta = torch.zeros_like(mean) if bias is None else _constant(reader, "bias", bias)
    scale = gamma / variance.sqrt()
    shape = (-1, *(1,) * (len(x.dims) - 2))
    return reader.scaled(x, scale.reshape(shape), (beta - mean * scale).reshape(shape))


OPERATORS: dict[str, Handler] = {
    "conv2d": conv2d,
    "convolution": conv2d,
    "linear": linear,
    "matmul": matmul,
    "mm": matmul,
    "addmm": addmm,
    "batch_norm": batch_norm,
}
