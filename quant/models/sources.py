"""Where a float model comes from: the zoo by name, or the user's own `file.py:factory` or `package.module:factory`."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from accel.cli import note
from accel.errors import DataError, ModelError
from quant.data.loaders import check_labels
from quant.data.user_code import is_user_code, resolve
from quant.frontend.read import read_module
from quant.frontend.unwrap import unwrap
from quant.models.call import in_float32, run_module
from quant.models.train import accuracy, to_float
from quant.models.weights import load_weights, zoo_weights
from quant.models.zoo import INPUT_SHAPES, build

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from accel.types import Array, Ints, StrPath


def load_float_model(source: str, weights: StrPath | None = None) -> tuple[nn.Module, str, tuple[int, int, int] | None]:
    """(nn.Module in eval mode, its name, its input shape (H, W, C) or None) of a zoo name, `file.py:factory` or
    `package.module:factory`.

    A user's module is executed: it is the user's own code. Its floats of other types are cast to float32. weights: a
    file of them; a zoo model without them takes the shipped ones. Raises ModelError or DataError.
    """
    if is_user_code(source):
        module = user_model(source, has_weights=weights is not None)
        name, shape = user_name(source), None
    else:
        module, name, shape = build(source), source, INPUT_SHAPES.get(source)
        weights = zoo_weights(source) if weights is None else weights
    if weights is not None:
        load_weights(module, weights)
    return in_float32(module).eval(), name, shape


def float_accuracy(
    source: str,
    images: Array,
    labels: Ints | None,
    weights: StrPath | None = None,
    mean: Sequence[float] = (0.0,),
    std: Sequence[float] = (1.0,),
) -> float:
    """Share of images [N, H, W, C] that a float model classifies as labels int64 [N] say.

    The model reads (u / 255 - mean) / std of uint8 images, and floats as they are; mean, std: one value, or one per
    channel.
    """
    module, _, shape = load_float_model(source, weights)
    if labels is None:
        raise DataError("the images have no labels; give an .npz file with arrays `images` and `labels`")
    if shape is not None and images.shape[1:] != shape:
        raise ModelError(f"{source}: needs images of (H, W, C)={shape}, not {images.shape[1:]}; give other --data")
    check_labels(labels, outputs(module, source, images.shape[1:]), source)
    if images.dtype != np.uint8:
        return accuracy(module, torch.from_numpy(images).permute(0, 3, 1, 2), labels)
    offset, factor = (torch.tensor(part).float().reshape(1, -1, 1, 1) for part in (mean, std))
    return accuracy(module, (to_float(images) - offset) / factor, labels)


def outputs(module: nn.Module, name: str, shape: Sequence[int]) -> int:
    """Number of values that a module gives for one image of (H, W, C). Raises ModelError where it fails."""
    height, width, channels = shape
    try:
        with torch.no_grad():
            result = run_module(module.eval(), torch.zeros(1, channels, height, width))
    except Exception as error:  # the user's own forward may raise anything
        text = " ".join(str(error).split())[:200]
        raise ModelError(
            f"{name}: fails on an image of (H, W, C)={tuple(shape)} ({type(error).__name__}: {text}); "
            "check the layers' sizes or give other --data"
        ) from error
    if not isinstance(result, torch.Tensor):
        raise ModelError(f"{name}: returns a {type(result).__name__}; return the last layer's tensor alone")
    if not result.is_floating_point():  # an argmax ends it
        return math.prod(read_module(module, shape, name).output_shape)
    return math.prod(result.shape)


def user_model(source: str, has_weights: bool = True) -> nn.Module:
    """The nn.Module of `file.py:factory` or `package.module:factory`, as the factory gives it, without wrappers that
    compute nothing.

    A class without weights of its own file holds random ones, which is said on stderr; a function may load its own.
    """

    def make(factory: Any) -> nn.Module:
        module = factory if isinstance(factory, nn.Module) else factory()
        if not isinstance(module, nn.Module):
            raise ModelError(
                f"model '{source}': {source.rpartition(':')[2]} gives a {type(module).__name__}; return "
                "a torch.nn.Module"
            )
        if isinstance(factory, type) and not has_weights:
            note(
                f"{source}: {factory.__name__} is a class, so its weights are random; give --weights FILE, or name a "
                "function that loads them"
            )
        return unwrap(module)

    return resolve(source, "model", ModelError, make)


def user_name(source: str) -> str:
    """Graph name of a user's model: the file's or the module's last name."""
    place = source.rpartition(":")[0]
    return plain_name(Path(place).stem if place.endswith(".py") else place.rpartition(".")[2])


def plain_name(text: str) -> str:
    """A graph name made of letters, digits, '_' and '-' only."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", text)[:60]
    return name if name[:1].isalpha() else f"model_{name}"
