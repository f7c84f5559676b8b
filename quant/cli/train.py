"""`python -m quant train`: training of a float network."""

import time
from dataclasses import asdict, replace

import click

from accel.cli import EXIT_OK, json_option, report
from accel.outputs import check_outputs
from quant.cli.options import (
    COUNT,
    MODEL_HELP,
    bar,
    checkpoint_output,
    code_file,
    data_options,
    load_data,
    weights_output,
)
from quant.cli.training import checkpoint_options, kept, open_checkpoint
from quant.cli.user_input import check_images, check_labelled, check_splits
from quant.data.loaders import check_labels


@click.command()
@click.option("--model", default="lenet5", show_default=True, help=f"What to train: {MODEL_HELP}.")
@data_options("mnist")
@click.option("--epochs", type=COUNT, default=None, help="[default: that of the model's recipe]")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--count", type=COUNT, default=None, help="Train on the first COUNT images only.")
@checkpoint_options
@click.option("--out", type=click.Path(dir_okay=False), required=True, help="File for the weights (.npz).")
@json_option
def train(model, data, data_dir, epochs, seed, count, checkpoint, resume, out, as_json):
    """Train a float network from new weights and write them.

    A user's own network is trained by the recipe of lenet5.

    Takes about 10 seconds an epoch on two cores. A training that turns NaN or explodes stops with exit code 1; the
    checkpoint keeps the last good epoch. JSON keys: model, data, epochs, accuracy, seconds, out.

    Example: python -m quant train --model lenet5 --data mnist --out weights.npz
    """
    from quant.data.user_code import is_user_code
    from quant.models import sources, zoo
    from quant.models import train as training
    from quant.models.call import in_float32
    from quant.models.weights import save_weights

    check_outputs(weights_output(out), checkpoint_output(checkpoint, resume), model=code_file(model))
    module = in_float32(sources.user_model(model)) if is_user_code(model) else zoo.build(model)
    images, labels = load_data(data, data_dir, "train", count)
    test_images, test_labels = load_data(data, data_dir, "test")
    check_labelled(data, "training", labels, test_labels)
    check_splits(data, images, test_images, "training", "")
    check_images(model, zoo.INPUT_SHAPES.get(model), data, images)
    classes = sources.outputs(module, model, images.shape[1:])
    for part in (labels, test_labels):
        check_labels(part, classes, model)
    started = time.monotonic()
    options = replace(training.RECIPES.get(model, training.TrainingOptions()), seed=seed)
    if epochs is not None:
        options = replace(options, epochs=epochs)
    state = open_checkpoint(checkpoint, resume, {"model": model, **asdict(options)}, images, labels, out)
    with bar("training", options.epochs, as_json) as advance:
        training.train(module, images, labels, options, lambda epoch, loss: advance(), state)
    accuracy = training.accuracy(module, training.to_float(test_images), test_labels)
    with kept(state, "go on with --checkpoint {file} --resume"):
        save_weights(module, out)
    report(
        {
            "model": model,
            "data": data,
            "epochs": options.epochs,
            "accuracy": accuracy,
            "seconds": round(time.monotonic() - started, 1),
            "out": out,
        },
        as_json,
        "Training",
    )
    return EXIT_OK
