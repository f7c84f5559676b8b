"""One reader per PyTorch layer: each appends to, or changes the end of, the chain of float layers."""

import math

import torch
from torch import nn
from torch.nn import functional

from accel.errors import ModelError, RangeError, UnsupportedError
from quant.frontend import fold
from quant.frontend.floatnet import FloatConv, FloatDense, FloatPool, has_weights
from quant.frontend.tensors import check_finite, exact


class Reader:
    """The state of one reading: layers so far, the shape (H, W, C) they put out, zero padding not yet
    used."""

    def __init__(self, module, input_shape):
        self.root = module
        self.layers = []
        self.shape = tuple(input_shape)
        self.flat = False
        self.pads = None
        self.label = ""

    def module(self, node):
        """The user's own module behind a node (not the traced copy)."""
        return self.root.get_submodule(node.target)

    def enter(self, node, label, value):
        """Called before each handler: the node's label for messages and its tensor from the trial run."""
        self.label, self.value = label, value
        is_convolution = node.op == "call_module" and type(self.module(node)) is nn.Conv2d
        if self.pads is not None and not is_convolution:
            raise UnsupportedError(f"{label}: zero padding is only supported directly before a Conv2d; give "
                                   "the padding to the convolution")
        if node.op == "call_module":
            module = self.module(node)
            if module._forward_hooks or module._forward_pre_hooks:
                raise UnsupportedError(f"{label}: has forward hooks, whose effect is not visible; remove "
                                       "them (as remove_weight_norm does) before quantizing")

    def refuse(self, rule):
        """Raise UnsupportedError that begins with the layer's name."""
        raise UnsupportedError(f"{self.label}: {rule}")

    def name(self, node):
        """A layer name that is unique and safe in a file name."""
        base = str(node.target if node.op == "call_module" else node.name).replace(".", "_")
        if not base[0].isalpha() or base == "input":
            base = f"layer_{base}"
        name, number = base[:56], 2
        while any(layer.name == name for layer in self.layers):
            name, number = f"{base[:56]}_{number}", number + 1
        return name

    def add(self, layer):
        self.layers.append(layer)
        self.shape = layer.output_shape(self.shape)

    def require_map(self):
        """The layer works on [N, C, H, W]."""
        if self.flat:
            self.refuse("follows a flattened tensor; put it before Flatten")

    def finish(self):
        """Check what only the whole chain shows."""
        if self.pads is not None:
            self.refuse("zero padding at the end of the network does nothing useful; remove it")
        for layer in self.layers:
            if has_weights(layer):
                check_finite(layer.name, "folded weight", layer.weight)
                check_finite(layer.name, "folded bias", layer.bias)


def _pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)


def _bias(reader, module, count):
    if module.bias is None:
        return torch.zeros(count, dtype=torch.float64)
    return exact(reader.label, "bias", module.bias, (count,))


