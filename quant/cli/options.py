"""Option types and checks that the commands of `python -m quant` share."""

import functools
import math
from contextlib import contextmanager
from pathlib import Path

import click

from accel.checks import shorten, shown
from accel.cli import progress
from accel.errors import OutputError
from accel.names import ENCODINGS
from accel.outputs import File
from quant import marks
from quant.data import datasets
from quant.names import WEIGHT_RANGES

COUNT = click.IntRange(min=1)


class NumberList(click.ParamType):
    """Numbers separated by commas, e.g. 0.49,0.48,0.45."""

    name = "numbers"

    def __init__(self, kind):
        self.kind = kind

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(self.kind(part) for part in value.split(","))
        except ValueError:
            numbers = ()
        if not numbers or not all(math.isfinite(number) for number in numbers):
            self.fail(f"{shorten(value)} is not a list of finite numbers separated by commas", param, ctx)
        return numbers


MODEL_HELP = "a model of the zoo (lenet5, fashion-cnn), or your own path/to/file.py:factory or package.module:factory"


def default_data(model, default):
    """The data set of a command without --data: Fashion-MNIST for the zoo's networks made for it."""
    return "fashion_mnist" if Path(str(model or "")).name.startswith("fashion-cnn") else default


def data_options(default):
    """--data and --data-dir. Without --data the command gets the data set of its model, or `default`."""

    def decorate(function):
        @functools.wraps(function)
        def command(*args, **kwargs):
            if kwargs["data"] is None:
                kwargs["data"] = default_data(kwargs.get("model") or kwargs.get("preset"), default)
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


def requantizer_option(function):
    """--requantizer."""
    text = "full, pow2, khot2 or khot3: multipliers that a build with this requantizer holds."
    return click.option("--requantizer", default="full", show_default=True, help=text)(function)


def input_option(function):
    """--input: None where the images decide."""
    return click.option(
        "--input",
        "encoding",
        type=click.Choice(ENCODINGS),
        default=None,
        help="Integer network's input: raw bytes, or floats to be quantized.  [default: as the images are]",
    )(function)


def weight_range_option(default):
    """--weight-range, with its cost."""
    shown = {"default": default, "show_default": True} if default else {"default": None}
    return click.option(
        "--weight-range",
        type=click.Choice(WEIGHT_RANGES),
        **shown,
        help="symmetric: weights from -(2^(b-1) - 1); full: from -2^(b-1). The cost of full at 4 bits: on 25-bit "
        "multipliers a layer with a weight of -8 in a top row runs in int8 mode, at half the speed.",
    )


def code_file(model):
    """The file of path/to/file.py:factory; None for a model that is named otherwise."""
    path, separator, _ = str(model).rpartition(":")
    return path if separator and path else None


def weights_output(path, label="--out"):
    """A file of float weights to write, as accel.outputs.File. OutputError where its name does not end in .npz."""
    if path is not None and Path(path).suffix != ".npz":
        raise OutputError(f"{label} {shown(path)}: weights are written as .npz; end the name with .npz")
    return File(path, marks.WEIGHTS, label)


def checkpoint_output(path, resume):
    """The --checkpoint file, as accel.outputs.File: one to resume from is checked when it is read."""
    return File(path, None if resume else marks.CHECKPOINT, "--checkpoint")


def load_data(data, data_dir, split, count=None):
    """(images, labels or None) of a data set's split, of a file or of the user's loader, at most `count` of them."""
    if data in datasets.NAMES:
        images, labels = datasets.load(data, data_dir, split)
    else:
        with bar(f"loading {split} images", count, as_json=False) as advance:
            images, labels = datasets.load_images(data, data_dir, split, count, advance)
    return images[:count], None if labels is None else labels[:count]


@contextmanager
def bar(description, total, as_json):
    """A progress bar on stderr; yields advance(count)."""
    with progress(enabled=not as_json) as shown:
        task = shown.add_task(description, total=total)
        yield lambda count=1: shown.advance(task, count)


def warn(text):
    """One line on stderr about something that the user may not want."""
    click.echo(f"warning: {text}", err=True)
