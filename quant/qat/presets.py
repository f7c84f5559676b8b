"""Recipes of the zoo's trained networks: widths per layer with weights, and how to train them."""

from __future__ import annotations

from dataclasses import dataclass, field

from accel.checks import plain
from accel.errors import ModelError
from quant.qat.method import Method


@dataclass(frozen=True)
class Preset:
    """What `python -m quant qat --recipe` sets: Widths and QatOptions as plain values, and the Method."""

    weight_bits: tuple[int, ...]
    activation_bits: tuple[int, ...]
    epochs: int
    learning_rate: float
    full_range: bool = False
    augment: float = 1.0
    copies: int | None = None
    flip: bool = False
    freeze_norm: int | None = None
    distill: float = 0.5
    optimizer: str = "adam"
    model: str = "lenet5"
    method: Method = field(default_factory=Method)


PRESETS = {
    "lenet5-w8a8": Preset((8,), (8,), 2, 2e-4),
    "lenet5-w6a8": Preset((6,), (8,), 2, 2e-4),
    "lenet5-w4a8": Preset((4,), (8,), 3, 5e-4),
    "lenet5-w4a4": Preset((4,), (4,), 5, 5e-4),
    "lenet5-w2a2": Preset((2,), (2,), 4, 2e-3, full_range=True, augment=0.5, copies=2),
    "lenet5-w1a1": Preset(
        (8, 1, 1, 1, 8), (1,), 36, 2e-2, augment=0.5, copies=4, method=Method(norm_order="pool", clip_latent=True)
    ),
    "lenet5-mixed": Preset((8, 4, 2, 1, 6), (4, 2, 1, 8), 4, 2e-3, augment=0.5, copies=2),
    "fashion-cnn-mixed": Preset(
        (8, 4, 4, 4, 8), (4, 4, 8, 8), 10, 1e-3, augment=0.5, flip=True, copies=4, model="fashion-cnn"
    ),
}


def find(name: str) -> Preset:
    """The Preset of a name. Raises ModelError for an unknown one."""
    if name not in PRESETS:
        raise ModelError(f"recipe '{plain(name)}' is unknown; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