def read_conv(reader, node):
    """Conv2d with any stride and padding; groups and dilation are refused."""
    reader.require_map()
    module = reader.module(node)
    for attribute, wanted in (("groups", 1), ("dilation", (1, 1)), ("padding_mode", "zeros")):
        actual = getattr(module, attribute)
        if actual != wanted:
            reader.refuse(f"{attribute}={actual} is not supported; use {attribute}={wanted}")
    kernel = module.kernel_size
    weight = exact(reader.label, "weight", module.weight, (module.out_channels, module.in_channels, *kernel))
    if module.padding == "same":
        pads = tuple(side for size in kernel for side in ((size - 1) // 2, size // 2))
    elif module.padding == "valid":
        pads = (0, 0, 0, 0)
    else:
        pads = tuple(side for size in _pair(module.padding) for side in (size, size))
    before = reader.pads or (0, 0, 0, 0)
    reader.pads = None
    pads = tuple(a + b for a, b in zip(before, pads, strict=True))
    bias = _bias(reader, module, module.out_channels)
    reader.add(FloatConv(reader.name(node), weight, bias, tuple(module.stride), pads))


def read_linear(reader, node):
    """Linear over a flat vector; PyTorch flattens as (C, H, W), the weights are permuted to (H, W, C)."""
    height, width, channels = reader.shape
    if not reader.flat and (height, width) != (1, 1):
        reader.refuse(f"reads the unflattened tensor (H, W, C)={reader.shape}; put a Flatten before it")
    if not reader.flat:
        reader.refuse("acts on the last axis of a 4-dimensional tensor; put a Flatten before it")
    module = reader.module(node)
    weight = exact(reader.label, "weight", module.weight, (module.out_features, module.in_features))
    if module.in_features != height * width * channels:
        raise ModelError(f"{reader.label}: in_features={module.in_features} but (H, W, C)={reader.shape} are "
                         f"{height * width * channels} values; set in_features to that")
    weight = weight.reshape(-1, channels, height, width).permute(0, 2, 3, 1).reshape(module.out_features, -1)
    reader.add(FloatDense(reader.name(node), weight, _bias(reader, module, module.out_features)))


def read_batch_norm(reader, node):
    """BatchNorm in eval mode: folded into the layer before, or a layer of its own on a feature map."""
    module = reader.module(node)
    count = module.num_features
    if module.running_mean is None or module.running_var is None:
        reader.refuse("track_running_stats=False has no statistics to fold; train with running statistics")
    mean = exact(reader.label, "running_mean", module.running_mean, (count,))
    variance = exact(reader.label, "running_var", module.running_var, (count,)) + module.eps
    if (variance <= 0).any():
        channel = int((variance <= 0).nonzero()[0])
        raise RangeError(f"{reader.label}: running_var + eps of channel {channel} is "
                         f"{variance[channel].item()}, which must be positive; train the model again")
    gamma, beta = torch.ones_like(mean), torch.zeros_like(mean)
    if module.affine:
        gamma = exact(reader.label, "weight", module.weight, (count,))
        beta = exact(reader.label, "bias", module.bias, (count,))
    scale = gamma / variance.sqrt()
    offset = beta - mean * scale
    if reader.layers and fold.is_unclamped(reader.layers[-1]) and reader.shape[2] == count:
        reader.layers[-1] = fold.scale_outputs(reader.layers[-1], scale, offset)
    elif reader.shape[2] == count and (not reader.flat or reader.shape[:2] == (1, 1)):
        reader.add(fold.channel_scale(reader.name(node), scale, offset, as_vector=reader.flat))
    else:
        reader.refuse(f"normalizes a flattened tensor (H, W, C)={reader.shape} with nothing before it to "
                      "fold into; use BatchNorm2d before Flatten")


def read_clamp(reader, low, high):
    """A clamp moves into the layer with weights before it."""
    if not low <= high or low == math.inf or high == -math.inf:
        reader.refuse(f"clamps to {low}..{high}; give a lower bound that is not above the upper one")
    layers = fold.clamp_output(reader.layers, (low, high))
    if layers is None:
        reader.refuse("has no Conv2d or Linear before it to merge with; remove it or put it after one")
    reader.layers = layers


def read_pool(reader, kernel, stride, padding, dilation, ceil_mode, return_indices, name):
    """Max pooling; ceil_mode becomes larger bottom and right pads."""
    reader.require_map()
    if _pair(dilation) != (1, 1):
        reader.refuse(f"dilation={dilation} is not supported; use dilation=1")
    if return_indices:
        reader.refuse("return_indices=True is not supported; use return_indices=False")
    kernel = _pair(kernel)
    stride = _pair(stride) if stride not in (None, (), []) else kernel
    pads = []
    for axis, before in enumerate(_pair(padding)):
        size, windows = reader.shape[axis], reader.value.shape[2 + axis]
        after = (windows - 1) * stride[axis] + kernel[axis] - size - before
        pads += [before, max(after, 0) if ceil_mode else before]
    layer = FloatPool(name, kernel, stride, tuple(pads))
    if layer.output_shape(reader.shape)[:2] != tuple(reader.value.shape[2:]):
        reader.refuse(f"ceil_mode={ceil_mode} gives {tuple(reader.value.shape[2:])}, which these pads cannot "
                      "express; use ceil_mode=False")
    reader.add(layer)


def read_flatten(reader, node):
    """Flatten, view, reshape and squeeze, where they turn [N, C, H, W] into [N, C*H*W] or change nothing."""
    height, width, channels = reader.shape
    before = (channels * height * width,) if reader.flat else (channels, height, width)
    result = tuple(reader.value.shape[1:])
    if reader.value.shape[0] != 2 or result not in (before, (channels * height * width,)):
        reader.refuse(f"makes {['N', *result]} of {['N', *before]}; only flattening to [N, C*H*W] is "
                      "supported")
    reader.flat = reader.flat or result != before


def read_zero_pad(reader, pads, value):
    """Zero padding (left, right, top, bottom) in front of a convolution."""
    reader.require_map()
    if value not in (None, 0, 0.0):
        reader.refuse(f"pads with {value}; only zero padding is supported")
    pads = tuple(pads) + (0,) * (4 - len(pads))
    if len(pads) != 4 or min(pads) < 0:
        reader.refuse(f"pads {pads} must be four numbers of at least 0 (left, right, top, bottom)")
    left, right, top, bottom = pads
    reader.pads = (top, bottom, left, right)


def _ignore(reader, node):
    """Dropout and Identity do nothing at inference."""


def _arguments(node, names, defaults):
    """Arguments of a function node by name; a default of Ellipsis marks a required one."""
    given = dict(zip(names, node.args, strict=False)) | node.kwargs
    return [given.get(name, default) for name, default in zip(names, defaults, strict=True)]


def _pool_module(reader, node):
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
    module = reader.module(node)
    read_pool(reader, *(getattr(module, name) for name in names), reader.name(node))


def _pool_function(reader, node):
    names = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
    values = _arguments(node, names, (None, None, None, 0, 1, False, False))
    read_pool(reader, *values[1:], reader.name(node))


def _clamp_function(reader, node):
    _, low, high = _arguments(node, ("input", "min", "max"), (None, None, None))
    if not all(bound is None or isinstance(bound, (int, float)) for bound in (low, high)):
        reader.refuse("clamps with a tensor; use plain numbers")
    read_clamp(reader, -math.inf if low is None else float(low), math.inf if high is None else float(high))


def _hardtanh_function(reader, node):
    _, low, high = _arguments(node, ("input", "min_val", "max_val"), (None, -1.0, 1.0))
    read_clamp(reader, float(low), float(high))


def _dropout_function(reader, node):
    _, _, training = _arguments(node, ("input", "p", "training"), (None, 0.5, True))
    if training:
        reader.refuse("drops values at inference too; pass training=self.training or use nn.Dropout")


def _pad_function(reader, node):
    _, pads, mode, value = _arguments(node, ("input", "pad", "mode", "value"), (None, (), "constant", None))
    if mode != "constant":
        reader.refuse(f"mode='{mode}' is not supported; use constant zero padding")
    read_zero_pad(reader, pads, value)


def _relu(reader, node):
    read_clamp(reader, 0.0, math.inf)


def _relu6(reader, node):
    read_clamp(reader, 0.0, 6.0)


def _hardtanh(reader, node):
    module = reader.module(node)
    read_clamp(reader, float(module.min_val), float(module.max_val))


def _pad_module(reader, node):
    module = reader.module(node)
    read_zero_pad(reader, module.padding, getattr(module, "value", 0))


def function_name(target):
    return getattr(target, "__name__", str(target))


MODULES = {
    nn.Conv2d: read_conv, nn.Linear: read_linear,
    nn.BatchNorm1d: read_batch_norm, nn.BatchNorm2d: read_batch_norm,
    nn.ReLU: _relu, nn.ReLU6: _relu6, nn.Hardtanh: _hardtanh,
    nn.MaxPool2d: _pool_module, nn.Flatten: read_flatten,
    nn.ZeroPad2d: _pad_module, nn.ConstantPad2d: _pad_module,
    **dict.fromkeys((nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout,
                     nn.FeatureAlphaDropout), _ignore),
}
FUNCTIONS = {
    **dict.fromkeys((functional.relu, torch.relu, torch.relu_, functional.relu_), _relu),
    **dict.fromkeys((torch.clamp, torch.clip), _clamp_function),
    **dict.fromkeys((torch.flatten, torch.reshape, torch.squeeze), read_flatten),
    functional.relu6: _relu6, functional.hardtanh: _hardtanh_function, functional.dropout: _dropout_function,
    functional.max_pool2d: _pool_function, functional.pad: _pad_function,
}
METHODS = {
    "relu": _relu, "relu_": _relu, "clamp": _clamp_function, "clip": _clamp_function, "contiguous": _ignore,
    **dict.fromkeys(("view", "reshape", "flatten", "squeeze"), read_flatten),
}
