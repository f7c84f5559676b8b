"""`python -m quant train`: training of a float network."""

import time
from dataclasses import replace

import click

from accel.cli import EXIT_OK, json_option, report
from accel.errors import DataError, ModelError
from quant.cli.options import COUNT, bar, check_output, data_options, load_data


@click.command()
@click.option("--model", default="lenet5", show_default=True, help="Model of the zoo.")
@data_options("mnist")
@click.option("--epochs", type=COUNT, default=None, help="[default: that of the model's recipe]")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--count", type=COUNT, default=None, help="Train on the first COUNT images only.")
@click.option("--out", type=click.Path(dir_okay=False), required=True, help="File for the weights (.npz).")
@json_option
def train(model, data, data_dir, epochs, seed, count, out, as_json):
    """Train a float network of the zoo and write its weights.

    Takes about 10 seconds an epoch on two cores. JSON keys: model, data, epochs, accuracy, seconds, out.

    Example: python -m quant train --model lenet5 --data mnist --out weights.npz
    """
    from quant.models import networks as models
    from quant.models import train as training
    from quant.models.weights import save_weights
    check_output(out)
    module = models.build(model)
    images, labels = load_data(data, data_dir, "train", count)
    test_images, test_labels = load_data(data, data_dir, "test")
    if labels is None or test_labels is None:
        raise DataError(f"{data}: has no labels; training needs an .npz file with `images` and `labels`")
    height, width, channels = models.INPUT_SHAPES[model]
    if images.shape[1:] != (height, width, channels):
        raise ModelError(f"{model}: needs images of (H, W, C)={(height, width, channels)}, not "
                         f"{images.shape[1:]}")
    classes = models.CLASSES[model]
    for part in (labels, test_labels):
        if part.min() < 0 or part.max() >= classes:
            raise DataError(f"{data}: labels lie in {part.min()}..{part.max()} but {model} has the classes "
                            f"0..{classes - 1}; give other labels")
    started = time.monotonic()
    options = replace(training.RECIPES[model], seed=seed)
    if epochs is not None:
        options = replace(options, epochs=epochs)
    with bar("training", options.epochs, as_json) as advance:
        training.train(module, images, labels, options, on_epoch=lambda epoch, loss: advance())
    accuracy = training.accuracy(module, training.to_float(test_images), test_labels)
    save_weights(module, out)
    report({"model": model, "data": data, "epochs": options.epochs, "accuracy": accuracy,
            "seconds": round(time.monotonic() - started, 1), "out": out}, as_json, "Training")
    return EXIT_OK
