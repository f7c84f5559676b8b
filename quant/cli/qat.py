"""`python -m quant qat`: quantization-aware training of a network and its export."""

import math
import time
from dataclasses import dataclass

import click
import numpy as np

from accel import model_dir
from accel.cli import EXIT_OK, json_option, report
from accel.errors import DataError, ModelError
from quant.cli.options import (
    COUNT,
    NumberList,
    bar,
    check_output,
    data_options,
    load_data,
    requantizer_option,
    weight_range_option,
)
from quant.data import datasets
from quant.qat import presets
from quant.reference import evaluate

DEFAULTS = {"model": "lenet5", "weight_bits": (8,), "activation_bits": (8,), "epochs": 4, "learning_rate": 1e-3,
            "augment": 1.0, "copies": None, "full_range": False}


@dataclass(frozen=True)
class Data:
    """Images uint8 [N, H, W, C] and labels int64 [N] of one split."""

    images: object
    labels: object


@click.command()
@click.option("--preset", default=None, help=f"Recipe of the zoo: {', '.join(presets.PRESETS)}. Other options "
                                             "change single values of it.")
@click.option("--model", default=None, help="Float network to start from: lenet5 (the default), or "
                                            "path/to/file.py:factory of your own.")
@click.option("--weights", type=click.Path(), default=None, help="Its weights: .npz, .pt or .pth.")
@data_options("mnist")
@click.option("--weight-bits", type=NumberList(int), default=None,
              help="8, 6, 4, 2 or 1: one value, or one per layer with weights.  [default: 8]")
@click.option("--activation-bits", type=NumberList(int), default=None,
              help="8, 4, 2 or 1 of the layers' outputs: one value, or one per layer but the last.  [default: 8]")
@weight_range_option(default=None)
@requantizer_option
@click.option("--epochs", type=COUNT, default=None, help="[default: 4]")
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True), default=None, help="[default: 0.001]")
@click.option("--augment", type=click.FloatRange(min=0, max=1), default=None,
              help="Strength of the random shifts, turns and shears.  [default: 1]")
@click.option("--copies", type=COUNT, default=None,
              help="Augment and ask the teacher once, for so many copies of the data, and use them in turn; faster.  "
                   "[default: anew in every epoch]")
@click.option("--seed", type=int, default=1, show_default=True, help="Fixes data order and augmentation.")
@click.option("--count", type=COUNT, default=None, help="Train on the first COUNT images only.")
@click.option("--threads", type=COUNT, default=1, show_default=True,
              help="Threads of torch; another number may change the last bits of the result.")
@click.option("--test-count", type=COUNT, default=None, help="Evaluate on the first so many test images only.")
@click.option("--checkpoint", type=click.Path(dir_okay=False), default=None,
              help="File for the trained float parameters (.npz).")
