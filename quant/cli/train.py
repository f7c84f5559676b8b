"""`python -m quant train`: training of a float network."""

import time
from dataclasses import asdict, dataclass, replace

import click

from accel.cli import EXIT_OK, json_option, report
from accel.options import taking
from accel.outputs import check_outputs
from quant.cli.given import Data
from quant.cli.options import (
    COUNT,
    bar,
    checkpoint_output,
    code_file,
    data_options,
    float_model_option,
    seed_option,
    train_count_option,
    weights_output,
)
from quant.cli.training import checkpoint_options, kept, open_checkpoint
from quant.cli.user_input import check_images, check_splits, labelled
from quant.data.loaders import check_labels


@dataclass(frozen=True, kw_only=True)
class Train(Data):
    """The command's options."""

    model: str
    epochs: int | None
    seed: int
    train_count: int | None
    checkpoint: str | None
    resume: bool
    out: str
    as_json: bool


@click.command()
@float_model_option("Float model to train", default="lenet5")
@data_options("mnist")
@click.option("--epochs", type=COUNT, default=None, help="Epochs of the training.  [default: the recipe's]")
@seed_option("the weights and of the order of the data")
@train_count_option()
@checkpoint_options
@click.option("--out", type=click.Path(dir_okay=False), required=True, help="File of weights to write (.npz).")
@json_option
@taking(Train)
def train(given: Train) -> int:
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

    model = given.model
    check_outputs(weights_output(given.out), checkpoint_output(given.checkpoint, given.resume), model=code_file(model))
    module = in_float32(sources.user_model(model)) if is_user_code(model) else zoo.build(model)
    splits = given.split("train", given.train_count), given.split("test")
    (images, labels), (test_images, test_labels) = (labelled(given.data, "training", split) for split in splits)
    check_splits(given.data, images, test_images, "training", "")
    check_images(model, zoo.INPUT_SHAPES.get(model), given.data, images)
    classes = sources.outputs(module, model, images.shape[1:])
    for part in (labels, test_labels):
        check_labels(part, classes, model)
    started = time.monotonic()
    options = replace(training.RECIPES.get(model, training.TrainingOptions()), seed=given.seed)
    if given.epochs is not None:
        options = replace(options, epochs=given.epochs)
    state = open_checkpoint(
        given.checkpoint, given.resume, {"model": model, **asdict(options)}, images, labels, given.out
    )
    with bar("training", options.epochs, given.as_json) as advance:
        training.train(module, images, labels, options, lambda epoch, loss: advance(), state)
    accuracy = training.accuracy(module, training.to_float(test_images), test_labels)
    with kept(state, "go on with --checkpoint {file} --resume"):
        save_weights(module, given.out)
    report(
        {
            "model": model,
            "data": given.data,
            "epochs": options.epochs,
            "accuracy": accuracy,
            "seconds": round(time.monotonic() - started, 1),
            "out": given.out,
        },
        given.as_json,
        "Training",
    )
    return EXIT_OK
