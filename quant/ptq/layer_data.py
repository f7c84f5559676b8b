"""What a rounding method sees of one layer: its inputs in the quantized network and the outputs it should give."""

from dataclasses import dataclass

import torch
from torch.nn import functional

from accel.errors import DataError
from quant.frontend.floatnet import FloatConv


@dataclass(frozen=True, eq=False)
class LayerData:
    """One layer's calibration data.

    inputs: float64 [N, C, H, W], the layer's real input in the quantized network, so that the errors of the layers
    before it are in it. targets: float64 [N, OC, OH, OW] (dense: [N, OC, 1, 1]), what the float layer gives before
    its clamp in the float network.
    """

    inputs: torch.Tensor
    targets: torch.Tensor


def unfold(layer, inputs):
    """The layer's windows as rows: float64 [N * positions, K], so that unfold @ weight.flatten(1).T + bias is the
    layer's output before its clamp, row by row [N * positions, OC].

    layer: FloatConv or FloatDense. inputs: float64 [N, C, H, W]. Padding is 0.
    """
    if isinstance(layer, FloatConv):
        top, bottom, left, right = layer.pads
        padded = functional.pad(inputs, (left, right, top, bottom))
        windows = functional.unfold(padded, tuple(layer.weight.shape[2:]), stride=layer.stride)
        return windows.transpose(1, 2).flatten(0, 1)
    return inputs.permute(0, 2, 3, 1).flatten(1)


def target_rows(targets):
    """Targets [N, OC, OH, OW] in the order of unfold's rows: float64 [N * positions, OC]."""
    return targets.permute(0, 2, 3, 1).flatten(0, 2)


def linear_problem(layer, data, limit=None, seed=0):
    """(rows [P, K], targets [P, OC] without the bias): rounding asks for integers q with rows @ (scale q).T close to
    the targets.

    limit: at most so many positions, drawn without repetition from all by the seed. Raises DataError where the
    data do not fit the layer.
    """
    rows, targets = unfold(layer, data.inputs), target_rows(data.targets)
    count, width = len(layer.weight), layer.weight.flatten(1).shape[1]
    if rows.shape[1] != width or targets.shape != (len(rows), count) or not len(rows):
        raise DataError(f"{layer.name}: calibration data give {tuple(rows.shape)} inputs and {tuple(targets.shape)} "
                        f"targets, expected (P, {width}) and (P, {count}) with P > 0; pass the data of this layer")
    if limit is not None and len(rows) > limit:
        chosen = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:limit].sort().values
        rows, targets = rows[chosen], targets[chosen]
    return rows, targets - layer.bias


def output_error(layer, weights, scale, data):
    """Mean squared error of the layer's output behind its clamp, over all positions and channels, with integer
    weights.

    weights: int64 like layer.weight. scale: float64 [OC]. The bias is the float one.
    """
    rows, targets = linear_problem(layer, data)
    sums = rows @ (weights.flatten(1) * scale[:, None]).T
    low, high = layer.clamp
    difference = (sums + layer.bias).clamp(low, high) - (targets + layer.bias).clamp(low, high)
    return float(difference.square().mean())
