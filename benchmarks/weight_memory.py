"""Bytes of weights in the file, on the wire and in the weight bank, of every width against int8."""

import tempfile
from dataclasses import replace
from pathlib import Path

from accel import model_dir
from accel.compile import compile_graph
from accel.descriptor import REGION_SHIFT, REGION_WEIGHTS, REGION_WEIGHTS6
from accel.names import ACTIVATION_BITS, PRECISIONS
from benchmarks import workload
from benchmarks.report import Result, Row

SIZE = (16, 16)
PLACES = ("file", "wire", "bank")
SINGLE = ("conv128", "dense1024")  # every word full: nothing is padding
LENET = {"w8a8": 8, "w6a8": 6, "w4a8": 4, "w2a2": 2, "w1a1": 1}
HOST_BYTES = 4


def measure(progress, folder, quick, data_dir):
    """Nothing is simulated; `quick` changes nothing."""
    graphs = {kind: {bits: workload.load(f"{kind}-w{bits}a{bits}") for bits in ACTIVATION_BITS} for kind in SINGLE}
    for group in graphs.values():
        group[6] = six_bits(group[8])
    graphs["LeNet-5"] = {bits: workload.load(f"lenet5-{name}") for name, bits in LENET.items()}
    task = progress.add_task("networks", total=sum(map(len, graphs.values())))
    details, rows = {}, []
    for kind, group in graphs.items():
        figures = {}
        for bits in sorted(group, reverse=True):
            figures[bits] = sizes(group[bits])
            progress.advance(task)
        details[kind] = figures
        rows.append(_padded_row(kind, figures) if kind not in SINGLE else _exact_row(kind, figures))
    return Result("weight_memory", tuple(rows), details)


def six_bits(graph):
    """The network of one layer with its weights cut to six bits."""
    (layer,) = graph.layers
    return graph.with_layers([replace(layer, weights=layer.weights >> 2, weight_bits=6)])


def sizes(graph):
    """Bytes of all weights: in the model's files, as host writes, as words of the weight bank."""
    program = compile_graph(graph, workload.one_build([graph], SIZE, PRECISIONS))
    regions = [address >> REGION_SHIFT for address, _ in program.host_writes()]
    weighted = [layer for layer in graph.layers if layer.op != "maxpool"]
    with tempfile.TemporaryDirectory() as folder:
        model_dir.save(graph, Path(folder) / "model")
        files = sum(path.stat().st_size for path in (Path(folder) / "model").glob("*.bin"))
    return {
        "weights": sum(layer.weights.size for layer in weighted),
        "bits": sum(layer.weights.size * layer.weight_bits for layer in weighted),
        "file": files - sum(4 * layer.output.channels for layer in weighted),  # the bias is no weight
        "wire": HOST_BYTES * sum(regions.count(region) for region in (REGION_WEIGHTS, REGION_WEIGHTS6)),
        "bank": program.weights.size,
    }


def wanted(bits, place):
    """Share of the bytes at eight bits; the bank holds six bits as eight."""
    return 1 if (bits, place) == (6, "bank") else bits / 8


def _shares(figures):
    """Text of each width's share of the bytes at eight bits, in every place."""
    return "; ".join(
        f"{bits} bits " + " / ".join(f"{values[place] / figures[8][place]:.4g}" for place in PLACES)
        for bits, values in figures.items()
        if bits != 8
    )


def _exact_row(kind, figures):
    exact = all(
        values[place] == figures[8][place] * wanted(bits, place) for bits, values in figures.items() for place in PLACES
    )
    return Row(
        f"{kind}: bytes of the weights at 6, 4, 2, 1 bits against int8",
        "3/4, 1/2, 1/4, 1/8",
        "",
        "exactly" if exact else "NOT exactly",
        exact,
        f"in the file / on the wire / in the 16x16 weight bank (6 bits are 8 in the bank): {_shares(figures)}",
    )


def _padded_row(kind, figures):
    padding = "; ".join(
        f"{bits} bits " + " / ".join(f"{_padding(values, bits, place):,.0f}" for place in PLACES)
        for bits, values in figures.items()
    )
    what = f"{figures[8]['weights']:,} weights; with 1 bit the first and the last layer stay int8"
    return Row(
        f"{kind}: the same, in the file",
        "the same and padding",
        "",
        ", ".join(f"{values['file'] / figures[8]['file']:.4g}" for bits, values in figures.items() if bits != 8),
        all(_padding(values, bits, place) >= 0 for bits, values in figures.items() for place in PLACES),
        f"{what}; file / wire / bank: {_shares(figures)}; bytes of padding {padding}",
    )


def _padding(values, bits, place):
    """Bytes beyond the weights' own. Layers of a network may differ in width: their own bits count."""
    return values[place] - (values["weights"] if wanted(bits, place) == 1 else values["bits"] / 8)
