"""Training of the zoo's float networks: AdamW, one-cycle cosine schedule, light augmentation, averaged
weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch.nn import functional
from torch.optim import AdamW
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from quant.data.augment import random_affine, random_flip, scaled_limits
from quant.models.call import classes_of, run_module
from quant.models.loop import Training, run_epochs

if TYPE_CHECKING:
    from torch import nn

    from accel.types import Array, Bytes, Ints
    from quant.models.loop import Checkpoint, OnEpoch, Unwritten


@dataclass(frozen=True)
class TrainingOptions:
    """Training recipe. augment: strength of the random affine maps (1 is that of `random_affine`); flip: mirror every
    other image; average: decay of the exponential moving average of the weights; seed fixes every choice."""

    epochs: int = 40
    batch: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    average: float = 0.998
    warmup: float = 0.1
    augment: float = 1.0
    flip: bool = False
    seed: int = 1


class Augmentation(Protocol):
    """What `augmented` reads of a training's options."""

    @property
    def augment(self) -> float: ...

    @property
    def flip(self) -> bool: ...


RECIPES = {"lenet5": TrainingOptions(), "fashion-cnn": TrainingOptions(epochs=30, augment=0.5, flip=True)}


def to_float(images: Array) -> torch.Tensor:
    """uint8 [N, H, W, C] -> float32 [N, C, H, W] in [0, 1]."""
    values = torch.from_numpy(images.copy()).permute(0, 3, 1, 2)
    return values.to(torch.float32, memory_format=torch.contiguous_format).div_(255)


@torch.no_grad()
def accuracy(model: nn.Module, images: torch.Tensor, labels: Ints, batch: int = 1000) -> float:
    """Share of float32 [N, C, H, W] images whose largest logit is at its label (int64 [N], numpy)."""
    model.eval()
    correct, wanted = 0, torch.from_numpy(labels)
    for start in range(0, len(images), batch):
        classes = classes_of(run_module(model, images[start : start + batch]))
        correct += int((classes == wanted[start : start + batch]).sum())
    return correct / len(images)


def augmented(images: torch.Tensor, generator: torch.Generator, options: Augmentation) -> torch.Tensor:
    """The images [N, C, H, W] warped and mirrored as TrainingOptions say."""
    if options.flip:
        images = random_flip(images, generator)
    return random_affine(images, generator, **scaled_limits(options.augment))


def train(
    model: nn.Module,
    images: Bytes,
    labels: Ints,
    options: TrainingOptions | None = None,
    on_epoch: OnEpoch | None = None,
    checkpoint: Checkpoint | Unwritten | None = None,
) -> nn.Module:
    """Train in place and leave the averaged weights in the model.

    images: uint8 [N, H, W, C]; labels: int64 [N], numpy. on_epoch(epoch, loss) is called after each epoch.
    checkpoint: Checkpoint that is written after each epoch, or resumed from. Returns the model in eval mode. The same
    options and machine give the same weights. Raises DivergedError.
    """
    options = options or TrainingOptions()
    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    for module in model.modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
    data, targets = to_float(images), torch.from_numpy(labels)
    optimizer = AdamW(model.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(options.average), use_buffers=True)

    def loss(_epoch: int, chosen: torch.Tensor) -> torch.Tensor:
        logits = run_module(model, augmented(data[chosen], generator, options))
        return functional.cross_entropy(logits, targets[chosen], label_smoothing=options.label_smoothing)

    training = Training(
        model,
        optimizer,
        generator,
        loss,
        len(data),
        averaged=averaged,
        after_step=lambda: averaged.update_parameters(model),
    )
    run_epochs(training, options, on_epoch=on_epoch, checkpoint=checkpoint)
    model.load_state_dict(averaged.module.state_dict())
    return model.eval()
