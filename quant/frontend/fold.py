"""Folding in float64: batch norm into the layer before it, clamps, and the input's mean and deviation.

Every function is pure: float layers in, new float layers out, the same real function.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from accel.errors import RangeError, UnsupportedError
from quant.frontend.floatnet import NO_CLAMP, FloatConv, FloatDense, has_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant.frontend.floatnet import FloatLayer, FloatNetwork, Weighted

PIXEL_SCALE = 1 / 255


def scale_outputs(layer: Weighted, scale: torch.Tensor, offset: torch.Tensor | float) -> Weighted:
    """The layer followed by y * scale + offset per output channel (float64 [OC]); it must have no clamp
    yet."""
    shape = (-1,) + (1,) * (layer.weight.dim() - 1)
    return replace(layer, weight=layer.weight * scale.reshape(shape), bias=layer.bias * scale + offset)


def channel_scale(name: str, scale: torch.Tensor, offset: torch.Tensor, as_vector: bool) -> Weighted:
    """A layer of its own that computes x * scale + offset per channel: a diagonal 1x1 convolution or dense
    layer."""
    weight = torch.diag(scale)
    if as_vector:
        return FloatDense(name, weight, offset)
    return FloatConv(name, weight[:, :, None, None], offset)


def clamp_output(layers: Sequence[FloatLayer], clamp: tuple[float, float]) -> list[FloatLayer] | None:
    """The layers with a clamp after the last one, or None where no layer can take it.

    A max pool is monotone, so a clamp after it moves before it unchanged.
    """
    for index in range(len(layers) - 1, -1, -1):
        layer = layers[index]
        if has_weights(layer):
            old_low, old_high = layer.clamp
            low, high = (min(max(bound, clamp[0]), clamp[1]) for bound in (old_low, old_high))
            return [*layers[:index], replace(layer, clamp=(low, high)), *layers[index + 1 :]]
    return None


def fold_input(network: FloatNetwork, mean: Sequence[float], std: Sequence[float]) -> tuple[FloatNetwork, int]:
    """Fold x = (u / 255 - mean) / std into the network, so that it reads r = (q - zero_point) / 255 with q =
    u - 128.

    mean, std: one value, or one per channel. A network that begins with a factor and shift of its own, such as 2 x - 1,
    folds them as well. Returns (FloatNetwork that reads r, zero_point). Padding stays
    exact where every channel's mean is within half a grey level of the zero point, or nothing is padded;
    else the normalization becomes a layer of its own in front (as it does before a max pool).
    """
    channels = network.input_shape[2]
    means = torch.as_tensor(mean, dtype=torch.float64).expand(channels)
    stds = torch.as_tensor(std, dtype=torch.float64).expand(channels)
    network, means, stds = _take_first_affine(network, means, stds)
    zero_level = int((255 * means.mean()).round().clamp(0, 255))
    residual = means - zero_level * PIXEL_SCALE
    first = network.layers[0]
    padded = any(getattr(first, "pads", ()))
    exact = bool((residual.abs() <= PIXEL_SCALE / 2 + 1e-12).all())
    if has_weights(first) and (exact or not padded):
        layers = (scale_inputs(first, 1 / stds, -residual / stds), *network.layers[1:])
    elif not torch.any(residual) and torch.all(stds == 1):
        layers = network.layers
    else:
        names = {layer.name for layer in network.layers}
        name = "normalize" if "normalize" not in names else "input_normalize"
        layers = (channel_scale(name, 1 / stds, -residual / stds, False), *network.layers)
    return replace(network, layers=tuple(layers)), zero_level - 128


def _take_first_affine(
    network: FloatNetwork, mean: torch.Tensor, std: torch.Tensor
) -> tuple[FloatNetwork, torch.Tensor, torch.Tensor]:
    """(network without a first layer x * a + b per channel, mean and std that stand for it as well)."""
    first, *others = network.layers
    if not others or not isinstance(first, FloatConv) or not is_unclamped(first):
        return network, mean, std
    scale = first.weight.flatten(1).diagonal() if first.weight[0].numel() == len(first.weight) else torch.zeros(1)
    is_diagonal = torch.equal(first.weight, torch.diag(scale)[:, :, None, None])
    if not is_diagonal or not scale.all() or first.stride != (1, 1) or any(first.pads):
        return network, mean, std
    return replace(network, layers=tuple(others)), mean - first.bias * std / scale, std / scale


def scale_inputs(layer: Weighted, scale: torch.Tensor, offset: torch.Tensor) -> Weighted:
    """The layer reading x where it read x * scale + offset per input channel; exact where nothing is
    padded."""
    if isinstance(layer, FloatConv):
        factor, shift = scale.reshape(1, -1, 1, 1), offset.reshape(1, -1, 1, 1)
    else:
        positions = layer.weight.shape[1] // len(scale)
        factor, shift = scale.repeat(positions), offset.repeat(positions)
    bias = layer.bias + (layer.weight * shift).flatten(1).sum(1)
    return replace(layer, weight=layer.weight * factor, bias=bias)


def next_weighted(layers: Sequence[FloatLayer], index: int) -> int | None:
    """Index of the first layer with weights behind `index`; None where there is none."""
    return next((later for later in range(index + 1, len(layers)) if has_weights(layers[later])), None)


def cannot_move_scale(layers: Sequence[FloatLayer], index: int) -> str | None:
    """Why the output channels of a layer cannot be scaled exactly, as text; None where they can.

    The clamp must commute with a positive factor (none, or ReLU): relu(s x) = s relu(x). Max pools always do.
    """
    layer = layers[index]
    if not has_weights(layer):
        return "has no weights to scale"
    if next_weighted(layers, index) is None:
        return "has no layer with weights behind it to take the inverse scale"
    if not all(bound in (0.0, math.inf, -math.inf) for bound in layer.clamp):
        return f"clamps to {layer.clamp}, and only ReLU or no clamp commutes with a scale"
    return None


def move_scale(layers: Sequence[FloatLayer], index: int, factors: torch.Tensor) -> tuple[FloatLayer, ...]:
    """The layers with output channel c of layers[index] multiplied by factors[c] and the next layer with weights
    dividing by it: the same real function (Nagel et al. 2019, Data-free quantization, section 4.1).

    factors: float64 [OC], positive and finite. Max pools may stand between the two. Raises UnsupportedError where
    the factors cannot pass the clamp or nothing takes their inverse, RangeError for a factor that is not positive.
    """
    layer, later = layers[index], next_weighted(layers, index)
    reason = cannot_move_scale(layers, index)
    if reason is not None or later is None or not has_weights(layer):
        raise UnsupportedError(f"{layer.name}: {reason}; leave this layer's scales as they are")
    factors = torch.as_tensor(factors, dtype=torch.float64)
    count = len(layer.weight)
    if factors.shape != (count,) or not (torch.isfinite(factors) & (factors > 0)).all():
        raise RangeError(
            f"{layer.name}: scale factors {tuple(factors.shape)} must be {count} positive finite "
            "numbers, one per output channel"
        )
    behind, moved = layers[later], list(layers)
    moved[index] = scale_outputs(layer, factors, 0.0)
    if has_weights(behind):
        moved[later] = scale_inputs(behind, 1 / factors, torch.zeros_like(factors))
    return tuple(moved)


def is_unclamped(layer: FloatLayer) -> bool:
    """True where nothing stands between the layer's sum and its output."""
    return has_weights(layer) and layer.clamp == NO_CLAMP
