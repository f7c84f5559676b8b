"""`python -m quant evaluate`: accuracy of a quantized or float network."""

from pathlib import Path

import click

from accel import model_dir
from accel.cli import EXIT_OK, json_option, report
from quant.cli.options import COUNT, bar, data_options, load_data
from quant.data import datasets
from quant.reference.evaluate import accuracy


@click.command()
@click.argument("model")
@data_options("mnist")
@click.option("--count", type=COUNT, default=None, help="Use the first COUNT images; default: all.")
@json_option
def evaluate(model, data, data_dir, count, as_json):
    """Accuracy of a quantized MODEL (directory, or name of the zoo) by the integer reference.

    A float model of the zoo (lenet5) is evaluated in float32 by PyTorch.

    JSON keys: model, data, count, accuracy.

    Example: python -m quant evaluate lenet5-int8 --data mnist --data-dir ~/datasets
    """
    is_float = not Path(model).exists() and (datasets.ZOO / model / "weights.npz").is_file()
    graph = None if is_float else model_dir.load(model)
    images, labels = load_data(data, data_dir, "test", count)
    if is_float:
        from quant.models.sources import float_accuracy
        share = float_accuracy(model, images, labels)
    else:
        with bar("evaluating", len(images), as_json) as advance:
            share = accuracy(graph, images, labels, advance)
    report({"model": model, "data": data, "count": len(images), "accuracy": share}, as_json, "Accuracy")
    return EXIT_OK
