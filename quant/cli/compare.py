"""`python -m quant compare`: three executions of one quantized network."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from accel import limits, model_dir
from accel.cli import EXIT_MISMATCH, EXIT_OK, json_option, print_json, print_table
from accel.errors import ModelError
from accel.ir import Graph
from accel.options import model_option, taking
from quant.cli.given import Data
from quant.cli.options import COUNT, bar, data_options, weights_option

if TYPE_CHECKING:  # both import torch
    from quant.frontend.floatnet import FloatNetwork
    from quant.reference.compare import Comparison

MOVED = {"equalize": True, "weight_rounding": "awq", "scales": "pow2"}  # notes of networks whose scales were moved


@dataclass(frozen=True, kw_only=True)
class Compare(Data):
    """The command's options. model: a model directory; float_model with weights: what it was made from, or None."""

    model: str
    count: int | None
    float_model: str | None
    weights: str | None
    as_json: bool


@click.command()
@model_option(positional=True, required=True, help="Quantized model: directory, or name of the zoo.")
@data_options("digits")
@click.option("--count", type=COUNT, default=None, help="Number of images, the first ones; default: all.")
@click.option(
    "--float-model",
    default=None,
    help="Float model that the quantized one was made from (lenet5, file.py:factory): the fake-quantized "
    "network then uses its float weights and biases.",
)
@weights_option("Weights of --float-model")
@json_option
@taking(Compare)
def compare(given: Compare) -> int:
    """Compare three executions of a quantized model, layer by layer.

    The PyTorch quantized reference must equal the integer reference; the network with torch's own
    fake_quantize operators may differ by one step next to a rounding tie. Exit code 1 where an integer
    differs or a step is larger.

    JSON keys: model, data, count, mismatches, fake_class_changes, layers (name, values, mismatches,
    fake_one_step, fake_more, tie_distance, first).

    Example: python -m quant compare --model lenet5-int8 --data digits
    """
    from accel.reference import check_network, encode_input
    from quant.reference.compare import Comparer

    graph = model_dir.load(given.model)
    check_network(graph)
    images, _ = given.split("test", given.count)
    batch = limits.batch(graph.work)
    comparer = Comparer(graph, _float_network(graph, given.float_model, given.weights))
    with bar("comparing", len(images), given.as_json) as advance:
        for start in range(0, len(images), batch):
            part = encode_input(graph, images[start : start + batch])
            comparer.add(part)
            advance(len(part))
    _report_comparison(comparer.result, given)
    return EXIT_OK if comparer.result.ok else EXIT_MISMATCH


def _float_network(graph: Graph, float_model: str | None, weights: str | None) -> "FloatNetwork | None":
    if float_model is None:
        return None
    from quant.frontend.prepare import prepare
    from quant.frontend.read import read_module
    from quant.models.sources import load_float_model

    moved = [f"{key}={graph.notes[key]}" for key, value in MOVED.items() if graph.notes.get(key) == value]
    if moved:
        raise ModelError(
            f"{float_model}: {graph.name} was made with {', '.join(moved)}, which moves scales between "
            "layers, so its layers are not those of the float model; leave --float-model out"
        )
    module, name, _ = load_float_model(float_model, weights)
    network = prepare(
        read_module(module, graph.input.shape, name), graph.encoding.mean, graph.encoding.std, graph.encoding.kind
    ).network
    if [layer.name for layer in network.layers] != [layer.name for layer in graph.layers]:
        raise ModelError(
            f"{float_model}: its layers differ from those of {graph.name}; give the float model that it was made from"
        )
    return network


def _report_comparison(result: "Comparison", given: Compare) -> None:
    if given.as_json:
        print_json(
            {
                "model": given.model,
                "data": given.data,
                "count": result.images,
                "mismatches": result.mismatches,
                "fake_class_changes": result.fake_class_changes,
                "layers": [vars(layer) for layer in result.layers],
            }
        )
        return
    columns = ("layer", "values", "mismatches", "fake-quant 1 step", "more", "distance from a tie")
    keys = ("name", "values", "mismatches", "fake_one_step", "fake_more", "tie_distance")
    rows = [tuple(getattr(layer, key) for key in keys) for layer in result.layers]
    print_table(f"{given.model} on {result.images} images of {given.data}", columns, rows)
    for layer in result.layers:
        if layer.first:
            click.echo(f"{layer.name}: first mismatch at {layer.first}", err=True)
    click.echo(f"classes changed by the fake-quantized network: {result.fake_class_changes}")
