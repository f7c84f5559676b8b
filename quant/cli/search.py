"""`python -m quant search`: the widths of every layer, chosen by what they cost on the accelerator."""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from accel import model_dir
from accel.cli import EXIT_OK, print_json
from accel.config import HardwareConfig
from accel.errors import DataError
from accel.ir import Graph
from accel.options import taking
from accel.outputs import check_outputs
from quant.cli.given import Split
from quant.cli.options import bar, code_file, warn
from quant.cli.search_options import Search, options
from quant.cli.search_output import front_output, print_result, write_front
from quant.cli.training import kept, open_checkpoint
from quant.cli.user_input import check_images, check_splits, labelled, look_at
from quant.data import datasets
from quant.data.loaders import check_labels

if TYPE_CHECKING:  # all import torch
    from torch import nn

    from quant.models.loop import Checkpoint, Unwritten
    from quant.ptq.options import PtqOptions
    from quant.search.search import Point, Result, SearchOptions


@dataclass(frozen=True)
class Network:
    """The float network of a search: nn.Module, its name, the name of what is made of it, its training images."""

    module: "nn.Module"
    own_name: str
    name: str
    training: Split


@click.command()
@options
@taking(Search)
def search(given: Search) -> int:
    """Choose the bits of every layer's weights and output: least harm under a budget of the accelerator's cost model.

    The costs are those of the compiler, for every (input, weight, output) widths of a layer; an integer program picks
    among them. Its best choices are measured on training images, and the best one is quantized and written.

    JSON keys: name, data, layers, chosen (weight_bits, activation_bits, cycles, weight_bytes, file_bytes, energy,
    predicted_loss, loss, kl, accuracy), front and uniform (the same of other networks), limits, axis, measure, build,
    dsps, sensitivity, accuracy, test_images, out.

    Example: python -m quant search --model lenet5 --cycles 72% --weight-bytes 60% --build 8x8 --out my-mixed
    """
    check_outputs(
        model_dir.output(given.out),
        *map(front_output, given.front_files),
        model=code_file(given.model),
        weights=given.weights,
    )
    from quant.search.search import check_cycles

    search_options, ptq, configs = given.search_options(), given.ptq_options(), given.configs()
    if len({config.requantizer for config in configs}) == 1:
        ptq = replace(ptq, requantizer=configs[0].requantizer)
    network, test = _read(given, search_options)
    result = _search(given, network, search_options, ptq, configs)
    with ExitStack() as keeping:
        if given.qat_epochs is None:
            graph = _quantized(given, network, result.chosen, ptq)
        else:
            graph = _trained(given, network, result.chosen, ptq, given.qat_epochs, keeping)
        check_cycles(graph, result.config, result.chosen)
        model_dir.save(graph, given.out)
    accuracy = _accuracy(graph, test, given.as_json)
    values = {"name": network.name, "data": given.data, **result.to_dict(), **accuracy, "out": given.out}
    for path in given.front_files:
        write_front(result, values, path)
    if given.as_json:
        print_json(values)
    else:
        print_result(result, values)
    return EXIT_OK


def _read(given: Search, search_options: "SearchOptions") -> tuple[Network, Split]:
    """(the float network with its training images, the test images), checked before the long work."""
    from quant.models.sources import outputs

    module, own_name, shape = given.load()
    training, test = given.split("train"), given.split("test", given.test_count)
    images, labels = training
    check_splits(given.data, images, test.images, "a search")
    check_images(given.model, shape, given.data, images)
    if given.qat_epochs is not None:
        labelled(given.data, "--qat-epochs", training)
    look_at(module, images, own_name)
    if labels is None and search_options.measure != "kl":
        raise DataError(
            f"{given.data}: has no labels, which --sensitivity {search_options.measure} needs; use --sensitivity kl"
        )
    if labels is not None:
        check_labels(labels, outputs(module, own_name, images.shape[1:]), own_name)
    return Network(module, own_name, given.name or f"{own_name}-searched", training), test


def _search(
    given: Search, network: Network, search_options: "SearchOptions", ptq: "PtqOptions", configs: list[HardwareConfig]
) -> "Result":
    from quant.search.quantized import make_probe
    from quant.search.search import search as run

    images, labels = network.training
    with bar("searching", None, given.as_json) as advance:
        probe, graph = make_probe(
            network.module,
            images[: given.calibration_images],
            images[-given.search_images :],
            None if labels is None else labels[-given.search_images :],
            name=network.own_name,
            normalization=given.normalization(),
            options=ptq,
            search_options=search_options,
            advance=advance,
        )
        return run(graph, configs, probe, search_options, advance)


def _quantized(given: Search, network: Network, point: "Point", ptq: "PtqOptions") -> Graph:
    """The integer graph of the chosen point after post-training quantization."""
    from quant.ptq.pipeline import quantize_module, work
    from quant.search.search import with_chosen

    chosen = with_chosen(ptq, point)
    images = network.training.images[: given.calibration_images]
    with bar("quantizing", work(chosen, len(images)), given.as_json) as advance:
        return quantize_module(
            network.module,
            images,
            name=network.name,
            options=chosen,
            normalization=given.normalization(),
            class_names=datasets.CLASS_NAMES.get(given.data, ()),
            advance=advance,
            warn=warn,
        )


def _trained(
    given: Search, network: Network, point: "Point", ptq: "PtqOptions", epochs: int, keeping: ExitStack
) -> Graph:
    """The integer graph of the chosen point after a training, which is kept where the rest of `keeping` fails."""
    from quant.qat.train import QatOptions
    from quant.search.quantized import export_chosen, train_chosen

    options = QatOptions(epochs=epochs, learning_rate=given.learning_rate, seed=given.seed)
    training = labelled(given.data, "--qat-epochs", network.training)
    opened: list[Checkpoint | Unwritten] = []

    def checkpoint(identity: dict[str, Any]) -> "Checkpoint | Unwritten":
        opened.append(open_checkpoint(None, False, identity, *training, given.out))
        return opened[0]

    with bar("training", options.epochs, given.as_json) as advance:
        trained = train_chosen(
            network.module,
            point,
            *training,
            options,
            name=network.name,
            normalization=given.normalization(),
            requantizer=ptq.requantizer,
            on_epoch=lambda epoch, loss: advance(),
            checkpoint=checkpoint,
        )
    keeping.enter_context(kept(opened[0], "go on with `python -m quant qat --start {file}` and widths of your choice"))
    return export_chosen(trained, options, name=network.name, class_names=datasets.CLASS_NAMES.get(given.data, ()))


def _accuracy(graph: Graph, test: Split, as_json: bool) -> dict[str, Any]:
    """{accuracy, test_images} on the test split; nothing for data without labels."""
    from quant.reference import evaluate

    if test.labels is None:
        return {"accuracy": None, "test_images": 0}
    with bar("evaluating", len(test.images), as_json) as advance:
        accuracy = evaluate.accuracy(graph, test.images, test.labels, advance)
    return {"accuracy": accuracy, "test_images": len(test.images)}
