"""Folding in float64: batch norm into the layer before it, clamps, and the input's mean and deviation.

Every function is pure: float layers in, new float layers out, the same real function.
"""

from dataclasses import replace

import torch

from quant.frontend.floatnet import NO_CLAMP, FloatConv, FloatDense, FloatNetwork, has_weights

PIXEL_SCALE = 1 / 255


def scale_outputs(layer, scale, offset):
    """The layer followed by y * scale + offset per output channel (float64 [OC]); it must have no clamp
    yet."""
    shape = (-1,) + (1,) * (layer.weight.dim() - 1)
    return replace(layer, weight=layer.weight * scale.reshape(shape), bias=layer.bias * scale + offset)


def channel_scale(name, scale, offset, as_vector):
    """A layer of its own that computes x * scale + offset per channel: a diagonal 1x1 convolution or dense
    layer."""
    weight = torch.diag(scale)
    if as_vector:
        return FloatDense(name, weight, offset)
    return FloatConv(name, weight[:, :, None, None], offset)


def clamp_output(layers, clamp):
    """The layers with a clamp after the last one, or None where no layer can take it.

    A max pool is monotone, so a clamp after it moves before it unchanged.
    """
    for index in range(len(layers) - 1, -1, -1):
        layer = layers[index]
        if has_weights(layer):
            old_low, old_high = layer.clamp
            low, high = (min(max(bound, clamp[0]), clamp[1]) for bound in (old_low, old_high))
            return [*layers[:index], replace(layer, clamp=(low, high)), *layers[index + 1:]]
    return None


def fold_input(network, mean, std):
    """Fold x = (u / 255 - mean) / std into the network, so that it reads r = (q - zero_point) / 255 with q =
    u - 128.

    mean, std: one value, or one per channel. Returns (FloatNetwork that reads r, zero_point). Padding stays
    exact where every channel's mean is within half a grey level of the zero point, or nothing is padded;
    else the normalization becomes a layer of its own in front (as it does before a max pool).
    """
    channels = network.input_shape[2]
    mean = torch.as_tensor(mean, dtype=torch.float64).expand(channels)
    std = torch.as_tensor(std, dtype=torch.float64).expand(channels)
    zero_level = int((255 * mean.mean()).round().clamp(0, 255))
    residual = mean - zero_level * PIXEL_SCALE
    first = network.layers[0]
    padded = any(getattr(first, "pads", ()))
    exact = bool((residual.abs() <= PIXEL_SCALE / 2 + 1e-12).all())
    if has_weights(first) and (exact or not padded):
        layers = (_scale_inputs(first, 1 / std, -residual / std), *network.layers[1:])
    elif not torch.any(residual) and torch.all(std == 1):
        layers = network.layers
    else:
        names = {layer.name for layer in network.layers}
        name = "normalize" if "normalize" not in names else "input_normalize"
        layers = (channel_scale(name, 1 / std, -residual / std, False), *network.layers)
    return FloatNetwork(network.name, network.input_shape, tuple(layers)), zero_level - 128


def _scale_inputs(layer, scale, offset):
    """The layer reading x where it read x * scale + offset per input channel; exact where nothing is
    padded."""
    if isinstance(layer, FloatConv):
        factor, shift = scale.reshape(1, -1, 1, 1), offset.reshape(1, -1, 1, 1)
    else:
        positions = layer.weight.shape[1] // len(scale)
        factor, shift = scale.repeat(positions), offset.repeat(positions)
    bias = layer.bias + (layer.weight * shift).flatten(1).sum(1)
    return replace(layer, weight=layer.weight * factor, bias=bias)


def is_unclamped(layer):
    """True where nothing stands between the layer's sum and its output."""
    return has_weights(layer) and layer.clamp == NO_CLAMP
