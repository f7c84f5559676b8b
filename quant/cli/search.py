"""`python -m quant search`: the widths of every layer, chosen by what they cost on the accelerator."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import click

from accel import model_dir
from accel.cli import EXIT_OK, json_option, print_json, print_table
from accel.errors import DataError, UnsupportedError
from accel.outputs import File, check_outputs
from quant import marks
from quant.cli.options import COUNT, MODEL_HELP, NumberList, bar, code_file, data_options, load_data, warn
from quant.cli.training import kept, open_checkpoint
from quant.cli.user_input import check_images, check_labelled, check_splits, look_at
from quant.data import datasets
from quant.data.loaders import check_labels
from quant.names import CALIBRATIONS, SENSITIVITIES, WEIGHT_ROUNDINGS
from quant.search.budget import METRICS


def budget_options(function):
    """--cycles, --weight-bytes, --file-bytes, --energy."""
    for metric, (_, _, text) in reversed(METRICS.items()):
        option = f"--{metric.replace('_', '-')}"
        text = f"{text.capitalize()}, at most: a number, or a percentage of the 8-bit network's."
        function = click.option(option, default=None, metavar="N|P%", help=text)(function)
    return function


@click.command()
@click.option("--model", required=True, help=f"{MODEL_HELP[:1].upper()}{MODEL_HELP[1:]}.")
@click.option("--weights", type=click.Path(), default=None, help="Weights: .npz, .pt, .pth, .ckpt or .safetensors.")
@data_options("mnist")
@budget_options
@click.option("--dsps", type=COUNT, default=None, help="Most DSPs of the build: larger builds are left out.")
@click.option("--build", "builds", multiple=True, metavar="ROWSxLANES", default=("8x8",), show_default=True,
              help="Size of the accelerator; may be repeated: the build with the better network is taken.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE",
              help="Another field of the hardware configuration, e.g. req_lanes=4; may be repeated. Memories that are "
                   "not named are as large as they can be, and cut to what the chosen network needs.")
@click.option("--weight-bits", type=NumberList(int), default="8,6,4,2", show_default=True,
              help="Widths of weights to choose from; 1 is possible too.")
@click.option("--activation-bits", type=NumberList(int), default="8,4,2", show_default=True,
              help="Widths of the layers' outputs to choose from.")
@click.option("--sensitivity", type=click.Choice(SENSITIVITIES), default=SENSITIVITIES[0], show_default=True,
              help="What a width costs in accuracy: KL divergence from the float network, rise of the cross entropy, "
                   "or trace of the Hessian times squared error.")
@click.option("--images", type=COUNT, default=1000, show_default=True,
              help="Number of images that decide, from the end of the training split.")
@click.option("--candidates", type=COUNT, default=8, show_default=True,
              help="Best choices of the integer program that are measured as whole networks.")
@click.option("--axis", type=click.Choice(tuple(METRICS)), default="cycles", show_default=True,
              help="Cost over which the Pareto front is drawn.")
@click.option("--points", type=click.IntRange(min=2), default=16, show_default=True,
              help="Budgets that the front tries.")
@click.option("--front", "front_files", type=click.Path(), multiple=True,
              help="File for the front: .json, .svg or .png; may be repeated.")
@click.option("--calibration", type=click.Choice(CALIBRATIONS), default="mse", show_default=True,
              help="How the activations' ranges are found.")
@click.option("--weight-calibration", type=click.Choice(CALIBRATIONS), default="mse", show_default=True,
              help="How the weights' ranges are found.")
@click.option("--weight-rounding", type=click.Choice(WEIGHT_ROUNDINGS), default=WEIGHT_ROUNDINGS[0], show_default=True,
              help="How the chosen network's weights become integers.")
@click.option("--bias-correction", is_flag=True, help="Biases of the chosen network take their layer's mean error.")
@click.option("--calibration-images", type=COUNT, default=1000, show_default=True,
              help="Images for the ranges, from the beginning of the training split.")
@click.option("--mean", type=NumberList(float), default="0", help="Mean of u/255, one or per channel.")
@click.option("--std", type=NumberList(float), default="1", help="Deviation of u/255, one or per channel.")
@click.option("--qat-epochs", type=COUNT, default=None,
              help="Train the chosen network for so many epochs, with the quantizers in place.  [default: not at all]")
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True), default=5e-4, show_default=True,
              help="Of that training.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of that training, and of the Hessian's trace.")
@click.option("--test-count", type=COUNT, default=None, help="Evaluate on the first so many test images only.")
@click.option("--name", default=None, help="Name written into the model; default: MODEL-searched.")
@click.option("--out", type=click.Path(), required=True, help="Model directory to write.")
@json_option
def search(model, weights, data, data_dir, images, calibration_images, front_files, out, as_json, **given):
    """Choose the bits of every layer's weights and output: least harm under a budget of the accelerator's cost model.

    The costs are those of the compiler, for every (input, weight, output) widths of a layer; an integer program picks
    among them. Its best choices are measured on training images, and the best one is quantized and written.

    JSON keys: name, data, layers, chosen (weight_bits, activation_bits, cycles, weight_bytes, file_bytes, energy,
    predicted_loss, loss, kl, accuracy), front and uniform (the same of other networks), limits, axis, measure, build,
    dsps, sensitivity, accuracy, test_images, out.

    Example: python -m quant search --model lenet5 --cycles 72% --weight-bytes 60% --build 8x8 --out my-mixed
    """
    check_outputs(model_dir.output(out), *map(_front_output, front_files), model=code_file(model), weights=weights)
    from quant.models.sources import load_float_model, outputs
    from quant.ptq.pipeline import Normalization
    from quant.search.quantized import make_probe
    from quant.search.search import search as run
    options, ptq = _search_options(given), _ptq_options(given)
    configs = [_config(size, given["options"], options) for size in given["builds"]]
    if len({config.requantizer for config in configs}) == 1:
        ptq = replace(ptq, requantizer=configs[0].requantizer)
    module, own_name, shape = load_float_model(model, weights)
    train, labels = load_data(data, data_dir, "train")
    test = load_data(data, data_dir, "test", given["test_count"])
    check_splits(data, train, test[0], "a search")
    check_images(model, shape, data, train)
    if given["qat_epochs"] is not None:
        check_labelled(data, "--qat-epochs", labels)
    look_at(module, train, own_name)
    if labels is None and options.measure != "kl":
        raise DataError(f"{data}: has no labels, which --sensitivity {options.measure} needs; use --sensitivity kl")
    if labels is not None:
        check_labels(labels, outputs(module, own_name, train.shape[1:]), own_name)
    name, normalization = given["name"] or f"{own_name}-searched", Normalization(given["mean"], given["std"])
    with bar("searching", None, as_json) as advance:
        probe, graph = make_probe(module, train[:calibration_images], train[-images:],
                                  None if labels is None else labels[-images:], name=own_name,
                                  normalization=normalization, options=ptq, search_options=options, advance=advance)
        result = run(graph, configs, probe, options, advance)
    with ExitStack() as keeping:
        graph = _network(module, result, train, labels, calibration_images, ptq, given, name, normalization, as_json,
                         datasets.CLASS_NAMES.get(data, ()), out, keeping)
        _check_cycles(graph, result)
        model_dir.save(graph, out)
    values = {"name": name, "data": data, **result.to_dict(), **_accuracy(graph, *test, as_json), "out": out}
    for path in front_files:
        _write_front(result, values, path)
    if as_json:
        print_json(values)
    else:
        _print(result, values)
    return EXIT_OK


def _search_options(given):
    from quant.search.budget import Budget
    from quant.search.search import SearchOptions
    budgets = tuple(Budget.parse(metric, given[metric]) for metric in METRICS if given[metric] is not None)
    if not budgets and given["dsps"] is None:
        raise click.UsageError("a search needs a budget: give --cycles, --weight-bytes, --file-bytes, --energy or "
                               "--dsps")
    return SearchOptions(tuple(given["weight_bits"]), tuple(given["activation_bits"]), given["sensitivity"], budgets,
                         given["dsps"], given["axis"], given["points"], given["candidates"], seed=given["seed"])


def _ptq_options(given):
    from quant.ptq.quantize import PtqOptions
    return PtqOptions(calibration=given["calibration"], weight_calibration=given["weight_calibration"],
                      weight_rounding=given["weight_rounding"], bias_correction=given["bias_correction"])


def _config(size, texts, options):
    """The HardwareConfig of "8x8" with the widths of the search and roomy memories."""
    from accel.compile.choices import roomy
    from accel.config import HardwareConfig
    from accel.convert import parse_option
    rows, _, lanes = size.partition("x")
    if not (rows.isdigit() and lanes.isdigit()):
        raise UnsupportedError(f"build '{size}': must be ROWSxLANES such as 8x8")
    values = dict(parse_option(text) for text in texts)
    widths = tuple(sorted({*options.weight_bits, *options.activation_bits}, reverse=True))
    return roomy(HardwareConfig.from_dict({"rows": int(rows), "lanes": int(lanes), "precisions": widths, **values}),
                 values)


def _front_output(path):
    if Path(path).suffix not in (".json", ".svg", ".png"):
        raise UnsupportedError(f"--front {path}: must end with .json, .svg or .png")
    return File(path, marks.FRONT, "--front")


def _network(module, result, train, labels, calibration_images, ptq, given, name, normalization, as_json, classes, out,
             keeping):
    """The integer graph of the chosen point, quantized or trained; a training is kept where the rest of the ExitStack
    `keeping` fails."""
    from quant.ptq.pipeline import quantize_module, work
    from quant.search.search import with_chosen
    if given["qat_epochs"] is None:
        chosen = with_chosen(ptq, result.chosen)
        images = train[:calibration_images]
        with bar("quantizing", work(chosen, len(images)), as_json) as advance:
            return quantize_module(module, images, name=name, options=chosen, normalization=normalization,
                                   class_names=classes, advance=advance, warn=warn)
    from quant.qat.train import QatOptions
    from quant.search.quantized import export_chosen, train_chosen
    options = QatOptions(epochs=given["qat_epochs"], learning_rate=given["learning_rate"], seed=given["seed"])
    opened = []

    def checkpoint(identity):
        opened.append(open_checkpoint(None, False, identity, train, labels, out))
        return opened[0]

    with bar("training", options.epochs, as_json) as advance:
        network = train_chosen(module, result.chosen, train, labels, options, name=name, normalization=normalization,
                               requantizer=ptq.requantizer, on_epoch=lambda epoch, loss: advance(),
                               checkpoint=checkpoint)
    keeping.enter_context(kept(opened[0], "go on with `python -m quant qat --start {file}` and widths of your choice"))
    return export_chosen(network, options, name=name, class_names=classes)


def _check_cycles(graph, result):
    from quant.search.search import check_cycles
    check_cycles(graph, result.config, result.chosen)


def _accuracy(graph, images, labels, as_json):
    """{accuracy, test_images} on the test split; nothing for data without labels."""
    from quant.reference import evaluate
    if labels is None:
        return {"accuracy": None, "test_images": 0}
    with bar("evaluating", len(images), as_json) as advance:
        return {"accuracy": evaluate.accuracy(graph, images, labels, advance), "test_images": len(images)}


def _write_front(result, values, path):
    import json

    from accel.atomic import write_file
    from quant.search.plot import plot_front
    if Path(path).suffix == ".json":
        figures = {key: value for key, value in values.items() if key != "out"}
        write_file(path, json.dumps({"made_by": marks.FRONT.decode(), **figures}, indent=1) + "\n", marks.FRONT)
    else:
        plot_front(result, path)


def _print(result, values):
    rows = [(name, *widths) for name, widths in zip(
        result.layers, zip(result.chosen.weight_bits, (*result.chosen.activation_bits, "raw"), strict=True),
        strict=True)]
    print_table(f"{values['name']} -> {values['out']}", ("layer", "weight bits", "output bits"), rows)
    columns = ("network", "weights", "activations", *METRICS, "KL", "cross entropy", "accuracy")
    points = [("chosen", result.chosen), *(("front", point) for point in result.front),
              *((f"W{weights}A{outputs}", point) for (weights, outputs), point in result.uniform.items())]
    print_table("Training images: chosen network, Pareto front, equal widths everywhere", columns, [
        (kind, ",".join(map(str, point.weight_bits)), ",".join(map(str, point.activation_bits)),
         *(point.costs[metric] for metric in METRICS), point.figures.kl, point.figures.loss, point.figures.accuracy)
        for kind, point in points])
    limits = ", ".join(f"{metric} <= {limit:.6g}" for metric, limit in result.limits.items())
    config = result.config
    print_table("Build", ("figure", "value"), [
        ("size", f"{config.rows}x{config.lanes}"), ("precisions", ",".join(map(str, config.precisions))),
        ("DSPs", config.dsp_estimate), ("weight_depth", config.weight_depth), ("req_lanes", config.req_lanes),
        ("budget", limits), ("accuracy", values["accuracy"]), ("test images", values["test_images"])])
