"""`python -m quant qat`: quantization-aware training of a network and its export."""

import time
from dataclasses import asdict, dataclass, fields, replace

import click

from accel import model_dir
from accel.cli import EXIT_OK, json_option, report
from accel.ir import Graph
from accel.options import option, taking
from accel.outputs import check_outputs
from quant.cli import options as shared
from quant.cli.given import Data, Labelled, Pixels
from quant.cli.options import COUNT, bar
from quant.cli.qat_options import method_options
from quant.cli.training import checkpoint_options, kept, open_checkpoint
from quant.cli.user_input import check_images, check_splits, labelled, look_at
from quant.data import datasets
from quant.data.loaders import check_labels
from quant.qat import presets
from quant.qat.method import Method
from quant.reference import evaluate

# How to go on from a training that could not be exported.
WAYS = "go on with --checkpoint {file} --resume, or with other widths and --start {file}"
DEFAULTS = presets.Preset((8,), (8,), epochs=4, learning_rate=1e-3)


@dataclass(frozen=True, kw_only=True)
class Qat(Data, Pixels):
    """The command's options. Those that Preset and Method have too are None where they change nothing of a recipe."""

    recipe: str | None
    model: str | None
    weights: str | None
    start: str | None
    weight_bits: tuple[int, ...] | None
    activation_bits: tuple[int, ...] | None
    weight_range: str | None
    requantizer: str
    epochs: int | None
    learning_rate: float | None
    augment: float | None
    flip: bool | None
    copies: int | None
    distill: float | None
    estimator: str | None
    scales: str | None
    pact_decay: float | None
    sign_estimator: str | None
    sign_weights: str | None
    sign_scales: str | None
    clip_latent: bool | None
    norm_order: str | None
    batch_norm: bool | None
    freeze_norm: int | None
    optimizer: str | None
    seed: int
    train_count: int | None
    threads: int
    test_count: int | None
    checkpoint: str | None
    resume: bool
    parameters: str | None
    name: str | None
    out: str
    as_json: bool

    def preset(self) -> presets.Preset:
        """The recipe, or the defaults, with what other options change."""
        found = DEFAULTS if self.recipe is None else presets.find(self.recipe)
        method, others = ({item.name for item in fields(kind)} for kind in (Method, presets.Preset))
        given = {key: value for key, value in vars(self).items() if value is not None}
        if self.weight_range is not None:
            given["full_range"] = self.weight_range == "full"
        changed = replace(found.method, **{key: given[key] for key in method & given.keys()})
        return replace(found, method=changed, **{key: given[key] for key in others & given.keys()})


@click.command()
@option(
    "--recipe",
    old="--preset",
    default=None,
    help=f"Recipe of the zoo: {', '.join(presets.PRESETS)}. Other options change single values of it.",
)
@shared.float_model_option("Float model to start from", default=None)
@shared.weights_option("Its weights")
@click.option(
    "--start",
    default=None,
    help="Start from what another quantized form of the network has learned: a model directory of ptq or "
    "qat, or a checkpoint (.pt). The float network stays the teacher.  [default: the float network]",
)
@shared.data_options("mnist")
@shared.bits_options("8, 4, 2 or 1", "layer but the last.  [default: 8]", "8")
@shared.weight_range_option(default=None)
@shared.requantizer_option
@click.option("--epochs", type=COUNT, default=None, help="Epochs of the training.  [default: 4]")
@click.option(
    "--learning-rate",
    type=click.FloatRange(min=0, min_open=True),
    default=None,
    help="Learning rate of the training.  [default: 0.001]",
)
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
@shared.seed_option("the order of the data and their augmentation")
@shared.pixel_options
@shared.train_count_option()
@click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    default=1,
    show_default=True,
    help="Threads of torch; another number may change the last bits of the result.",
)
@shared.test_count_option
@checkpoint_options
@click.option(
    "--parameters", type=click.Path(dir_okay=False), default=None, help="File for the trained float parameters (.npz)."
)
@shared.model_output_options("the recipe's or MODEL-qat")
@json_option
@taking(Qat)
def qat(given: Qat) -> int:
    """Train a network with its quantizers in place and export it as an integer model directory.

    The start is a trained float network, which is also the teacher. Outputs of 1 bit get a batch norm, folded
    into thresholds on export. A LeNet-5 epoch of MNIST takes about 20 seconds of one core.

    A training that turns NaN or explodes stops with exit code 1; the checkpoint keeps the last good epoch. One whose
    integers cannot be written is kept in the checkpoint, or in OUT.training.pt, and the message says how to go on.

    JSON keys: name, model, data, seed, epochs, loss, accuracy (of the integer reference), test_images, seconds,
    out.

    Example: python -m quant qat --recipe lenet5-w4a4 --seed 1 --out build/out/my-w4a4
    """
    check_outputs(
        model_dir.output(given.out),
        shared.weights_output(given.parameters, "--parameters"),
        shared.checkpoint_output(given.checkpoint, given.resume),
        model=shared.code_file(given.model),
        weights=given.weights,
        start=given.start,
    )
    recipe = given.preset()
    splits = given.split("train", given.train_count), given.split("test", given.test_count)
    training, test = (labelled(given.data, "training", split) for split in splits)
    check_splits(given.data, training.images, test.images, "training")
    started = time.monotonic()
    graph, losses = _train(given, recipe, training)
    with bar("evaluating", len(test.images), given.as_json) as advance:
        accuracy = evaluate.accuracy(graph, test.images, test.labels, advance)
    report(
        {
            "name": graph.name,
            "model": recipe.model,
            "data": given.data,
            "seed": given.seed,
            "epochs": recipe.epochs,
            "loss": round(losses[-1], 5),
            "accuracy": accuracy,
            "test_images": len(test.images),
            "seconds": round(time.monotonic() - started, 1),
            "out": given.out,
        },
        given.as_json,
        "Quantization-aware training",
    )
    return EXIT_OK


