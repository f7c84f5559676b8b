"""`python -m quant check`: which width each layer of a float network can have."""

import click

from accel.cli import EXIT_MISMATCH, EXIT_OK, json_option, print_json, print_table
from quant.check.thresholds import DEFAULT_PRESET, PRESETS, choose
from quant.cli.options import COUNT, MODEL_HELP, NumberList, bar, data_options, input_option, load_data
from quant.cli.user_input import check_images, encoding_of, look_at
from quant.names import CLIPS

COLUMNS = ("layer", "bits", "SNR dB", "needs dB", "coverage", "needs", "max error", "passes", "proposal")


@click.command()
@click.option("--model", required=True, help=f"{MODEL_HELP[:1].upper()}{MODEL_HELP[1:]}.")
@click.option("--weights", type=click.Path(), default=None, help="Weights: .npz, .pt, .pth, .ckpt or .safetensors.")
@data_options("mnist")
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    default=DEFAULT_PRESET,
    show_default=True,
    help="strict: 40 dB at every width; per-width: a threshold for every width.",
)
@click.option(
    "--snr",
    type=NumberList(float),
    default=None,
    help="SNR thresholds in dB instead of the preset's: one, or four for 8, 6, 4, 2 bits.",
)
@click.option(
    "--coverage",
    type=NumberList(float),
    default=None,
    help="Share of the values that must lie inside the range: one, or four; both presets have 0.99.",
)
@click.option(
    "--clip",
    type=click.Choice(CLIPS),
    default="best",
    show_default=True,
    help="best: the scale of least squared error that keeps the coverage; minmax: nothing is clipped.",
)
@click.option(
    "--calibration-images",
    type=COUNT,
    default=1000,
    show_default=True,
    help="Number of images for the activations, taken from the training split.",
)
@input_option
@click.option("--mean", type=NumberList(float), default="0", help="Mean of u/255, one or per channel.")
@click.option("--std", type=NumberList(float), default="1", help="Deviation of u/255, one or per channel.")
@json_option
def check(
    model, weights, data, data_dir, preset, snr, coverage, clip, calibration_images, encoding, mean, std, as_json
):
    """Check at which widths integers represent the weights and activations of a float network.

    Per layer and width: signal-to-noise ratio, share of the values inside the range, largest error. The lowest width
    that passes is proposed; a layer that passes nowhere stays at INT8 and is flagged.

    Exit code 0: every layer passes at some width. 1: a layer is flagged. 2: bad usage or bad input.

    JSON keys: model, data, preset, clip, images, thresholds (bits, snr_db, coverage), layers (layer, kind, proposal,
    flagged, widths (bits, snr_db, coverage, max_error, passes)), weight_bits, activation_bits, flagged, feasible,
    verdict, advice.

    Example: python -m quant check --model lenet5 --data mnist --preset per-width
    """
    thresholds = choose(preset, snr, coverage)
    from quant.check.model_check import PASSES, check_network
    from quant.frontend.prepare import prepare
    from quant.models.sources import load_float_model

    module, name, shape = load_float_model(model, weights)
    images, _ = load_data(data, data_dir, "train", calibration_images)
    check_images(model, shape, data, images)
    prepared = prepare(look_at(module, images, name), mean, std, encoding_of(encoding, images))
    with bar("checking", PASSES * len(images), as_json) as advance:
        result = check_network(prepared, images, thresholds, clip, advance)
    if as_json:
        print_json({"model": model, "data": data, "preset": preset, **result.plain()})
    else:
        _print(result)
    return EXIT_OK if result.ok else EXIT_MISMATCH


def _print(result):
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


def _joined(widths):
    return ",".join(map(str, widths)) or "8"


def _rows(check, thresholds):
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
