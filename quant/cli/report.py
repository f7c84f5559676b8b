"""`python -m quant report`: one HTML page and one JSON about a network in every width."""

import json
import shlex
import sys
from pathlib import Path

import click
import numpy as np

from accel.atomic import write_file
from accel.checks import shown
from accel.cli import EXIT_OK, json_option, print_json, print_table
from accel.config import HardwareConfig
from accel.errors import OutputError, UnsupportedError
from accel.names import PRECISIONS
from accel.outputs import File, check_outputs
from quant import marks
from quant.cli.options import COUNT, MODEL_HELP, NumberList, bar, code_file, data_options, load_data
from quant.cli.user_input import check_images, check_labelled, check_splits, look_at
from quant.data import datasets
from quant.names import CALIBRATIONS, WEIGHT_ROUNDINGS
from quant.search.budget import METRICS

WIDTH_NAMES = "int8,int6,int4,int2,binary,mixed"
BINARY_NOTE = "weights only: signs as activations need training"


class NamedFolder(click.ParamType):
    """NAME=DIR."""

    name = "name=dir"

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        name, separator, folder = value.partition("=")
        if not (name.strip() and separator and folder):
            self.fail(f"'{value}' is not NAME=DIR, e.g. mine=build/out/my-model", param, ctx)
        return name.strip(), folder


@click.command()
@click.option("--model", default="lenet5", show_default=True, help=f"Float network: {MODEL_HELP}.")
@click.option("--weights", type=click.Path(), default=None, help="Its weights: .npz, .pt, .pth, .ckpt or .safetensors.")
@data_options("mnist")
@click.option("--widths", default=WIDTH_NAMES, show_default=True, help="What to compare with FP32, by commas.")
@click.option(
    "--network",
    "given",
    type=NamedFolder(),
    multiple=True,
    help="A model directory to compare as well, NAME=DIR; may be repeated.",
)
@click.option(
    "--qat-epochs",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Train every width for so many epochs; 0: take the zoo's trained networks where the model has some.",
)
@click.option("--train-count", type=COUNT, default=None, help="Train on the first so many images only.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the training.")
@click.option(
    "--calibration-images",
    type=COUNT,
    default=1000,
    show_default=True,
    help="Number of training images for ranges, search, check and histograms.",
)
@click.option(
    "--calibration",
    type=click.Choice(CALIBRATIONS),
    default="mse",
    show_default=True,
    help="How ranges are found, of weights and activations.",
)
@click.option(
    "--weight-rounding",
    type=click.Choice(WEIGHT_ROUNDINGS),
    default="gptq",
    show_default=True,
    help="How weights are rounded after training; adaround takes minutes.",
)
@click.option("--test-count", type=COUNT, default=None, help="Evaluate on the first so many test images only.")
@click.option("--mean", type=NumberList(float), default="0", help="Mean of u/255, one or per channel.")
@click.option("--std", type=NumberList(float), default="1", help="Deviation of u/255, one or per channel.")
@click.option(
    "--cost",
    type=click.Choice(tuple(METRICS)),
    default="file_bytes",
    show_default=True,
    help="What the mixed network saves, and the axis of the Pareto front.",
)
@click.option(
    "--budget",
    type=click.FloatRange(min=0, max=1, min_open=True),
    default=0.6,
    show_default=True,
    help="The mixed network's share of INT8's cost.",
)
@click.option("--rows", type=int, default=16, show_default=True, help="Rows of the build whose cycles are given.")
@click.option("--lanes", type=int, default=16, show_default=True, help="Its byte lanes.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    required=True,
    help="HTML page to write; the JSON stands beside it, with .json in place of .html.",
)
@json_option
def report(
    model,
    weights,
    data,
    data_dir,
    widths,
    given,
    qat_epochs,
    train_count,
    seed,
    calibration_images,
    calibration,
    weight_rounding,
    test_count,
    mean,
    std,
    cost,
    budget,
    rows,
    lanes,
    out,
    as_json,
):
    """Compare a network in every width: one self-contained HTML page and a JSON with the same figures.

    Accuracy and size of FP32, INT8, INT6, INT4, INT2, binary and mixed widths, quantized after training and trained;
    what the literature expects; the Pareto front of the search; per-layer signal-to-noise ratio; histograms before and
    after; confusion matrices. LeNet-5 on MNIST takes one to two minutes of one core. The same options give the same
    bytes.

    JSON keys: model, data, out, json, networks (key, title, method, accuracy, change_points, weight_bytes, cycles,
    verdict), refused.

    Example: python -m quant report --model lenet5 --data mnist --out build/out/report.html
    """
    page, figures_file = _outputs(out, model, weights, given)
    chosen = _widths(widths)
    config = HardwareConfig(rows=rows, lanes=lanes, precisions=PRECISIONS)
    from quant.report import gather
    from quant.report import page as pages

    calibration_part, test = _data(data, data_dir, calibration_images, test_count)
    source = _source(model, weights, data, mean, std, calibration_part, calibration, weight_rounding)
    training = None
    if qat_epochs:
        training = load_data(data, data_dir, "train", train_count)
        check_labelled(data, "--qat-epochs", training[1])
    refused, folders = [], _given(source, given, gather.class_names(source))
    entries, search = _after_training(source, chosen, refused, config, cost, budget, as_json)
    entries += _trained(source, chosen, refused, training, qat_epochs, seed, entries, weights, as_json)
    entries += folders
    same = np.array_equal(calibration_part, test[0][: len(calibration_part)])
    with bar("measuring", gather.steps(source, entries, len(test[0])), as_json) as advance:
        figures = gather.report(
            source,
            entries,
            test,
            config,
            data=data,
            same_images=same,
            search=search,
            refused=refused,
            command=_command(),
            notes=_notes(source, seed, qat_epochs),
            advance=advance,
        )
    write_file(page, pages.render(figures), marks.REPORT)
    text = json.dumps({"made_by": marks.REPORT.decode(), **figures}, indent=1, allow_nan=False)
    write_file(figures_file, text + "\n", marks.REPORT)
    _print(figures, model, data, page, figures_file, as_json)
    return EXIT_OK


