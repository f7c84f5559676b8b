"""What the commands that quantize do with a user's network before any long work: fit images, read, say what is odd."""

from typing import TYPE_CHECKING

import numpy as np

from accel.cli import note
from accel.errors import DataError, ModelError
from quant.cli.given import Labelled, Split

if TYPE_CHECKING:  # both import torch
    from torch import nn

    from quant.frontend.floatnet import FloatNetwork


def check_images(model: str, shape: tuple[int, int, int] | None, data: str, images: np.ndarray) -> None:
    """Raise ModelError where a network of input `shape` (H, W, C), or None for any, cannot take the images."""
    if shape is not None and images.shape[1:] != tuple(shape):
        raise ModelError(
            f"{model}: needs images of (H, W, C)={tuple(shape)} but {data} has {images.shape[1:]}; choose other --data"
        )


def check_splits(
    data: str,
    train: np.ndarray,
    test: np.ndarray,
    purpose: str,
    remedy: str = " (--mean and --std for other ranges)",
) -> None:
    """Raise DataError where training or test images [N, H, W, C] are no uint8, or differ in size.

    purpose: who needs them, for the message; remedy: how other ranges than 0..1 are given.
    """
    for images in (train, test):
        if images.dtype != np.uint8:
            raise DataError(
                f"{data}: holds {images.dtype} images; {purpose} needs uint8 images, such as 255 * x "
                f"rounded for x in 0..1{remedy}"
            )
    if train.shape[1:] != test.shape[1:]:
        raise DataError(
            f"{data}: has training images of (H, W, C)={train.shape[1:]} but test images of "
            f"{test.shape[1:]}; give images of one size"
        )


def labelled(data: str, purpose: str, split: Split) -> Labelled:
    """The split. Raises DataError where it has no labels."""
    images, labels = split
    if labels is None:
        raise DataError(
            f"{data}: has no labels, which {purpose} needs; give an .npz file with `images` and `labels`, "
            "or a loader of both"
        )
    return Labelled(images, labels)


def encoding_of(given: str | None, images: np.ndarray) -> str:
    """The input encoding, 'uint8' or 'float': as given, else that of the images."""
    return given or ("uint8" if images.dtype == "uint8" else "float")


def look_at(module: "nn.Module", images: np.ndarray, name: str) -> "FloatNetwork":
    """The FloatNetwork of a module over images [N, H, W, C]; what was left out of it, and what keeps the hardware from
    running it, is said on stderr. Raises the errors of the front end."""
    from quant.check.hardware import refusal
    from quant.frontend.read import read_module

    network = read_module(module, images.shape[1:], name)
    for text in network.notes:
        note(text)
    problem = refusal(network)
    if problem is not None:
        note(f"no build of the accelerator can run {name}: {problem}")
    return network
