"""Option types and checks that the commands of `python -m quant` share."""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np

from accel.checks import shorten, shown
from accel.cli import progress
from accel.errors import OutputError
from accel.names import ENCODINGS, REQUANTIZERS
from accel.options import Decorator, Function, model_option, option
from accel.outputs import File
from quant import marks
from quant.data import datasets
from quant.names import WEIGHT_RANGES

COUNT = click.IntRange(min=1)


class NumberList(click.ParamType[tuple[float, ...]]):
    """Numbers separated by commas, e.g. 0.49,0.48,0.45."""

    name = "numbers"

    def __init__(self, kind: type[int] | type[float]) -> None:
        self.kind = kind

    def convert(
        self, value: str | tuple[float, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(self.kind(part) for part in value.split(","))
        except ValueError:
            numbers = ()
        if not numbers or not all(math.isfinite(number) for number in numbers):
            self.fail(f"{shorten(value)} is not a list of finite numbers separated by commas", param, ctx)
        return numbers


def float_model_option(purpose: str = "Float model", **attributes: Any) -> Decorator:
    """--model, of a command that takes a float network; attributes: of click.option."""
    text = (
        f"{purpose}: a model of the zoo (lenet5, fashion-cnn), or your own path/to/file.py:factory or "
        "package.module:factory."
    )
    if attributes.get("default", "") is None:
        text += "  [default: lenet5]"
    return model_option(help=text, show_default=bool(attributes.get("default")), **attributes)


def default_data(model: str | None, default: str) -> str:
    """The data set of a command without --data: Fashion-MNIST for the zoo's networks made for it."""
    return "fashion_mnist" if Path(str(model or "")).name.startswith("fashion-cnn") else default


def data_options(default: str) -> Decorator:
    """--data and --data-dir. Without --data the command gets the data set of its model, or `default`."""

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def command(*args: Any, **kwargs: Any) -> Any:
            if kwargs["data"] is None:
                kwargs["data"] = default_data(kwargs.get("model") or kwargs.get("recipe"), default)
            return function(*args, **kwargs)

        names = ", ".join(datasets.NAMES)
        command = click.option(
            "--data-dir",
            type=click.Path(),
            default=None,
            help="Folder of the data set, the only one searched; without it $BITLOOM_DATA, then the user's cache "
            "folder.",
        )(command)
        return click.option(
            "--data",
            default=None,
            help=f"Data set ({names}), an .npy, .npz or .png file, or a loader of your own: "
            "package.module:loader or path/to/file.py:loader.  "
            f"[default: {default}; fashion_mnist for fashion-cnn]",
        )(command)

    return decorate


def weights_option(text: str = "Weights") -> Decorator:
    """--weights, of a float network."""
    text = f"{text}: .npz, .pt, .pth, .ckpt or .safetensors."
    return click.option("--weights", type=click.Path(), default=None, help=text)


def pixel_options(function: Function) -> Function:
    """--mean and --std."""
    for name, default, text in (("--std", "1", "Deviation"), ("--mean", "0", "Mean")):
        text = f"{text} of u/255, one or per channel, of a float network's input."
        function = click.option(name, type=NumberList(float), default=default, help=text)(function)
    return function


def bits_options(activation_widths: str, outputs: str, default: str) -> Decorator:
    """--weight-bits and --activation-bits: None, or a tuple of one width or of several."""

    def decorate(function: Function) -> Function:
        weights = "8, 6, 4, 2 or 1: one value, or one per layer with weights"
        outputs_text = f"{activation_widths} of the layers' outputs: one value, or one per {outputs}"
        for name, text in (("--activation-bits", outputs_text), ("--weight-bits", f"{weights}; default: {default}.")):
            function = click.option(name, type=NumberList(int), default=None, help=text)(function)
        return function

    return decorate


def choice_option(name: str, values: Sequence[str], text: str, default: str | None = None) -> Decorator:
    """An option with the values of a family of names; without a default the first of them is it."""
    return click.option(name, type=click.Choice(values), default=default or values[0], show_default=True, help=text)


def calibration_images_option(text: str) -> Decorator:
    """--calibration-images."""
    return click.option("--calibration-images", type=COUNT, default=1000, show_default=True, help=text)


def requantizer_option(function: Function) -> Function:
    """--requantizer."""
    text = f"{', '.join(REQUANTIZERS)}: multipliers that a build with this requantizer holds."
    return click.option("--requantizer", default="full", show_default=True, help=text)(function)


def input_option(function: Function) -> Function:
    """--input: None where the images decide."""
    text = "Integer network's input: raw bytes, or floats to be quantized.  [default: as the images are]"
    return click.option("--input", "encoding", type=click.Choice(ENCODINGS), default=None, help=text)(function)


def weight_range_option(default: str | None) -> Decorator:
    """--weight-range, with its cost."""
    text = (
        "symmetric: weights from -(2^(b-1) - 1); full: from -2^(b-1). The cost of full at 4 bits: on 25-bit "
        "multipliers a layer with a weight of -8 in a top row runs in int8 mode, at half the speed."
    )
    shown = default is not None
    return click.option(
        "--weight-range", type=click.Choice(WEIGHT_RANGES), default=default, show_default=shown, help=text
    )


def seed_option(text: str) -> Decorator:
    """--seed."""
    return click.option("--seed", type=int, default=1, show_default=True, help=f"Seed of {text}.")


def train_count_option(old: bool = True) -> Decorator:
    """--train-count; old: the command took it as --count before."""
    attributes: dict[str, Any] = {"type": COUNT, "default": None, "help": "Train on the first so many images only."}
    return option("--train-count", old="--count", **attributes) if old else click.option("--train-count", **attributes)


def test_count_option(function: Function) -> Function:
    """--test-count."""
    text = "Evaluate on the first so many test images only."
    return click.option("--test-count", type=COUNT, default=None, help=text)(function)


def model_output_options(default_name: str) -> Decorator:
    """--name and --out of a command that writes a model directory."""

    def decorate(function: Function) -> Function:
        function = click.option("--out", type=click.Path(), required=True, help="Model directory to write.")(function)
        return click.option("--name", default=None, help=f"Name written into the model; default: {default_name}.")(
            function
        )

    return decorate


def code_file(model: str | None) -> str | None:
    """The file of path/to/file.py:factory; None for a model that is named otherwise."""
    path, separator, _ = str(model).rpartition(":")
    return path if separator and path else None


def weights_output(path: str | None, label: str = "--out") -> File:
    """A file of float weights to write, as accel.outputs.File. OutputError where its name does not end in .npz."""
    if path is not None and Path(path).suffix != ".npz":
        raise OutputError(f"{label} {shown(path)}: weights are written as .npz; end the name with .npz")
    return File(path, marks.WEIGHTS, label)


def checkpoint_output(path: str | None, resume: bool) -> File:
    """The --checkpoint file, as accel.outputs.File: one to resume from is checked when it is read."""
    return File(path, None if resume else marks.CHECKPOINT, "--checkpoint")


def load_data(
    data: str, data_dir: str | None, split: str, count: int | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """(images, labels or None) of a data set's split, of a file or of the user's loader, at most `count` of them."""
    if data in datasets.NAMES:
        images, labels = datasets.load(data, data_dir, split)
    else:
        with bar(f"loading {split} images", count, as_json=False) as advance:
            images, labels = datasets.load_images(data, data_dir, split, count, advance)
    return images[:count], None if labels is None else labels[:count]


@contextmanager
def bar(description: str, total: float | None, as_json: bool) -> Iterator[Callable[..., None]]:
    """A progress bar on stderr; yields advance(count)."""
    with progress(enabled=not as_json) as shown:
        task = shown.add_task(description, total=total)
        yield lambda count=1: shown.advance(task, count)


def warn(text: str) -> None:
    """One line on stderr about something that the user may not want."""
    click.echo(f"warning: {text}", err=True)