def _outputs(out, model, weights, given):
    """(page, JSON file), checked before anything takes time."""
    page = Path(out)
    if page.suffix not in (".html", ".htm"):
        raise OutputError(f"--out {shown(out)}: the report is an HTML page; end the name with .html")
    figures_file = page.with_suffix(".json")
    check_outputs(
        File(page, marks.REPORT),
        File(figures_file, marks.REPORT, "JSON beside --out"),
        model=code_file(model),
        weights=weights,
        network=[folder for _, folder in given],
    )
    return page, figures_file


def _widths(text):
    from quant.report.widths import choose

    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UnsupportedError("--widths names nothing; give some of " + WIDTH_NAMES)
    return choose(names)


def _data(data, data_dir, calibration_images, test_count):
    """(calibration images, (test images, labels))."""
    calibration, _ = load_data(data, data_dir, "train", calibration_images)
    test = load_data(data, data_dir, "test", test_count)
    check_labelled(data, "a report", test[1])
    check_splits(data, calibration, test[0], "a report")
    return calibration, test


def _source(model, weights, data, mean, std, images, calibration, weight_rounding):
    from quant.models.sources import load_float_model
    from quant.ptq.options import PtqOptions
    from quant.ptq.pipeline import Normalization
    from quant.report.compared import source_of

    module, name, shape = load_float_model(model, weights)
    check_images(model, shape, data, images)
    look_at(module, images, name)
    options = PtqOptions(calibration=calibration, weight_calibration=calibration, weight_rounding=weight_rounding)
    names = datasets.CLASS_NAMES.get(data, ())
    return source_of(module, model, name, Normalization(mean, std), names, images, options)


