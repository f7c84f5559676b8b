"""From a trained float module to a trained fixed-point network: convert, calibrate, train on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from quant.frontend.prepare import prepare
from quant.frontend.read import read_module
from quant.models.train import to_float
from quant.qat.train import QatOptions, train_qat
from quant.qfx.conversion import FixedOptions, convert

if TYPE_CHECKING:
    from accel.types import Bytes, Ints
    from quant.models.loop import OnEpoch
    from quant.qfx.conversion import FixedNetwork

CALIBRATION_IMAGES = 1000


@torch.no_grad()
def fixed_network(
    module: torch.nn.Module, images: Bytes, options: FixedOptions | None = None, name: str = "network"
) -> FixedNetwork:
    """The FixedNetwork of a float nn.Module over [0, 1] images, its binary points set by the first 1,000 of `images`
    (uint8 [N, H, W, C]). This alone is post-training quantization to fixed-point formats."""
    fixed = convert(prepare(read_module(module, images.shape[1:], name)), options or FixedOptions()).eval()
    fixed(to_float(images[:CALIBRATION_IMAGES]))
    return fixed


def fine_tune(
    fixed: FixedNetwork,
    module: torch.nn.Module | None,
    images: Bytes,
    labels: Ints,
    options: QatOptions | None = None,
    on_epoch: OnEpoch | None = None,
) -> torch.nn.Module:
    """Train a FixedNetwork (weights, biases, binary points) in place; returns it in eval mode.

    module: the float network, which is the teacher, or None. images: uint8 [N, H, W, C]; labels: int64 [N]. options:
    QatOptions. on_epoch(epoch, loss) is called after each epoch. Raises DivergedError.
    """
    return train_qat(fixed, module, to_float(images), labels, options or QatOptions(), on_epoch)
