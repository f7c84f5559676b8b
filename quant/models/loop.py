"""The epoch loop of every training: one-cycle schedule, random order, checkpoints, a stop when the loss explodes."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import torch

from accel.atomic import write_file
from accel.checks import plain, shown
from accel.errors import DataError, ModelError, OutputError
from quant import marks
from quant.files.door import guarded
from quant.files.torch_files import read_torch
from quant.models.errors import DivergedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from torch import nn

    from accel.types import StrPath

OnEpoch: TypeAlias = Callable[[int, float], None]
EXPLODED = 50.0
FORMAT = 1
SUFFIX = ".pt"
KEPT = ".training" + SUFFIX  # what the file of an `Unwritten` ends with
WHAT, REMEDY = "a checkpoint", "give a file that --checkpoint wrote"
_KINDS = {
    "identity": dict,
    "losses": list,
    "limit": float | None,
    "model": dict,
    "averaged": dict | None,
    "optimizer": dict,
    "generator": torch.Tensor,
    "random": torch.Tensor,
}


class Recipe(Protocol):
    """What the loop reads of a training's options."""

    @property
    def epochs(self) -> int: ...

    @property
    def batch(self) -> int: ...

    @property
    def learning_rate(self) -> float: ...

    @property
    def warmup(self) -> float: ...


