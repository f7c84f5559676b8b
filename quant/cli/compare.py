"""`python -m quant compare`: three executions of one quantized network."""

import click

from accel import limits, model_dir
from accel.cli import EXIT_MISMATCH, EXIT_OK, json_option, print_json, print_table
from accel.errors import ModelError
from quant.cli.options import COUNT, bar, data_options, load_data

MOVED = {"equalize": True, "weight_rounding": "awq", "scales": "pow2"}  # notes of networks whose scales were moved


@click.command()
@click.argument("model")
@data_options("digits")
@click.option("--count", type=COUNT, default=None, help="Use the first COUNT images; default: all.")
@click.option(
    "--float-model",
    default=None,
    help="Float model that MODEL was made from (lenet5, file.py:factory): the fake-quantized "
    "network then uses its float weights and biases.",
)
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
    from quant.reference.compare import Comparer

    graph = model_dir.load(model)
    check_network(graph)
    images, _ = load_data(data, data_dir, "test", count)
    batch = limits.batch(graph.work)
    comparer = Comparer(graph, _float_network(graph, float_model, weights))
    with bar("comparing", len(images), as_json) as advance:
        for start in range(0, len(images), batch):
            part = encode_input(graph, images[start : start + batch])
            comparer.add(part)
            advance(len(part))
    _report_comparison(comparer.result, model, data, as_json)
    return EXIT_OK if comparer.result.ok else EXIT_MISMATCH


def _float_network(graph, float_model, weights):
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


def _report_comparison(result, model, data, as_json):
    if as_json:
        print_json(
            {
                "model": model,
                "data": data,
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
    print_table(f"{model} on {result.images} images of {data}", columns, rows)
    for layer in result.layers:
        if layer.first:
            click.echo(f"{layer.name}: first mismatch at {layer.first}", err=True)
    click.echo(f"classes changed by the fake-quantized network: {result.fake_class_changes}")
