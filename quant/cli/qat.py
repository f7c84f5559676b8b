"""`python -m quant qat`: quantization-aware training of a network and its export."""

import time
from dataclasses import asdict, dataclass, fields, replace

import click

from accel import model_dir
from accel.cli import EXIT_OK, json_option, report
from accel.outputs import check_outputs
from quant.cli import options as shared
from quant.cli.options import COUNT, NumberList, bar
from quant.cli.qat_options import method_options
from quant.cli.training import checkpoint_options, kept, open_checkpoint
from quant.cli.user_input import check_images, check_labelled, check_splits, look_at
from quant.data import datasets
from quant.data.loaders import check_labels
from quant.qat import presets
from quant.qat.method import Method
from quant.reference import evaluate

# How to go on from a training that could not be exported.
WAYS = "go on with --checkpoint {file} --resume, or with other widths and --start {file}"
DEFAULTS = presets.Preset((8,), (8,), epochs=4, learning_rate=1e-3)


@dataclass(frozen=True)
class Data:
    """Images uint8 [N, H, W, C] and labels int64 [N] of one split."""

    images: object
    labels: object


@click.command()
@click.option(
    "--preset",
    default=None,
    help=f"Recipe of the zoo: {', '.join(presets.PRESETS)}. Other options change single values of it.",
)
@click.option("--model", default=None, help=f"Float network to start from: {shared.MODEL_HELP}.  [default: lenet5]")
@click.option("--weights", type=click.Path(), default=None, help="Its weights: .npz, .pt, .pth, .ckpt or .safetensors.")
@click.option(
    "--start",
    default=None,
    help="Start from what another quantized form of the network has learned: a model directory of ptq or "
    "qat, or a checkpoint (.pt). The float network stays the teacher.  [default: the float network]",
)
@shared.data_options("mnist")
@click.option(
    "--weight-bits",
    type=NumberList(int),
    default=None,
    help="8, 6, 4, 2 or 1: one value, or one per layer with weights.  [default: 8]",
)
@click.option(
    "--activation-bits",
    type=NumberList(int),
    default=None,
    help="8, 4, 2 or 1 of the layers' outputs: one value, or one per layer but the last.  [default: 8]",
)
@shared.weight_range_option(default=None)
@shared.requantizer_option
@click.option("--epochs", type=COUNT, default=None, help="[default: 4]")
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True), default=None, help="[default: 0.001]")
@click.option(
    "--augment",
    type=click.FloatRange(min=0, max=1),
    default=None,
    help="Strength of the random shifts, turns and shears.  [default: 1]",
)
@click.option("--flip/--no-flip", default=None, help="Mirror every other image.  [default: no]")
@click.option(
    "--copies",
    type=COUNT,
    default=None,
    help="Augment and ask the teacher once, for so many copies of the data, and use them in turn; faster.  "
    "[default: anew in every epoch]",
)
@click.option(
    "--distill",
    type=click.FloatRange(min=0, max=1),
    default=None,
    help="Share of the loss that the float network's soft labels have.  [default: 0.5]",
)
@method_options
@click.option("--seed", type=int, default=1, show_default=True, help="Fixes data order and augmentation.")
@click.option("--mean", type=NumberList(float), default="0", help="Mean of u/255, one or per channel.")
@click.option("--std", type=NumberList(float), default="1", help="Deviation of u/255, one or per channel.")
@click.option("--count", type=COUNT, default=None, help="Train on the first COUNT images only.")
@click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    default=1,
    show_default=True,
    help="Threads of torch; another number may change the last bits of the result.",
)
@click.option("--test-count", type=COUNT, default=None, help="Evaluate on the first so many test images only.")
@checkpoint_options
@click.option(
    "--parameters", type=click.Path(dir_okay=False), default=None, help="File for the trained float parameters (.npz)."
)
@click.option("--name", default=None, help="Name written into the model; default: the preset's or MODEL-qat.")
@click.option("--out", type=click.Path(), required=True, help="Model directory to write.")
@json_option
def qat(
    preset,
    weights,
    start,
    data,
    data_dir,
    requantizer,
    seed,
    mean,
    std,
    count,
    threads,
    test_count,
    checkpoint,
    resume,
    parameters,
    name,
    out,
    as_json,
    **given,
):
    """Train a network with its quantizers in place and export it as an integer model directory.

    The start is a trained float network, which is also the teacher. Outputs of 1 bit get a batch norm, folded
    into thresholds on export. A LeNet-5 epoch of MNIST takes about 20 seconds of one core.

    A training that turns NaN or explodes stops with exit code 1; the checkpoint keeps the last good epoch. One whose
    integers cannot be written is kept in the checkpoint, or in OUT.training.pt, and the message says how to go on.

    JSON keys: name, model, data, seed, epochs, loss, accuracy (of the integer reference), test_images, seconds,
    out.

    Example: python -m quant qat --preset lenet5-w4a4 --seed 1 --out build/out/my-w4a4
    """
    check_outputs(
        model_dir.output(out),
        shared.weights_output(parameters, "--parameters"),
        shared.checkpoint_output(checkpoint, resume),
        model=shared.code_file(given["model"]),
        weights=weights,
        start=start,
    )
    recipe = _recipe(preset, given)
    train_split = Data(*shared.load_data(data, data_dir, "train", count))
    test_split = Data(*shared.load_data(data, data_dir, "test", test_count))
    check_labelled(data, "training", train_split.labels, test_split.labels)
    check_splits(data, train_split.images, test_split.images, "training")
    started = time.monotonic()
    run = Run(
        recipe,
        requantizer,
        weights,
        start,
        (mean, std),
        train_split,
        seed,
        threads,
        checkpoint,
        resume,
        parameters,
        out,
    )
    graph, losses = _train(run, as_json, name or preset, datasets.CLASS_NAMES.get(data, ()))
    with bar("evaluating", len(test_split.images), as_json) as advance:
        accuracy = evaluate.accuracy(graph, test_split.images, test_split.labels, advance)
    report(
        {
            "name": graph.name,
            "model": recipe.model,
            "data": data,
            "seed": seed,
            "epochs": recipe.epochs,
            "loss": round(losses[-1], 5),
            "accuracy": accuracy,
            "test_images": len(test_split.images),
            "seconds": round(time.monotonic() - started, 1),
            "out": out,
        },
        as_json,
        "Quantization-aware training",
    )
    return EXIT_OK


