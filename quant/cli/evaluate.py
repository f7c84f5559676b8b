"""`python -m quant evaluate`: accuracy of a quantized or float network."""

import os
from dataclasses import dataclass

import click

from accel import model_dir
from accel.cli import EXIT_OK, json_option, report
from accel.options import model_option, taking
from quant.cli.given import Data, FloatNetwork, Pixels
from quant.cli.options import COUNT, bar, data_options, pixel_options, weights_option
from quant.data import datasets
from quant.data.loaders import check_labels
from quant.data.user_code import is_user_code
from quant.reference.evaluate import accuracy


@dataclass(frozen=True, kw_only=True)
class Evaluate(FloatNetwork, Data, Pixels):
    """The command's options."""

    count: int | None
    as_json: bool


@click.command()
@model_option(positional=True, required=True, help="Quantized model (directory, or name of the zoo), or a float model.")
@data_options("mnist")
@click.option("--count", type=COUNT, default=None, help="Number of images, the first ones; default: all.")
@weights_option("Weights of a float model")
@pixel_options
@json_option
@taking(Evaluate)
def evaluate(given: Evaluate) -> int:
    """Accuracy of a quantized model (directory, or name of the zoo) by the integer reference.

    A float model (lenet5, fashion-cnn, path/to/file.py:factory or package.module:factory) is evaluated in float32 by
    PyTorch.

    JSON keys: model, data, count, accuracy.

    Example: python -m quant evaluate --model lenet5-int8 --data mnist --data-dir ~/datasets
    """
    model = given.model
    is_float = not os.path.exists(model) and (is_user_code(model) or (datasets.ZOO / model / "weights.npz").is_file())
    graph = None if is_float else model_dir.load(model)
    images, labels = given.split("test", given.count)
    if graph is None:
        from quant.models.sources import float_accuracy

        share = float_accuracy(model, images, labels, given.weights, given.mean, given.std)
    else:
        if labels is not None:
            check_labels(labels, graph.output.elements, graph.name)
        with bar("evaluating", len(images), given.as_json) as advance:
            share = accuracy(graph, images, labels, advance)
    report({"model": model, "data": given.data, "count": len(images), "accuracy": share}, given.as_json, "Accuracy")
    return EXIT_OK
