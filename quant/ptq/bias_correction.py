"""Bias correction: a layer's bias takes the mean error that the quantization makes in each of its channels.

Nagel et al. 2019, Data-free quantization through weight equalization and bias correction, section 4.2, with the means
measured on calibration images (their appendix D).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from accel.ir import WeightedLayer


@torch.no_grad()
def corrected(layer: WeightedLayer, accumulators: torch.Tensor, targets: torch.Tensor) -> WeightedLayer:
    """The ir layer with the mean of targets - real accumulators added to its bias.

    layer: ir.Conv2D or ir.Dense. accumulators: int64 [N, OC, OH, OW], its own, bias included. targets: float64 of the
    same shape, what the float layer gives before its clamp.
    """
    scale = torch.tensor(layer.weight_scale) * layer.input.scale
    error = (targets - accumulators * scale.reshape(-1, 1, 1)).mean((0, 2, 3))
    return replace(layer, bias=layer.bias + torch.round(error / scale).long().numpy())
