"""Layers with weights: convolutions, matrix products and batch norms, as modules or as functions."""

from dataclasses import replace

import torch

from accel.errors import ModelError, RangeError
from quant.frontend import fold
from quant.frontend.capture import PROBE_BATCH, Constant
from quant.frontend.floatnet import FloatConv, FloatDense
from quant.frontend.tensors import exact
from quant.frontend.values import Value

NO_PADS = (0, 0, 0, 0)


def pair(value):
    """(value, value) of one number, or the two that were given."""
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * 2 if len(values) == 1 else values


def _constant(reader, what, value, shape=None):
    """A parameter as float64; refused where it depends on the input."""
    if not isinstance(value, Constant):
        reader.refuse(f"its {what} depends on the input; only trained weights are supported")
    return exact(reader.label, what, value.tensor, shape)


def _bias(reader, bias, count):
    return torch.zeros(count).double() if bias is None else _constant(reader, "bias", bias).expand(count).clone()


def conv2d(reader, x, weight, bias, stride, padding, dilation, groups, transposed=False, output_padding=()):
    """Conv2d with any stride and zero padding; groups, dilation and transposed convolutions are refused."""
    if not isinstance(x, Value) or weight.tensor.dim() != 4 or transposed:
        reader.refuse("is not supported; use Conv2d over the input with trained weights")
    for attribute, wanted, actual in (("groups", 1, groups), ("dilation", (1, 1), pair(dilation))):
        if actual != wanted:
            reader.refuse(f"{attribute}={actual} is not supported; use {attribute}={wanted}")
    weight, kernel = _constant(reader, "weight", weight), tuple(weight.tensor.shape[2:])
    bias = _bias(reader, bias, len(weight))
    reader.need_last(x)
    reader.need_map(x)
    if padding == "same":
        own = tuple(side for size in kernel for side in ((size - 1) // 2, size // 2))
    elif padding == "valid":
        own = NO_PADS
    else:
        own = tuple(side for size in pair(padding) for side in (size, size))
    if x.padding and x.padding.value != 0:
        reader.refuse(f"follows padding with {x.padding.value}; only zero padding is supported")
    pads = tuple(map(sum, zip(own, x.padding.pads if x.padding else NO_PADS, strict=True)))
    channels = x.affine.per_channel() if x.affine else None
    if x.affine and (channels is None or (any(pads) and channels[1].any())):
        x, channels = reader.settle(x), None
    layer = FloatConv(reader.name(), weight, bias, pair(stride), pads)
    if channels is not None:
        layer = fold.scale_inputs(layer, *channels)
    height, width, count = layer.output_shape(x.shape)
    return reader.put(layer, x, (PROBE_BATCH, count, height, width))


def linear(reader, x, weight, bias=None):
    """x @ weight.T + bias over the last axis: a dense layer over all values of an image, in any order, or a 1x1
    convolution where the last axis holds the channels."""
    if not isinstance(x, Value):
        reader.refuse("its input is a constant; only the input's data flow is supported")
    weight = _constant(reader, "weight", weight)
    bias = _bias(reader, bias, len(weight))
    reader.need_last(x)
    reader.no_padding(x)
    reader.need_images(x)
    order = x.order()[0].reshape(-1, x.dims[-1])
    if len(order) == 1:
        return _dense(reader, x, weight, bias, order[0])
    height, width, channels = x.shape
    places = order[:, 0]
    if channels != x.dims[-1] or not torch.equal(order, places[:, None] + height * width * torch.arange(channels)):
        reader.refuse(
            f"acts on the last axis of [N, {', '.join(map(str, x.dims[1:]))}], which holds parts of "
            f"(H, W, C)={x.shape}; put a Flatten before it"
        )
    return _pointwise(reader, x, weight, bias, places)


def _dense(reader, x, weight, bias, order):
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
    layer = FloatDense(reader.name(), placed, bias)
    if x.affine:
        parts = (part.permute(1, 2, 0).reshape(-1) for part in (x.affine.scale, x.affine.offset))
        layer = fold.scale_inputs(layer, *parts)
    return reader.put(layer, x, (*x.dims[:-1], len(weight)))


def _pointwise(reader, x, weight, bias, places):
    """The 1x1 convolution over the pixels `places` (indices into H*W), in the user's order."""
    if x.affine and x.affine.per_channel() is None:
        x = reader.settle(x)
    layer = FloatConv(reader.name(), weight[:, :, None, None], bias)
    if x.affine:
        layer = fold.scale_inputs(layer, *x.affine.per_channel())
    height, width, count = layer.output_shape(x.shape)
    dims = (*x.dims[:-1], count)
    image = places[:, None] + height * width * torch.arange(count)
    batch = torch.arange(PROBE_BATCH).reshape(-1, 1, 1) * (height * width * count)
    return reader.put(layer, x, dims, (image + batch).reshape(dims))


def matmul(reader, x, other):
    """x @ other with a constant matrix on the right."""
    if not isinstance(x, Value) or not isinstance(other, Constant) or other.tensor.dim() != 2:
        reader.refuse("multiplies two activations; only a constant matrix on the right is supported")
    return linear(reader, x, replace(other, tensor=other.tensor.T))


def addmm(reader, x, mat1, mat2, beta=1, alpha=1):
    """beta * bias + alpha * (mat1 @ mat2); x is the bias here."""
    if not isinstance(x, Constant) or (beta, alpha) != (1, 1):
        reader.refuse("is only supported as bias + x @ weight")
    if not isinstance(mat1, Value) or not isinstance(mat2, Constant):
        reader.refuse("multiplies two activations; only a constant matrix on the right is supported")
    return linear(reader, mat1, replace(mat2, tensor=mat2.tensor.T), x)


def batch_norm(reader, x, weight, bias, running_mean, running_var, training=False, eps=1e-5, **_options):
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


OPERATORS = {
    "conv2d": conv2d,
    "convolution": conv2d,
    "linear": linear,
    "matmul": matmul,
    "mm": matmul,
    "addmm": addmm,
    "batch_norm": batch_norm,
}
