"""Quantization-aware training: AdamW, one-cycle cosine schedule, light augmentation, a float teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional
from torch.optim import SGD, AdamW

from accel.errors import UnsupportedError
from quant.frontend.fold import PIXEL_SCALE
from quant.models.call import in_float32, run_module
from quant.models.loop import Training, run_epochs
from quant.models.train import augmented, to_float
from quant.qat.method import OPTIMIZERS
from quant.qat.qat_network import QatNetwork
from quant.qat.ste import LearnedScale

if TYPE_CHECKING:
    from typing import Any

    from accel.types import Array, Ints
    from quant.frontend.prepare import PreparedNetwork
    from quant.models.loop import Checkpoint, OnEpoch, Unwritten

COPY_BATCH = 1000
CALIBRATION_IMAGES = 1000


@dataclass(frozen=True)
class QatOptions:
    """Training recipe.

    distill: weight of the teacher's soft labels, at `temperature`. augment: strength of the augmentation (1 is that of
    `random_affine`). flip: mirror every other image. copies: augmented copies of the data, made once and used in turn
    (None: a new one in every epoch, which costs more time). freeze_norm: epochs after which the batch norms keep their
    statistics (None: never). optimizer: adam or sgd. seed fixes data order and augmentation.
    """

    epochs: int = 4
    batch: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    distill: float = 0.5
    temperature: float = 2.0
    warmup: float = 0.1
    augment: float = 1.0
    flip: bool = False
    copies: int | None = None
    freeze_norm: int | None = None
    optimizer: str = "adam"
    seed: int = 1

    def holds_norms(self, epoch: int) -> bool:
        """Whether the batch norms keep their statistics in an epoch, counted from 0."""
        return self.freeze_norm is not None and epoch >= self.freeze_norm


def train_qat(
    network: nn.Module,
    teacher: nn.Module | None,
    images: torch.Tensor,
    labels: Ints,
    options: QatOptions | None = None,
    on_epoch: OnEpoch | None = None,
    checkpoint: Checkpoint | Unwritten | None = None,
) -> nn.Module:
    """Train a QatNetwork in place, or any module with quantizers of its own; returns it in eval mode.

    teacher: float module over the same input, or None. images: float32 [N, C, H, W], the network's real
    input; labels: int64 [N], numpy. on_epoch(epoch, loss) is called after each epoch. checkpoint: Checkpoint
    that is written after each epoch, or resumed from. The same options and machine give the same weights. Raises
    DivergedError.
    """
    options = options or QatOptions()
    if options.optimizer not in OPTIMIZERS:
        raise UnsupportedError(f"optimizer '{options.optimizer}' is unknown; choose one of {', '.join(OPTIMIZERS)}")
    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    targets = torch.from_numpy(labels)
    with torch.no_grad():
        network.eval()(images[:CALIBRATION_IMAGES])  # sets the activation scales
    optimizer = _optimizer(network, options)
    black = -zero_level(network.prepared) if isinstance(network, QatNetwork) else 0.0
    source = _Batches(images, teacher, options, generator, black)

    def loss(epoch: int, chosen: torch.Tensor) -> torch.Tensor:
        batch, soft = source.take(epoch, chosen)
        return _loss(network(batch), targets[chosen], soft, options)

    training = Training(network, optimizer, generator, loss, len(images))
    if isinstance(network, QatNetwork):
        training.loss = lambda epoch, chosen: loss(epoch, chosen) + network.penalty()
        training.begin_epoch = lambda epoch: network.hold_norms(options.holds_norms(epoch))
        training.after_step = network.clip_latent if network.method.clip_latent else None
    run_epochs(training, options, on_epoch=on_epoch, checkpoint=checkpoint)
    return network.eval()


def _optimizer(network: nn.Module, options: QatOptions) -> torch.optim.Optimizer:
    """AdamW moves every parameter by about the learning rate, so a scale or clip that is itself a parameter gets the
    learning rate times its size; SGD (momentum 0.9) moves by the gradient."""
    groups: list[dict[str, Any]] = [{"params": [item for item in network.parameters() if item.requires_grad]}]
    if options.optimizer == "sgd":
        return SGD(groups, lr=options.learning_rate, momentum=0.9, weight_decay=options.weight_decay)
    for part in network.modules():
        if isinstance(part, LearnedScale) and part.kind != "log" and part.value.requires_grad:
            groups[0]["params"] = [item for item in groups[0]["params"] if item is not part.value]
            groups.append({"params": [part.value], "factor": part.value.detach().mean().item(), "weight_decay": 0.0})
    return AdamW(groups, lr=options.learning_rate, weight_decay=options.weight_decay, fused=True)


class Teacher(nn.Module):
    """The float module of a PreparedNetwork over the quantized network's real input r = (u - zero level) / 255, float32
    [N, C, H, W]."""

    def __init__(self, module: nn.Module, prepared: PreparedNetwork) -> None:
        super().__init__()
        self.module, self.level = in_float32(module), zero_level(prepared)
        self.logits = prepared.network if prepared.network.notes else None  # the module ends behind its logits
        self.mean, self.std = (
            torch.tensor(part).float().reshape(1, -1, 1, 1) for part in (prepared.mean, prepared.std)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.logits is not None:
            return list(self.logits.run(x.double()).values())[-1].flatten(1).float()
        return run_module(self.module, (x + self.level - self.mean) / self.std)


def zero_level(prepared: PreparedNetwork) -> float:
    """u / 255 of the grey level that the network's input 0 stands for."""
    return ((prepared.zero_point or 0) + 128) * PIXEL_SCALE


def real_input(prepared: PreparedNetwork, images: Array) -> torch.Tensor:
    """uint8 [N, H, W, C] -> what a QatNetwork reads, float32 [N, C, H, W]."""
    return to_float(images) - zero_level(prepared)


class _Batches:
    """Augmented images and the teacher's logits for them, made on the fly or once for some copies of the data."""

    def __init__(
        self,
        images: torch.Tensor,
        teacher: nn.Module | None,
        options: QatOptions,
        generator: torch.Generator,
        black: float,
    ) -> None:
        self.images, self.options, self.generator, self.black = images, options, generator, black
        self.teacher = teacher if options.distill > 0 else None
        self.copies = [self._copy() for _ in range(options.copies or 0)]

    def take(self, epoch: int, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(images, teacher's logits or None) of the chosen indices."""
        if not self.copies:
            return self._make(self.images[chosen])
        images, logits = self.copies[epoch % len(self.copies)]
        return images[chosen], None if logits is None else logits[chosen]

    def _copy(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        images, found = zip(*(self._make(part) for part in self.images.split(COPY_BATCH)), strict=True)
        logits = [item for item in found if item is not None]
        return torch.cat(images), torch.cat(logits) if logits else None

    @torch.no_grad()
    def _make(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        # The maps move 0 in at the edges: let that be black.
        images = augmented(images - self.black, self.generator, self.options) + self.black
        return images, None if self.teacher is None else self.teacher(images)


def _loss(
    logits: torch.Tensor, targets: torch.Tensor, teacher_logits: torch.Tensor | None, options: QatOptions
) -> torch.Tensor:
    hard = functional.cross_entropy(logits, targets)
    if teacher_logits is None:
        return hard
    soft = functional.softmax(teacher_logits / options.temperature, 1)
    own = functional.log_softmax(logits / options.temperature, 1)
    divergence = functional.kl_div(own, soft, reduction="batchmean") * options.temperature**2
    return (1 - options.distill) * hard + options.distill * divergence
