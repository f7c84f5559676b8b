"""Run a network on an engine and compare every integer with the reference."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from accel import reference
from accel.compile import fit_config
from accel.config import DEPTH_LIMITS
from sim.accelerator import open_accelerator
from sim.waves import WAVES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from typing import Unpack

    from accel.compile.program import Program
    from accel.config import HardwareConfig
    from accel.ir import Graph
    from accel.types import Array, Ints
    from sim.driver import Accelerator, RunOptions
    from sim.engines import DutOptions

IMAGE_LIMIT_FACTOR = 4  # an image that takes this many times the prediction counts as stuck
IMAGE_LIMIT_EXTRA = 20_000
CHUNK = {"verilator": 16}  # images between two steps of the progress bar


@dataclass(frozen=True)
class Mismatch:
    """The first wrong integer of an image."""

    layer: str
    image: int
    coordinate: tuple[int, ...]  # (h, w, c)
    expected: int
    got: int
    wrong: int  # wrong integers in this image's layer
    total: int

    def __str__(self) -> str:
        h, w, c = self.coordinate
        return (
            f"image {self.image}, layer {self.layer}, (h,w,c)=({h},{w},{c}): expected {self.expected}, "
            f"got {self.got} ({self.wrong} of {self.total} integers differ)"
        )


def find_mismatches(layer: str, expected: Array, got: Array, first_image: int = 0) -> list[Mismatch]:
    """A Mismatch for each image of [N, H, W, C] arrays that differs."""
    found = []
    for image, (want, have) in enumerate(zip(expected, got, strict=True), start=first_image):
        wrong = np.argwhere(want != have)
        if len(wrong):
            at = tuple(int(index) for index in wrong[0])
            found.append(Mismatch(layer, image, at, int(want[at]), int(have[at]), len(wrong), want.size))
    return found


@dataclass
class NetworkRun:
    """What a run on an engine gave. Cycles and counters are None on the reference."""

    outputs: Ints  # [N, H, W, C] of the last layer
    mismatches: list[Mismatch] = field(default_factory=list)
    cycles: list[int] | None = None  # of each image
    counters: list[tuple[int, int]] | None = None  # (cycles, stall cycles) of each hardware layer, last image
    seconds: float = 0.0

    @property
    def cycles_per_image(self) -> int | None:
        return max(self.cycles) if self.cycles else None


def shared_config(graphs: Iterable[Graph], config: HardwareConfig) -> HardwareConfig:
    """`config` with memories that hold any of the networks, one at a time: one hardware for all of them."""
    fitted = [fit_config(graph, config) for graph in graphs]
    return replace(config, **{depth: max(getattr(one, depth) for one in fitted) for depth in DEPTH_LIMITS})


def run_reference(graph: Graph, q: Ints, int6_multiplier: str = "exact") -> NetworkRun:
    """The integer reference as an engine; int6_multiplier: of the build that it stands for."""
    started = time.monotonic()
    last = graph.layers[-1].name
    outputs = reference.run(graph, q, (last,), int6_multiplier=int6_multiplier)[last]
    return NetworkRun(outputs, seconds=time.monotonic() - started)


def run_network(
    graph: Graph,
    program: Program,
    q: Ints,
    engine: str,
    *,
    layers: bool = False,
    advance: Callable[[int], None] = lambda count: None,
    **options: Unpack[DutOptions],
) -> NetworkRun:
    """Run images on an engine and compare the output with the reference: compare_on on an accelerator of its own.

    options go to open_accelerator.
    """
    with open_accelerator(program.config, engine, **options) as accelerator:
        return compare_on(accelerator, graph, program, q, layers=layers, advance=advance)


def compare_on(
    accelerator: Accelerator,
    graph: Graph,
    program: Program,
    q: Ints,
    *,
    layers: bool = False,
    advance: Callable[[int], None] = lambda count: None,
    **options: Unpack[RunOptions],
) -> NetworkRun:
    """Run images on an open accelerator and compare the output, with `layers` that of every layer.

    q: input integers [N, H, W, C]. advance(count) is called as images come out. options go to Accelerator.run.
    The other layers run as truncated programs on the same hardware, the whole network last.
    """
    programs = [(graph.layers[-1].name, program)]
    if layers:
        parts = range(1, len(program.layers))
        programs = [(program.layers[n - 1].output_name, program.truncated(n)) for n in parts] + programs
    keep = [layer for layer, _ in programs]
    expected, mismatches = reference.run(graph, q, keep, int6_multiplier=program.config.int6_multiplier), []
    for layer, part in programs:
        run = run_program(accelerator, part, q, advance, **options)
        mismatches += find_mismatches(layer, expected[layer].reshape(run.outputs.shape), run.outputs)
    run.mismatches = mismatches
    run.counters = accelerator.counters(len(program.layers))
    return run


def run_program(
    accelerator: Accelerator,
    program: Program,
    q: Iterable[Ints],
    advance: Callable[[int], None] = lambda count: None,
    **options: Unpack[RunOptions],
) -> NetworkRun:
    """Load a program and run images; options go to Accelerator.run."""
    accelerator.load(program)
    limit = IMAGE_LIMIT_FACTOR * program.predicted_cycles + IMAGE_LIMIT_EXTRA
    inputs = [program.encode_input(image) for image in q]
    chunk = CHUNK.get(accelerator.dut.engine, 1)
    outputs, cycles = [], []
    started = time.monotonic()
    for start in range(0, len(inputs), chunk):
        run = accelerator.run(inputs[start : start + chunk], image_limit=limit, **options)
        outputs += [program.decode_output(output) for output in run.outputs]
        cycles += run.cycles_per_image
        advance(len(run.outputs))
    return NetworkRun(np.stack(outputs), cycles=cycles, seconds=time.monotonic() - started)


def trace_image(program: Program, image_q: Ints, engine: str, name: str, **options: Unpack[DutOptions]) -> Path:
    """Run one image again with a waveform; returns the path of the VCD file."""
    path = WAVES / f"{name}-{engine}.vcd"
    options["trace"] = path
    with open_accelerator(program.config, engine, **options) as accelerator:
        run_program(accelerator, program, [image_q])
    return path