def _train(given: Qat, recipe: presets.Preset, training: Labelled) -> tuple[Graph, list[float]]:
    """(integer graph, written to --out; loss of every epoch)."""
    import torch

    from quant.frontend.floatnet import has_weights
    from quant.frontend.prepare import prepare
    from quant.models.sources import load_float_model, outputs
    from quant.models.weights import save_weights
    from quant.qat.export import export
    from quant.qat.qat_network import QatNetwork, Widths
    from quant.qat.start import digest, identity, start_from
    from quant.qat.train import QatOptions, Teacher, real_input, train_qat

    images, labels = training
    module, own_name, shape = load_float_model(recipe.model, given.weights)
    check_images(recipe.model, shape, "--data", images)
    prepared = prepare(look_at(module, images, own_name), given.mean, given.std)
    layers = sum(map(has_weights, prepared.network.layers))
    widths = Widths.of(layers, recipe.weight_bits, recipe.activation_bits, recipe.full_range, given.requantizer)
    network = QatNetwork(prepared, widths, recipe.method)
    check_labels(labels, outputs(module, own_name, images.shape[1:]), own_name)
    if given.start is not None:
        start_from(network, given.start)
    names = {item.name for item in fields(QatOptions)} & {item.name for item in fields(recipe)}
    options = QatOptions(seed=given.seed, **{key: getattr(recipe, key) for key in names})
    known = {**identity(network), **asdict(options), "start": digest(network)}
    checkpoint = open_checkpoint(given.checkpoint, given.resume, known, images, labels, given.out)
    losses, before = [], torch.get_num_threads()
    torch.set_num_threads(given.threads)
    try:
        with bar("training", recipe.epochs, given.as_json) as advance:

            def on_epoch(_epoch: int, loss: float) -> None:
                losses.append(loss)
                advance()

            inputs, teacher = real_input(prepared, images), Teacher(module, prepared)
            train_qat(network, teacher, inputs, labels, options, on_epoch, checkpoint)
    finally:
        torch.set_num_threads(before)
    notes = {
        "weight_bits": list(widths.weight_bits),
        "activation_bits": list(widths.activation_bits),
        "seed": given.seed,
        "epochs": recipe.epochs,
        "learning_rate": recipe.learning_rate,
    }
    classes = datasets.CLASS_NAMES.get(given.data, ())
    with kept(checkpoint, WAYS):
        if given.parameters is not None:
            save_weights(network, given.parameters)
        graph = export(network, given.name or given.recipe or f"{own_name}-qat", class_names=classes, notes=notes)
        model_dir.save(graph, given.out)
    return graph, losses
