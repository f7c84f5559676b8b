"""Options of `python -m quant search`, and what they say to the search, the quantizer and the build."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from accel.cli import json_option
from accel.compile.choices import roomy
from accel.config import HardwareConfig
from accel.options import Build, Decorator, Function, config_option, option, parse_option
from quant.cli.given import Data, FloatNetwork, Pixels
from quant.cli.options import (
    COUNT,
    NumberList,
    calibration_images_option,
    choice_option,
    data_options,
    float_model_option,
    model_output_options,
    pixel_options,
    seed_option,
    test_count_option,
    weights_option,
)
from quant.names import CALIBRATIONS, MULTI_BIT_ACTIVATIONS, MULTI_BIT_WEIGHTS, SENSITIVITIES, WEIGHT_ROUNDINGS
from quant.search.budget import METRICS, Budget

if TYPE_CHECKING:  # both import torch
    from quant.ptq.options import PtqOptions
    from quant.search.search import SearchOptions


@dataclass(frozen=True, kw_only=True)
class Search(FloatNetwork, Data, Pixels):
    """The command's options. cycles to energy: budgets, as Budget.parse takes them."""

    cycles: str | None
    weight_bytes: str | None
    file_bytes: str | None
    energy: str | None
    dsps: int | None
    builds: tuple[tuple[int, int], ...]
    options: tuple[str, ...]
    weight_choices: tuple[int, ...]
    activation_choices: tuple[int, ...]
    sensitivity: str
    search_images: int
    candidates: int
    axis: str
    points: int
    front_files: tuple[str, ...]
    calibration: str
    weight_calibration: str
    weight_rounding: str
    bias_correction: bool
    calibration_images: int
    qat_epochs: int | None
    learning_rate: float
    seed: int
    test_count: int | None
    name: str | None
    out: str
    as_json: bool

    def search_options(self) -> "SearchOptions":
        """Raises click.UsageError without any budget."""
        from quant.search.search import SearchOptions

        texts = {metric: getattr(self, metric) for metric in METRICS}
        budgets = tuple(Budget.parse(metric, text) for metric, text in texts.items() if text is not None)
        if not budgets and self.dsps is None:
            raise click.UsageError(
                "a search needs a budget: give --cycles, --weight-bytes, --file-bytes, --energy or --dsps"
            )
        return SearchOptions(
            weight_bits=self.weight_choices,
            activation_bits=self.activation_choices,
            measure=self.sensitivity,
            budgets=budgets,
            dsps=self.dsps,
            axis=self.axis,
            points=self.points,
            candidates=self.candidates,
            seed=self.seed,
        )

    def ptq_options(self) -> "PtqOptions":
        from quant.ptq.options import PtqOptions

        return PtqOptions(
            calibration=self.calibration,
            weight_calibration=self.weight_calibration,
            weight_rounding=self.weight_rounding,
            bias_correction=self.bias_correction,
        )

    def configs(self) -> list[HardwareConfig]:
        """One per --build, with the widths of the search and roomy memories."""
        values = dict(parse_option(text) for text in self.options)
        widths = tuple(sorted({*self.weight_choices, *self.activation_choices}, reverse=True))
        return [
            roomy(HardwareConfig.from_dict({"rows": rows, "lanes": lanes, "precisions": widths, **values}), values)
            for rows, lanes in self.builds
        ]


def _budget_options() -> list[Decorator]:
    """--cycles, --weight-bytes, --file-bytes, --energy."""
    found: list[Decorator] = []
    for metric, (_, unit, text) in METRICS.items():
        what = f"{text[:1].upper()}{text[1:]}" + ("" if unit in text else f", in {unit}")
        text = f"{what}, at most: a number, or a percentage of the 8-bit network's."
        found.append(click.option(f"--{metric.replace('_', '-')}", default=None, metavar="N|P%", help=text))
    return found


OPTIONS: tuple[Decorator, ...] = (
    float_model_option(required=True),
    weights_option(),
    data_options("mnist"),
    *_budget_options(),
    click.option("--dsps", type=COUNT, default=None, help="Most DSPs of the build: larger builds are left out."),
    click.option(
        "--build",
        "builds",
        type=Build(),
        multiple=True,
        metavar="ROWSxLANES",
        default=("8x8",),
        show_default=True,
        help="Size of the accelerator; may be repeated: the build with the better network is taken.",
    ),
    config_option(
        "req_lanes=4",
        " Memories that are not named are as large as they can be, and cut to what the chosen network needs.",
    ),
    option(
        "--weight-choices",
        old="--weight-bits",
        type=NumberList(int),
        default=",".join(map(str, MULTI_BIT_WEIGHTS)),
        show_default=True,
        help="Widths of weights to choose from; 1 is possible too.",
    ),
    option(
        "--activation-choices",
        old="--activation-bits",
        type=NumberList(int),
        default=",".join(map(str, MULTI_BIT_ACTIVATIONS)),
        show_default=True,
        help="Widths of the layers' outputs to choose from.",
    ),
    choice_option(
        "--sensitivity",
        SENSITIVITIES,
        "What a width costs in accuracy: KL divergence from the float network, rise of the cross entropy, "
        "or trace of the Hessian times squared error.",
    ),
    option(
        "--search-images",
        old="--images",
        type=COUNT,
        default=1000,
        show_default=True,
        help="Number of images that decide, from the end of the training split.",
    ),
    click.option(
        "--candidates",
        type=COUNT,
        default=8,
        show_default=True,
        help="Best choices of the integer program that are measured as whole networks.",
    ),
    choice_option("--axis", tuple(METRICS), "Cost over which the Pareto front is drawn."),
    click.option(
        "--points", type=click.IntRange(min=2), default=16, show_default=True, help="Budgets that the front tries."
    ),
    click.option(
        "--front",
        "front_files",
        type=click.Path(),
        multiple=True,
        help="File for the front: .json, .svg or .png; may be repeated.",
    ),
    choice_option("--calibration", CALIBRATIONS, "How the activations' ranges are found.", "mse"),
    choice_option("--weight-calibration", CALIBRATIONS, "How the weights' ranges are found.", "mse"),
    choice_option("--weight-rounding", WEIGHT_ROUNDINGS, "How the chosen network's weights become integers."),
    click.option(
        "--bias-correction", is_flag=True, help="Biases of the chosen network take the mean error of their layer."
    ),
    calibration_images_option("Number of images for the ranges, from the beginning of the training split."),
    pixel_options,
    click.option(
        "--qat-epochs",
        type=COUNT,
        default=None,
        help="Train the chosen network for so many epochs, with the quantizers in place.  [default: not at all]",
    ),
    click.option(
        "--learning-rate",
        type=click.FloatRange(min=0, min_open=True),
        default=5e-4,
        show_default=True,
        help="Learning rate of that training.",
    ),
    seed_option("that training, and of the Hessian's trace"),
    test_count_option,
    model_output_options("MODEL-searched"),
    json_option,
)


def options(function: Function) -> Function:
    """All of them, in front of the command's function."""
    for decorate in reversed(OPTIONS):
        function = decorate(function)
    return function
