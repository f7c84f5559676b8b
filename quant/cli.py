"""`python -m quant`: train, ptq, qat, evaluate, compare. Torch is imported only by the commands that need it."""

import time
from pathlib import Path

import click

from accel import model_dir
from accel.cli import EXIT_MISMATCH, EXIT_OK, json_option, print_json, print_table, report
from accel.errors import DataError, ModelError
from quant import datasets, evaluate
from quant.options import (
    COUNT,
    NumberList,
    bar,
    check_output,
    data_options,
    load_data,
    requantizer_option,
    weight_range_option,
)
from quant.qat_cli import qat

ROUNDING = ("half_up", "half_away", "gemmlowp")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main():
    """Train, quantize and check networks.

    Example: python -m quant ptq --model lenet5 --data mnist --out build/out/my-lenet5
    """


main.add_command(qat)


@main.command()
@click.option("--model", default="lenet5", show_default=True, help="Model of the zoo.")
@data_options("mnist")
@click.option("--epochs", type=COUNT, default=40, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--count", type=COUNT, default=None, help="Train on the first COUNT images only.")
@click.option("--out", type=click.Path(dir_okay=False), required=True, help="File for the weights (.npz).")
@json_option
def train(model, data, data_dir, epochs, seed, count, out, as_json):
    """Train a float network of the zoo and write its weights.

    Takes about 10 seconds an epoch on two cores. JSON keys: model, data, epochs, accuracy, seconds, out.

    Example: python -m quant train --model lenet5 --data mnist --out weights.npz
    """
    from quant import models
    from quant import train as training
    from quant.weights import save_weights
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
    with bar("training", epochs, as_json) as advance:
        options = training.TrainingOptions(epochs=epochs, seed=seed)
        training.train(module, images, labels, options, on_epoch=lambda epoch, loss: advance())
    accuracy = training.accuracy(module, training.to_float(test_images), test_labels)
    save_weights(module, out)
    report({"model": model, "data": data, "epochs": epochs, "accuracy": accuracy,
            "seconds": round(time.monotonic() - started, 1), "out": out}, as_json, "Training")
    return EXIT_OK


@main.command()
@click.option("--model", required=True, help="Model of the zoo (lenet5), or path/to/file.py:factory of your "
                                             "own.")
@click.option("--weights", type=click.Path(), default=None, help="Weights: .npz, .pt or .pth.")
@data_options("mnist")
@click.option("--bits", type=int, default=8, show_default=True, help="Bits of weights and activations.")
@click.option("--weight-bits", type=int, default=None, help="Bits of the weights: 8, 6, 4, 2 or 1; default: --bits.")
@click.option("--activation-bits", type=int, default=None,
              help="Bits of the layers' outputs: 8, 4 or 2; default: --bits. The input keeps 8.")
@weight_range_option(default="symmetric")
@click.option("--weights-khot", type=int, default=None,
              help="2: weights become sums or differences of two powers of two, for a shift-add array.")
@requantizer_option
@click.option("--calibration", default="minmax", show_default=True, help="How ranges are found: minmax.")
@click.option("--calibration-images", type=COUNT, default=1000, show_default=True,
              help="Number of images, taken from the training split.")
@click.option("--rounding", type=click.Choice(ROUNDING), default="half_up", show_default=True)
@click.option("--input", "encoding", type=click.Choice(["uint8", "float"]), default="uint8",
              show_default=True, help="Integer network's input: raw bytes, or floats to be quantized.")
@click.option("--mean", type=NumberList(float), default="0", help="Mean of u/255, one or per channel.")
@click.option("--std", type=NumberList(float), default="1", help="Deviation of u/255, one or per channel.")
@click.option("--input-shape", type=NumberList(int), default=None, help="C,H,W; default: that of the images.")
@click.option("--name", default=None, help="Name written into the model; default: the model's.")
@click.option("--out", type=click.Path(), required=True, help="Model directory to write.")
@json_option
def ptq(model, weights, data, data_dir, bits, weight_bits, activation_bits, weight_range, weights_khot, requantizer,
        calibration, calibration_images, rounding, encoding, mean, std, input_shape, name, out, as_json):
    """Quantize a trained float network to integers (post-training) and export a model directory.

    A file.py:factory is executed: it is your own code, a function or class that gives a torch.nn.Module.
    JSON keys: model, data, weight_bits, activation_bits, calibration, calibration_images, out, layers (name, op,
    snr_db, range_coverage).

    Example: python -m quant ptq --model lenet5 --data mnist --bits 8 --calibration minmax --out my-lenet5
    """
    from quant.pipeline import Normalization, quantize_module
    from quant.ptq import PtqOptions
    from quant.sources import load_float_model
    weight_bits, activation_bits = [bits if given is None else given for given in (weight_bits, activation_bits)]
    options = PtqOptions(weight_bits, activation_bits, rounding, encoding, weight_range == "full", requantizer,
                         weights_khot)
    module, own_name, shape = load_float_model(model, weights)
    images, _ = load_data(data, data_dir, "train", calibration_images)
    if input_shape is not None:
        shape = _height_width_channels(input_shape)
    if shape is not None and images.shape[1:] != tuple(shape):
        raise ModelError(f"{model}: needs images of (H, W, C)={tuple(shape)} but {data} has "
                         f"{images.shape[1:]}; choose other --data")
    with bar("calibrating", 2 * len(images), as_json) as advance:
        graph = quantize_module(module, images, name=name or f"{own_name}-{_widths(options)}", options=options,
                                normalization=Normalization(mean, std), calibration=calibration,
                                class_names=datasets.CLASS_NAMES.get(data, ()), advance=advance)
    model_dir.save(graph, out)
    layers = [{"name": layer.name, "op": layer.op, **layer.notes} for layer in graph.layers]
    if as_json:
        print_json({"model": model, "data": data, "weight_bits": options.weight_bits,
                    "activation_bits": options.activation_bits, "calibration": calibration,
                    "calibration_images": len(images), "out": out, "layers": layers})
    else:
        rows = [(layer["name"], layer["op"], layer["snr_db"], layer["range_coverage"]) for layer in layers]
        print_table(f"{graph.name} -> {out}", ("layer", "operation", "SNR dB", "range coverage"), rows)
    return EXIT_OK


def _widths(options):
    """int8 where weights and activations have 8 bits, else w4a8 and the like."""
    if options.weight_bits == options.activation_bits:
        return f"int{options.weight_bits}"
    return f"w{options.weight_bits}a{options.activation_bits}"


def _height_width_channels(input_shape):
    if len(input_shape) != 3 or min(input_shape) < 1:
        raise ModelError(f"--input-shape {input_shape} must be three positive numbers C,H,W")
    channels, height, width = input_shape
    return height, width, channels


@main.command(name="evaluate")
@click.argument("model")
@data_options("mnist")
@click.option("--count", type=COUNT, default=None, help="Use the first COUNT images; default: all.")
@json_option
def evaluate_command(model, data, data_dir, count, as_json):
    """Accuracy of a quantized MODEL (directory, or name of the zoo) by the integer reference.

    A float model of the zoo (lenet5) is evaluated in float32 by PyTorch.

    JSON keys: model, data, count, accuracy.

    Example: python -m quant evaluate lenet5-int8 --data mnist --data-dir ~/datasets
    """
    is_float = not Path(model).exists() and (datasets.ZOO / model / "weights.npz").is_file()
    graph = None if is_float else model_dir.load(model)
    images, labels = load_data(data, data_dir, "test", count)
    if is_float:
        from quant.sources import float_accuracy
        share = float_accuracy(model, images, labels)
    else:
        with bar("evaluating", len(images), as_json) as advance:
            share = evaluate.accuracy(graph, images, labels, advance)
    report({"model": model, "data": data, "count": len(images), "accuracy": share}, as_json, "Accuracy")
    return EXIT_OK


@main.command()
@click.argument("model")
@data_options("digits")
@click.option("--count", type=COUNT, default=None, help="Use the first COUNT images; default: all.")
@click.option("--float-model", default=None,
              help="Float model that MODEL was made from (lenet5, file.py:factory): the fake-quantized "
                   "network then uses its float weights and biases.")
@click.option("--weights", type=click.Path(), default=None, help="Weights of --float-model.")
@json_option
def compare(model, data, data_dir, count, float_model, weights, as_json):
    """Compare three executions of a quantized MODEL, layer by layer.

    The PyTorch quantized reference must equal the integer reference; the network with torch's own
    fake_quantize operators may differ by one step next to a rounding tie. Exit code 1 where an integer
    differs or a step is larger.

    JSON keys: model, data, count, mismatches, fake_class_changes, layers (name, values, mismatches,
    fake_one_step, fake_more, tie_distance, first).

    Example: python -m quant compare lenet5-int8 --data digits
    """
    from accel.reference import check_network, encode_input
    from quant.compare import Comparer
    graph = model_dir.load(model)
    check_network(graph)
    images, _ = load_data(data, data_dir, "test", count)
    q = encode_input(graph, images)
    comparer = Comparer(graph, _float_network(graph, float_model, weights))
    with bar("comparing", len(q), as_json) as advance:
        for start in range(0, len(q), evaluate.BATCH):
            part = q[start:start + evaluate.BATCH]
            comparer.add(part)
            advance(len(part))
    _report_comparison(comparer.result, model, data, as_json)
    return EXIT_OK if comparer.result.ok else EXIT_MISMATCH


def _float_network(graph, float_model, weights):
    if float_model is None:
        return None
    from quant.frontend import read_module
    from quant.ptq import prepare
    from quant.sources import load_float_model
    module, name, _ = load_float_model(float_model, weights)
    network = prepare(read_module(module, graph.input.shape, name), graph.encoding.mean, graph.encoding.std,
                      graph.encoding.kind).network
    if [layer.name for layer in network.layers] != [layer.name for layer in graph.layers]:
        raise ModelError(f"{float_model}: its layers differ from those of {graph.name}; give the float model "
                         "that it was made from")
    return network


def _report_comparison(result, model, data, as_json):
    if as_json:
        print_json({"model": model, "data": data, "count": result.images, "mismatches": result.mismatches,
                    "fake_class_changes": result.fake_class_changes,
                    "layers": [vars(layer) for layer in result.layers]})
        return
    columns = ("layer", "values", "mismatches", "fake-quant 1 step", "more", "distance from a tie")
    keys = ("name", "values", "mismatches", "fake_one_step", "fake_more", "tie_distance")
    rows = [tuple(getattr(layer, key) for key in keys) for layer in result.layers]
    print_table(f"{model} on {result.images} images of {data}", columns, rows)
    for layer in result.layers:
        if layer.first:
            click.echo(f"{layer.name}: first mismatch at {layer.first}", err=True)
    click.echo(f"classes changed by the fake-quantized network: {result.fake_class_changes}")