@click.option("--name", default=None, help="Name written into the model; default: the preset's or MODEL-qat.")
@click.option("--out", type=click.Path(), required=True, help="Model directory to write.")
@json_option
def qat(preset, model, weights, data, data_dir, weight_bits, activation_bits, weight_range, requantizer, epochs,
        learning_rate, augment, copies, seed, count, threads, test_count, checkpoint, name, out, as_json):
    """Train a network with its quantizers in place and export it as an integer model directory.

    The start is a trained float network, which is also the teacher. Outputs of 1 bit get a batch norm, folded
    into thresholds on export. A LeNet-5 epoch of MNIST takes about 20 seconds of one core.

    JSON keys: name, model, data, seed, epochs, loss, accuracy (of the integer reference), test_images, seconds,
    out.

    Example: python -m quant qat --preset lenet5-w4a4 --seed 1 --out build/out/my-w4a4
    """
    if checkpoint is not None:
        check_output(checkpoint)
    given = {"model": model, "weight_bits": weight_bits, "activation_bits": activation_bits, "epochs": epochs,
             "learning_rate": learning_rate, "augment": augment, "copies": copies,
             "full_range": None if weight_range is None else weight_range == "full"}
    recipe = dict(DEFAULTS)
    if preset is not None:
        recipe.update(vars(presets.find(preset)))
    recipe["requantizer"] = requantizer
    recipe.update({key: value for key, value in given.items() if value is not None})
    train_split = _labelled(data, *load_data(data, data_dir, "train", count))
    test_split = _labelled(data, *load_data(data, data_dir, "test", test_count))
    started = time.monotonic()
    graph, losses = _train(recipe, weights, train_split, seed, threads, checkpoint, as_json,
                           name or preset, datasets.CLASS_NAMES.get(data, ()))
    model_dir.save(graph, out)
    with bar("evaluating", len(test_split.images), as_json) as advance:
        accuracy = evaluate.accuracy(graph, test_split.images, test_split.labels, advance)
    report({"name": graph.name, "model": recipe["model"], "data": data, "seed": seed, "epochs": recipe["epochs"],
            "loss": round(losses[-1], 5), "accuracy": accuracy, "test_images": len(test_split.images),
            "seconds": round(time.monotonic() - started, 1), "out": out}, as_json, "Quantization-aware training")
    return EXIT_OK


def _labelled(data, images, labels):
    if labels is None:
        raise DataError(f"{data}: has no labels; training needs an .npz file with `images` and `labels`")
    if images.dtype != np.uint8 or labels.min() < 0:
        raise DataError(f"{data}: holds {images.dtype} images and labels from {labels.min()} on; training needs uint8 "
                        "images and labels of at least 0")
    return Data(images, labels)


def _check_labels(network, split):
    shape = network.input_shape
    for layer in network.layers:
        shape = layer.output_shape(shape)
    classes = math.prod(shape)
    if split.labels.max() >= classes:
        raise DataError(f"labels reach {split.labels.max()} but the network has the classes 0..{classes - 1}; give "
                        "other labels")


def _train(recipe, weights, split, seed, threads, checkpoint, as_json, name, class_names):
    """(integer graph, loss of every epoch)."""
    import torch

    from quant.frontend.floatnet import has_weights
    from quant.frontend.prepare import prepare
    from quant.frontend.read import read_module
    from quant.models.sources import load_float_model
    from quant.models.train import to_float
    from quant.models.weights import save_weights
    from quant.qat.export import export
    from quant.qat.network import QatNetwork, Widths
    from quant.qat.train import QatOptions, train_qat
    module, own_name, shape = load_float_model(recipe["model"], weights)
    if shape is not None and split.images.shape[1:] != tuple(shape):
        raise ModelError(f"{recipe['model']}: needs images of (H, W, C)={tuple(shape)}, not {split.images.shape[1:]}; "
                         "choose other --data")
    prepared = prepare(read_module(module, split.images.shape[1:], own_name))
    layers = sum(map(has_weights, prepared.network.layers))
    widths = Widths.of(layers, recipe["weight_bits"], recipe["activation_bits"], recipe["full_range"],
                       recipe["requantizer"])
    network = QatNetwork(prepared, widths)
    _check_labels(prepared.network, split)
    options = QatOptions(epochs=recipe["epochs"], learning_rate=recipe["learning_rate"], augment=recipe["augment"],
                         copies=recipe["copies"], seed=seed)
    losses, before = [], torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with bar("training", recipe["epochs"], as_json) as advance:
            def on_epoch(_epoch, loss):
                losses.append(loss)
                advance()
            train_qat(network, module, to_float(split.images), split.labels, options, on_epoch)
    finally:
        torch.set_num_threads(before)
    if checkpoint is not None:
        save_weights(network, checkpoint)
    notes = {"weight_bits": list(widths.weight_bits), "activation_bits": list(widths.activation_bits), "seed": seed,
             "epochs": recipe["epochs"], "learning_rate": recipe["learning_rate"]}
    return export(network, name or f"{own_name}-qat", class_names=class_names, notes=notes), losses
