"""Options of `python -m quant report`."""

from dataclasses import dataclass
from typing import Any

import click

from accel.cli import json_option
from accel.options import Decorator, Function, build_option
from quant.cli.given import Data, FloatNetwork, Pixels
from quant.cli.options import (
    calibration_images_option,
    choice_option,
    data_options,
    float_model_option,
    pixel_options,
    seed_option,
    test_count_option,
    train_count_option,
    weights_option,
)
from quant.names import CALIBRATIONS, WEIGHT_ROUNDINGS
from quant.search.budget import METRICS

WIDTH_NAMES = "int8,int6,int4,int2,binary,mixed"


class NamedFolder(click.ParamType[tuple[str, str]]):
    """NAME=DIR."""

    name = "name=dir"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, separator, folder = value.partition("=")
        if not (name.strip() and separator and folder):
            self.fail(f"'{value}' is not NAME=DIR, e.g. mine=build/out/my-model", param, ctx)
        return name.strip(), folder


@dataclass(frozen=True, kw_only=True)
class Report(FloatNetwork, Data, Pixels):
    """The command's options. networks: (name, model directory) of each --network."""

    widths: str
    networks: tuple[tuple[str, str], ...]
    qat_epochs: int
    train_count: int | None
    seed: int
    calibration_images: int
    calibration: str
    weight_rounding: str
    test_count: int | None
    cost: str
    budget: float
    build: tuple[int, int]
    out: str
    as_json: bool


OPTIONS: tuple[Decorator, ...] = (
    float_model_option("Float model to compare", default="lenet5"),
    weights_option("Its weights"),
    data_options("mnist"),
    click.option("--widths", default=WIDTH_NAMES, show_default=True, help="What to compare with FP32, by commas."),
    click.option(
        "--network",
        "networks",
        type=NamedFolder(),
        multiple=True,
        help="A model directory to compare as well, NAME=DIR; may be repeated.",
    ),
    click.option(
        "--qat-epochs",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Train every width for so many epochs; 0: take the zoo's trained networks where the model has some.",
    ),
    train_count_option(old=False),
    seed_option("the training"),
    calibration_images_option("Number of training images for ranges, search, check and histograms."),
    choice_option("--calibration", CALIBRATIONS, "How ranges are found, of weights and activations.", "mse"),
    choice_option(
        "--weight-rounding",
        WEIGHT_ROUNDINGS,
        "How weights become integers after training; adaround takes minutes.",
        "gptq",
    ),
    test_count_option,
    pixel_options,
    choice_option(
        "--cost", tuple(METRICS), "What the mixed network saves, and the axis of the Pareto front.", "file_bytes"
    ),
    click.option(
        "--budget",
        type=click.FloatRange(min=0, max=1, min_open=True),
        default=0.6,
        show_default=True,
        help="The mixed network's share of INT8's cost.",
    ),
    build_option("Size of the accelerator whose cycles are given.", (16, 16)),
    click.option(
        "--out",
        type=click.Path(dir_okay=False),
        required=True,
        help="HTML page to write; the JSON stands beside it, with .json in place of .html.",
    ),
    json_option,
)


def options(function: Function) -> Function:
    """All of them, in front of the command's function."""
    for decorate in reversed(OPTIONS):
        function = decorate(function)
    return function