def _after_training(source, chosen, refused, config, cost, budget, as_json):
    """(Entries quantized after training, the search's figures or None)."""
    from accel.compile.choices import roomy
    from quant.ptq.pipeline import work
    from quant.report import mixed
    from quant.report.compared import PTQ, after_training
    from quant.report.gather import attempt
    from quant.report.widths import INT8, MIXED, WIDTHS

    uniform = [width for width in chosen if width != MIXED]
    made = {}
    wanted = [width for width in WIDTHS.values() if width in uniform or (MIXED in chosen and width.weight_bits)]
    with bar("quantizing", work(source.options, len(source.calibration)) * len(wanted), as_json) as advance:
        for width in wanted:
            how = BINARY_NOTE if width.key == "binary" else ""
            own = refused if width in uniform else []
            made[width] = attempt(
                own,
                width,
                PTQ,
                lambda width=width, how=how: after_training(
                    source, width, width.weight_bits, width.activation_bits, advance, how
                ),
            )
    entries = [entry for width in uniform for entry in made[width]]
    if MIXED not in chosen or not made[INT8]:
        return entries, None
    available = [entry for width in wanted for entry in made[width] if width.weight_bits > 1]
    with bar("searching", None, as_json) as advance:
        found = attempt(
            refused, MIXED, PTQ, lambda: mixed.find(source, available, roomy(config), cost, budget, advance)
        )
    if not found:
        return entries, None
    return [*entries, found[0][0]], found[0][1]


def _trained(source, chosen, refused, training, epochs, seed, entries, weights, as_json):
    """Entries trained here, or the zoo's own for its own weights."""
    from quant.models.zoo import MODELS
    from quant.report import compared
    from quant.report.gather import attempt
    from quant.report.widths import MIXED

    if not epochs:
        return compared.shipped(source.model, chosen) if source.model in MODELS and weights is None else []
    mixed = [entry.graph for entry in entries if entry.width == MIXED.key]
    found = []
    for width in chosen:
        if width == MIXED:
            widths = [_graph_widths(graph) for graph in mixed]
        else:
            widths = [compared.training_widths(width, source.layers)]
        for bits in widths:
            with bar(f"training {width.title}", epochs, as_json) as advance:
                found += attempt(
                    refused,
                    width,
                    compared.TRAINED,
                    lambda width=width, bits=bits, step=advance: compared.trained(
                        source, width, bits, *training, epochs, seed, lambda epoch, loss: step()
                    ),
                )
    return found


def _graph_widths(graph):
    layers = [layer for layer in graph.layers if layer.op != "maxpool"]
    return tuple(layer.weight_bits for layer in layers), tuple(layer.output.bits for layer in layers[:-1])


def _given(source, given, classes):
    from quant.report.compared import given as load_given

    names = [name for name, _ in given]
    if len(set(names)) != len(names):
        raise UnsupportedError("--network: two networks have the same name; give each its own")
    return [load_given(name, folder, source.calibration.shape[1:], len(classes)) for name, folder in given]


def _command():
    """The command line, for the page."""
    return shlex.join(["python", "-m", "quant", *sys.argv[1:]])


def _notes(source, seed, epochs):
    mean, std = source.normalization.mean, source.normalization.std
    notes = [
        f"After training: ranges by {source.options.calibration} from {len(source.calibration):,} training "
        f"images, weights rounded by {source.options.weight_rounding} (signs: of the float weights).",
        "Every accuracy but FP32's is that of integers: the same integers come out of the reference, the PyTorch "
        "network and the hardware.",
    ]
    if epochs:
        notes.append(f"Trained networks: {epochs} epochs, seed {seed}, from the float network.")
    if any(mean) or set(std) != {1.0}:
        notes.append(
            f"The network reads (u / 255 - mean) / std with mean {', '.join(map(str, mean))} and std "
            f"{', '.join(map(str, std))}."
        )
    return notes


def _print(figures, model, data, page, figures_file, as_json):
    keys = ("key", "title", "method", "accuracy", "change_points", "weight_bytes", "cycles", "verdict")
    networks = [{key: item.get(key) for key in keys} for item in figures["networks"]]
    if as_json:
        print_json(
            {
                "model": model,
                "data": data,
                "out": page,
                "json": figures_file,
                "networks": networks,
                "refused": figures["refused"],
            }
        )
        return
    rows = [
        (
            item["title"],
            item["method"],
            f"{100 * item['accuracy']:.2f} %",
            "" if item["change_points"] is None else f"{item['change_points']:+.2f}",
            item["weight_bytes"],
            item["cycles"],
            item["verdict"],
        )
        for item in networks
    ]
    print_table(
        f"{model} on {data}", ("network", "made", "accuracy", "points", "weight bytes", "cycles", "expected"), rows
    )
    for item in figures["refused"]:
        click.echo(f"left out: {item['width']}, {item['method']}: {item['reason']}", err=True)
    click.echo(f"{page} and {figures_file}")