@dataclass(frozen=True)
class Run:
    """What the command trains, and how."""

    recipe: object
    requantizer: str
    weights: str | None
    start: str | None
    normalization: tuple
    split: Data
    seed: int
    threads: int
    checkpoint: str | None
    resume: bool
    parameters: str | None
    out: str


def _recipe(preset, given):
    """The Preset that the options make of a preset, or of the defaults."""
    recipe = DEFAULTS if preset is None else presets.find(preset)
    weight_range = given.pop("weight_range")
    given = {key: value for key, value in given.items() if value is not None}
    if weight_range is not None:
        given["full_range"] = weight_range == "full"
    names = {item.name for item in fields(Method)}
    method = replace(recipe.method, **{key: value for key, value in given.items() if key in names})
    return replace(recipe, method=method, **{key: value for key, value in given.items() if key not in names})


def _train(run, as_json, name, class_names):
    """(integer graph, written to the run's output; loss of every epoch)."""
    import torch

    from quant.frontend.floatnet import has_weights
    from quant.frontend.prepare import prepare
    from quant.models.sources import load_float_model, outputs
    from quant.models.weights import save_weights
    from quant.qat.export import export
    from quant.qat.qat_network import QatNetwork, Widths
    from quant.qat.start import digest, identity, start_from
    from quant.qat.train import QatOptions, Teacher, real_input, train_qat

    recipe, images = run.recipe, run.split.images
    module, own_name, shape = load_float_model(recipe.model, run.weights)
    check_images(recipe.model, shape, "--data", images)
    prepared = prepare(look_at(module, images, own_name), *run.normalization)
    layers = sum(map(has_weights, prepared.network.layers))
    widths = Widths.of(layers, recipe.weight_bits, recipe.activation_bits, recipe.full_range, run.requantizer)
    network = QatNetwork(prepared, widths, recipe.method)
    check_labels(run.split.labels, outputs(module, own_name, images.shape[1:]), own_name)
    if run.start is not None:
        start_from(network, run.start)
    names = {item.name for item in fields(QatOptions)} & {item.name for item in fields(recipe)}
    options = QatOptions(seed=run.seed, **{key: getattr(recipe, key) for key in names})
    known = {**identity(network), **asdict(options), "start": digest(network)}
    checkpoint = open_checkpoint(run.checkpoint, run.resume, known, images, run.split.labels, run.out)
    losses, before = [], torch.get_num_threads()
    torch.set_num_threads(run.threads)
    try:
        with bar("training", recipe.epochs, as_json) as advance:

            def on_epoch(_epoch, loss):
                losses.append(loss)
                advance()

            inputs, teacher = real_input(prepared, images), Teacher(module, prepared)
            train_qat(network, teacher, inputs, run.split.labels, options, on_epoch, checkpoint)
    finally:
        torch.set_num_threads(before)
    notes = {
        "weight_bits": list(widths.weight_bits),
        "activation_bits": list(widths.activation_bits),
        "seed": run.seed,
        "epochs": recipe.epochs,
        "learning_rate": recipe.learning_rate,
    }
    with kept(checkpoint, WAYS):
        if run.parameters is not None:
            save_weights(network, run.parameters)
        graph = export(network, name or f"{own_name}-qat", class_names=class_names, notes=notes)
        model_dir.save(graph, run.out)
    return graph, losses
