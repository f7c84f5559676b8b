"""What a rounding method sees of one layer: its inputs in the quantized network and the outputs it should give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from accel.errors import DataError
from quant.frontend.floatnet import FloatConv

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quant.frontend.floatnet import Weighted

CHUNK_ELEMENTS = 1 << 24  # of the windows of a few images


@dataclass(frozen=True, eq=False)
class LayerData:
    """One layer's calibration data.

    inputs: float64 [N, C, H, W], the layer's real input in the quantized network, so that the errors of the layers
    before it are in it. targets: float64 [N, OC, OH, OW] (dense: [N, OC, 1, 1]), what the float layer gives before
    its clamp in the float network.
    """

    inputs: torch.Tensor
    targets: torch.Tensor


def unfold(layer: Weighted, inputs: torch.Tensor) -> torch.Tensor:
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


def target_rows(targets: torch.Tensor) -> torch.Tensor:
    """Targets [N, OC, OH, OW] in the order of unfold's rows: float64 [N * positions, OC]."""
    return targets.permute(0, 2, 3, 1).flatten(0, 2)


def linear_problem(
    layer: Weighted, data: LayerData, limit: int | None = None, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """(rows [P, K], targets [P, OC] without the bias): rounding asks for integers q with rows @ (scale q).T close to
    the targets.

    limit: at most so many positions, drawn without repetition from all by the seed. Raises DataError where the
    data do not fit the layer.
    """
    positions = _positions(layer, data)
    chosen = None
    if limit is not None and positions > limit:
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(positions, generator=generator)[:limit].sort().values
    parts, start = [], 0
    for rows, targets in chunks(layer, data):
        if chosen is not None:
            inside = chosen[(chosen >= start) & (chosen < start + len(rows))] - start
            start += len(rows)
            rows, targets = rows[inside], targets[inside]
        parts.append((rows, targets))
    return torch.cat([rows for rows, _ in parts]), torch.cat([targets for _, targets in parts])


def normal_equations(layer: Weighted, data: LayerData) -> tuple[torch.Tensor, torch.Tensor]:
    """(X^T X [K, K], X^T T [K, OC]) of linear_problem's rows X and targets T, float64, a few images at a time.

    Raises DataError where the data do not fit the layer.
    """
    _positions(layer, data)
    width = layer.weight.flatten(1).shape[1]
    gram = torch.zeros(width, width, dtype=torch.float64)
    cross = torch.zeros(width, len(layer.weight), dtype=torch.float64)
    for rows, targets in chunks(layer, data):
        gram += rows.T @ rows
        cross += rows.T @ targets
    return gram, cross


def chunks(layer: Weighted, data: LayerData) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """(rows [P, K], targets [P, OC] without the bias) of a few images at a time, all of them in order."""
    per_image = data.targets[0, 0].numel() * layer.weight.flatten(1).shape[1]
    count = max(CHUNK_ELEMENTS // max(per_image, 1), 1)
    for start in range(0, len(data.inputs), count):
        part = slice(start, start + count)
        yield unfold(layer, data.inputs[part]), target_rows(data.targets[part]) - layer.bias


def _positions(layer: Weighted, data: LayerData) -> int:
    """Number of rows of all images. Raises DataError where the data do not fit the layer."""
    count, width = len(layer.weight), layer.weight.flatten(1).shape[1]
    rows, targets = unfold(layer, data.inputs[:1]), target_rows(data.targets[:1])
    if (
        not len(rows)
        or len(data.inputs) != len(data.targets)
        or rows.shape[1] != width
        or (targets.shape != (len(rows), count))
    ):
        raise DataError(
            f"{layer.name}: calibration data give {tuple(rows.shape)} inputs and {tuple(targets.shape)} "
            f"targets an image, {len(data.inputs)} and {len(data.targets)} images; expected (P, {width}) "
            f"and (P, {count}) with P > 0 of as many images; pass the data of this layer"
        )
    return len(rows) * len(data.inputs)


def output_error(layer: Weighted, weights: torch.Tensor, scale: torch.Tensor, data: LayerData) -> float:
    """Mean squared error of the layer's output behind its clamp, over all positions and channels, with integer
    weights.

    weights: int64 like layer.weight. scale: float64 [OC]. The bias is the float one.
    """
    low, high = layer.clamp
    total, count = 0.0, 0
    for rows, targets in chunks(layer, data):
        sums = rows @ (weights.flatten(1) * scale[:, None]).T + layer.bias
        difference = sums.clamp(low, high) - (targets + layer.bias).clamp(low, high)
        total, count = total + float(difference.square().sum()), count + difference.numel()
    return total / count
