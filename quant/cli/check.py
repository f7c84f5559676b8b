"""`python -m quant check`: which width each layer of a float network can have."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from accel.cli import EXIT_MISMATCH, EXIT_OK, json_option, print_json, print_table
from accel.options import option, taking
from quant.check.thresholds import DEFAULT_PRESET, PRESETS, Thresholds, choose
from quant.cli.given import Data, FloatNetwork, Pixels
from quant.cli.options import (
    NumberList,
    bar,
    calibration_images_option,
    choice_option,
    data_options,
    float_model_option,
    input_option,
    pixel_options,
    weights_option,
)
from quant.cli.user_input import check_images, encoding_of, look_at
from quant.names import CLIPS

if TYPE_CHECKING:  # imports torch
    from quant.check.model_check import ModelCheck, TensorCheck

COLUMNS = ("layer", "bits", "SNR dB", "needs dB", "coverage", "needs", "max error", "passes", "proposal")


@dataclass(frozen=True, kw_only=True)
class Check(FloatNetwork, Data, Pixels):
    """The command's options. snr, coverage: thresholds in place of those that `thresholds` names, or None."""

    thresholds: str
    snr: tuple[float, ...] | None
    coverage: tuple[float, ...] | None
    clip: str
    calibration_images: int
    encoding: str | None
    as_json: bool


@click.command()
@float_model_option(required=True)
@weights_option()
@data_options("mnist")
@option(
    "--thresholds",
    old="--preset",
    type=click.Choice(list(PRESETS)),
    default=DEFAULT_PRESET,
    show_default=True,
    help="strict: 40 dB at every width; per-width: a threshold for every width.",
)
@click.option(
    "--snr",
    type=NumberList(float),
    default=None,
    help="SNR thresholds in dB instead of those: one, or four for 8, 6, 4, 2 bits.",
)
@click.option(
    "--coverage",
    type=NumberList(float),
    default=None,
    help="Share of the values that must lie inside the range: one, or four; by default 0.99.",
)
@choice_option(
    "--clip", CLIPS, "best: the scale of least squared error that keeps the coverage; minmax: nothing is clipped."
)
@calibration_images_option("Number of images for the activations, taken from the training split.")
@input_option
@pixel_options
@json_option
@taking(Check)
def check(given: Check) -> int:
    """Check at which widths integers represent the weights and activations of a float network.

    Per layer and width: signal-to-noise ratio, share of the values inside the range, largest error. The lowest width
    that passes is proposed; a layer that passes nowhere stays at INT8 and is flagged.

    Exit code 0: every layer passes at some width. 1: a layer is flagged. 2: bad usage or bad input.

    JSON keys: model, data, preset, clip, images, thresholds (bits, snr_db, coverage), layers (layer, kind, proposal,
    flagged, widths (bits, snr_db, coverage, max_error, passes)), weight_bits, activation_bits, flagged, feasible,
    verdict, advice.

    Example: python -m quant check --model lenet5 --data mnist --thresholds per-width
    """
    thresholds = choose(given.thresholds, given.snr, given.coverage)
    from quant.check.model_check import PASSES, check_network
    from quant.frontend.prepare import prepare

    module, name, shape = given.load()
    images, _ = given.split("train", given.calibration_images)
    check_images(given.model, shape, given.data, images)
    prepared = prepare(look_at(module, images, name), given.mean, given.std, encoding_of(given.encoding, images))
    with bar("checking", PASSES * len(images), given.as_json) as advance:
        result = check_network(prepared, images, thresholds, given.clip, advance)
    if given.as_json:
        print_json({"model": given.model, "data": given.data, "preset": given.thresholds, **result.plain()})
    else:
        _print(result)
    return EXIT_OK if result.ok else EXIT_MISMATCH


def _print(result: "ModelCheck") -> None:
    for title, checks in (("Weights", result.weights), ("Activations", result.activations)):
        rows = [row for check in checks for row in _rows(check, result.thresholds)]
        if rows:
            print_table(f"{title} of {result.name}", COLUMNS, rows)
    click.echo(
        f"proposed: --weight-bits {_joined(result.weight_bits)} --activation-bits {_joined(result.activation_bits)}"
    )
    click.echo(f"verdict: {result.verdict}")
    if result.advice:
        click.echo(result.advice)


def _joined(widths: tuple[int, ...]) -> str:
    return ",".join(map(str, widths)) or "8"


def _rows(check: "TensorCheck", thresholds: Thresholds) -> Iterator[tuple[object, ...]]:
    proposal = f"INT{check.proposal}{' (flagged)' if check.flagged else ''}"
    for index, figure in enumerate(check.figures):
        yield (
            "" if index else check.layer,
            figure.bits,
            f"{figure.snr_db:.1f}",
            thresholds.snr_db[figure.bits],
            f"{figure.coverage:.2%}",
            f"{thresholds.coverage[figure.bits]:g}",
            figure.max_error,
            figure.passes,
            "" if index else proposal,
        )