@dataclass
class Training:
    """What one training changes and draws from.

    model: nn.Module, put into train mode for every epoch. optimizer: a group with a `factor` gets that multiple of the
    learning rate. generator: torch.Generator that gives the order of the
    images (and whatever else `loss` draws from it). loss(epoch, chosen) -> tensor without dimensions: the mean loss of
    the images `chosen`, int64 [batch], of 0 .. count - 1. after_step(): called after every step of the optimizer.
    begin_epoch(epoch): called before every epoch, with the model in train mode. averaged: module whose state belongs to
    a checkpoint too. losses: the mean of every epoch that is done. limit: the loss that counts as an explosion, set by
    the first batch.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    loss: Callable[[int, torch.Tensor], torch.Tensor]
    count: int
    after_step: Callable[[], None] | None = None
    begin_epoch: Callable[[int], None] | None = None
    averaged: nn.Module | None = None
    losses: list[float] = field(default_factory=list)
    limit: float | None = None

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on, as plain values and tensors."""
        averaged = None if self.averaged is None else self.averaged.state_dict()
        return {
            "losses": list(self.losses),
            "limit": self.limit,
            "model": self.model.state_dict(),
            "averaged": averaged,
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "random": torch.get_rng_state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over a state that `state()` gave for an equal training."""
        self.losses[:], self.limit = state["losses"], state["limit"]
        self.model.load_state_dict(state["model"])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        before = self._settings()
        self.optimizer.load_state_dict(state["optimizer"])
        if self._settings() != before:
            raise ValueError("its optimizer has other settings")
        for parameter, values in self.optimizer.state.items():
            if any(value.shape not in ((), parameter.shape) for value in values.values() if value is not None):
                raise ValueError("its optimizer has a state of other sizes")
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["random"])

    def _settings(self) -> list[dict[str, Any]]:
        """The optimizer's settings, but for the learning rate, which follows the schedule."""
        return [
            {key: value for key, value in group.items() if key not in ("lr", "params")}
            for group in self.optimizer.param_groups
        ]


class Checkpoint:
    """A file that holds the state of a training after its last complete epoch.

    identity: plain values that a resumed training must share (options, widths, data). resume: go on from the file, else
    it is overwritten. Raises OutputError for a name that does not end in .pt, DataError where a file to resume from is
    missing or damaged, ModelError where it belongs to another training.
    """

    def __init__(self, path: StrPath, identity: Mapping[str, Any], resume: bool = False) -> None:
        self.path, self.identity = Path(path), dict(identity)
        if self.path.suffix != SUFFIX:
            raise OutputError(f"{path}: checkpoints are PyTorch files; end the name with {SUFFIX}")
        self.state = self._read() if resume else None
        self.epochs = 0 if self.state is None else len(self.state["losses"])  # that the file holds, of this training

    def _read(self) -> dict[str, Any]:
        state = read(self.path)
        known = state["identity"]
        for key in [*self.identity, *known]:
            own, other = self.identity.get(key), known.get(key)
            with guarded(self.path, WHAT, REMEDY):
                is_equal = bool(own == other)
            if not is_equal:
                raise ModelError(
                    f"{shown(self.path)}: was written by a training with {plain(key, 40)} {plain(other)}, "
                    f"not {plain(own)}; resume it with the same options and data, or start anew without "
                    "--resume"
                )
        return state

    def save(self, training: Training) -> None:
        """Write the training's state, whole or not at all."""
        stream = io.BytesIO()
        torch.save(
            {"made_by": marks.CHECKPOINT.decode(), "format": FORMAT, "identity": self.identity, **training.state()},
            stream,
        )
        write_file(self.path, stream.getvalue())
        self.epochs = len(training.losses)


class Unwritten:
    """Stands in for the Checkpoint of a training for which none was asked: it holds the training's last state, and
    `write` makes a file of it."""

    state: dict[str, Any] | None = None
    training: Training | None = None

    def __init__(self, path: StrPath, identity: Mapping[str, Any]) -> None:
        self.path, self.identity = Path(path), dict(identity)

    def save(self, training: Training) -> None:
        """Remember the training, which goes on changing."""
        self.training = training

    def write(self) -> None:
        """Make the file, which a later run may resume or start from. Raises OutputError."""
        if self.training is None:
            raise OutputError(f"{shown(self.path)}: no epoch was complete, so there is nothing to write; train longer")
        Checkpoint(self.path, self.identity).save(self.training)


def read(path: StrPath) -> dict[str, Any]:
    """The state in a checkpoint file; no code in it is executed. Raises DataError."""
    if not os.path.exists(path):
        raise DataError(f"{shown(path)}: checkpoint not found; {REMEDY}")
    state = read_torch(path, WHAT, REMEDY)
    if not isinstance(state, dict) or type(state.get("format")) is not int or state["format"] != FORMAT:
        raise DataError(f"{shown(path)}: is not a checkpoint of format {FORMAT}; {REMEDY}")
    wrong = [key for key, kinds in _KINDS.items() if not isinstance(state.get(key), kinds)]
    if wrong or not all(isinstance(loss, float) for loss in state["losses"]):
        raise DataError(f"{shown(path)}: is a checkpoint with a damaged {wrong[0] if wrong else 'losses'}; {REMEDY}")
    return state


def learning_rate_at(progress: float, options: Recipe) -> float:
    """Learning rate at progress in [0, 1]: linear warm-up, then half a cosine down to zero."""
    if progress < options.warmup:
        return options.learning_rate * progress / options.warmup
    phase = (progress - options.warmup) / (1 - options.warmup)
    return options.learning_rate * 0.5 * (1 + math.cos(math.pi * phase))


def run_epochs(
    training: Training,
    options: Recipe,
    *,
    on_epoch: OnEpoch | None = None,
    checkpoint: Checkpoint | Unwritten | None = None,
) -> None:
    """Train for options.epochs epochs of options.batch images (less those that the checkpoint has done).

    on_epoch(epoch, loss) is called after each one, with the mean loss, also for those that the checkpoint did. The same
    training, options and machine give the same weights, resumed or not. Raises DivergedError where a loss or a
    parameter is no finite number, or a loss is EXPLODED times the first one: the checkpoint keeps the epoch before.
    """
    if checkpoint is not None and checkpoint.state is not None:
        with guarded(checkpoint.path, WHAT, REMEDY):
            training.load(checkpoint.state)
    for epoch, loss in enumerate(training.losses[: options.epochs]):
        _tell(on_epoch, epoch, loss)
    for epoch in range(len(training.losses), options.epochs):
        try:
            loss = _epoch(training, options, epoch)
        except DivergedError as error:
            raise DivergedError(
                f"training diverged in epoch {epoch + 1}, {error}; {_kept(checkpoint)}; lower the learning rate"
            ) from None
        training.losses.append(loss)
        if checkpoint is not None:
            checkpoint.save(training)
        _tell(on_epoch, epoch, loss)


def _epoch(training: Training, options: Recipe, epoch: int) -> float:
    """The mean loss of one epoch over all images."""
    training.model.train()
    if training.begin_epoch is not None:
        training.begin_epoch(epoch)
    order = torch.randperm(training.count, generator=training.generator)
    steps = math.ceil(training.count / options.batch)
    total = 0.0
    for step in range(steps):
        for group in training.optimizer.param_groups:
            rate = learning_rate_at((epoch + step / steps) / options.epochs, options)
            group["lr"] = rate * group.get("factor", 1.0)
        chosen = order[step * options.batch : (step + 1) * options.batch]
        loss = training.loss(epoch, chosen)
        value = loss.item()
        _check_loss(training, value, step)
        training.optimizer.zero_grad()
        loss.backward()
        training.optimizer.step()
        if training.after_step is not None:
            training.after_step()
        total += value * len(chosen)
    for name, values in training.model.state_dict().items():
        if values.is_floating_point() and not torch.isfinite(values).all():
            raise DivergedError(f"step {steps}: {name} became infinite or NaN")
    _check_loss(training, _loss_again(training, epoch, chosen), steps - 1)
    return total / training.count


@torch.no_grad()
def _loss_again(training: Training, epoch: int, chosen: torch.Tensor) -> float:
    """The loss behind the epoch's last step, which no batch saw. Buffers and random states stay as they are."""
    states = training.generator.get_state(), torch.get_rng_state()
    buffers = [(value, value.clone()) for value in training.model.buffers()]
    loss = training.loss(epoch, chosen).item()
    for value, before in buffers:
        value.copy_(before)
    training.generator.set_state(states[0])
    torch.set_rng_state(states[1])
    return loss


def _check_loss(training: Training, loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise DivergedError(f"step {step + 1}: the loss became {loss}")
    if training.limit is None:
        training.limit = EXPLODED * (1 + abs(loss))
    if loss > training.limit:
        raise DivergedError(
            f"step {step + 1}: the loss reached {loss:.4g}, above the limit of {training.limit:.4g} "
            "that its first value sets"
        )


def _kept(checkpoint: Checkpoint | Unwritten | None) -> str:
    if not isinstance(checkpoint, Checkpoint):
        return "there is no checkpoint (give --checkpoint)"
    if not checkpoint.epochs:
        return "no epoch was complete, so there is no checkpoint of this training"
    return f"{checkpoint.path} keeps epoch {checkpoint.epochs}, the last good one"


def _tell(on_epoch: OnEpoch | None, epoch: int, loss: float) -> None:
    if on_epoch is not None:
        on_epoch(epoch, loss)
