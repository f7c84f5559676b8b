"""What the options of several commands hold: a command's own dataclass is made of these. Imports no torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from quant.cli.options import load_data

if TYPE_CHECKING:  # both import torch
    from torch import nn

    from quant.ptq.pipeline import Normalization


class Labelled(NamedTuple):
    """Images [N, H, W, C] and labels int64 [N]."""

    images: np.ndarray
    labels: np.ndarray


class Split(NamedTuple):
    """Images [N, H, W, C] and labels int64 [N], or None for labels that the data set lacks."""

    images: np.ndarray
    labels: np.ndarray | None


@dataclass(frozen=True, kw_only=True)
class FloatNetwork:
    """--model and --weights."""

    model: str
    weights: str | None

    def load(self) -> "tuple[nn.Module, str, tuple[int, int, int] | None]":
        """(module, its name, the (H, W, C) of its images where that is known)."""
        from quant.models.sources import load_float_model

        return load_float_model(self.model, self.weights)


@dataclass(frozen=True, kw_only=True)
class Data:
    """--data and --data-dir."""

    data: str
    data_dir: str | None

    def split(self, name: str, count: int | None = None) -> Split:
        """At most `count` images of the split 'train' or 'test'."""
        return Split(*load_data(self.data, self.data_dir, name, count))


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """--mean and --std."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def normalization(self) -> "Normalization":
        from quant.ptq.pipeline import Normalization

        return Normalization(self.mean, self.std)
