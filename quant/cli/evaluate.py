"""`python -m quant evaluate`: accuracy of a quantized or float network."""

import os

import click

from accel import model_dir
from accel.cli import EXIT_OK, json_option, report
from quant.cli.options import COUNT, NumberList, bar, data_options, load_data
from quant.data import datasets
from quant.data.loaders import check_labels
from quant.data.user_code import is_user_code
from quant.reference.evaluate import accuracy


@click.command()
@click.argument("model")
@data_options("mnist")
@click.option("--count", type=COUNT, default=None, help="Use the first COUNT images; default: all.")
@click.option(
    "--weights",
    type=click.Path(),
    default=None,
    help="Weights of a float model: .npz, .pt, .pth, .ckpt or .safetensors.",
)
@click.option("--mean", type=NumberList(float), default="0", help="A float model's mean of u/255, one or per channel.")
@click.option("--std", type=NumberList(float), default="1", help="A float model's deviation of u/255.")
@json_option
def evaluate(model, data, data_dir, count, weights, mean, std, as_json):
    """Accuracy of a quantized MODEL (directory, or name of the zoo) by the integer reference.

    A float model (lenet5, fashion-cnn, path/to/file.py:factory or package.module:factory) is evaluated in float32 by
    PyTorch.

    JSON keys: model, data, count, accuracy.

    Example: python -m quant evaluate lenet5-int8 --data mnist --data-dir ~/datasets
    """
    is_float = not os.path.exists(model) and (is_user_code(model) or (datasets.ZOO / model / "weights.npz").is_file())
    graph = None if is_float else model_dir.load(model)
    images, labels = load_data(data, data_dir, "test", count)
    if is_float:
        from quant.models.sources import float_accuracy

        share = float_accuracy(model, images, labels, weights, mean, std)
    else:
        if labels is not None:
            check_labels(labels, graph.output.elements, graph.name)
        with bar("evaluating", len(images), as_json) as advance:
            share = accuracy(graph, images, labels, advance)
    report({"model": model, "data": data, "count": len(images), "accuracy": share}, as_json, "Accuracy")
    return EXIT_OK
