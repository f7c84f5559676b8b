"""Images per second of the Verilator engine, LeNet-5 at 16x16, as `python -m sim run` drives it."""

import time

from benchmarks import workload
from benchmarks.report import Result, Row
from sim.cli import compile_for
from sim.network import run_network

MUST_PER_SECOND = 30
COUNT, QUICK_COUNT = 1_000, 20


def measure(progress, folder, quick, data_dir):
    """Time of the images alone, after the model is compiled and the program loaded.

    The engine is one thread, so processor time says what a free core does even while the machine is busy; the wall
    clock is kept beside it.
    """
    graph = workload.lenet()
    inputs, _ = workload.mnist(graph, data_dir, QUICK_COUNT if quick else COUNT)
    program = compile_for(graph, 16, 16)
    task = progress.add_task("images", total=len(inputs))
    run_network(graph, program, inputs[:1], "verilator")  # compiles the model
    began = time.process_time()
    result = run_network(graph, program, inputs, "verilator", advance=lambda n: progress.advance(task, n))
    busy = time.process_time() - began
    per_second, by_clock = len(inputs) / busy, len(inputs) / result.seconds
    row = Row("Verilator engine, LeNet-5 at 16x16", ">= 30 images/s", "150 images/s",
              f"{per_second:,.0f} images per second of one core ({sum(result.cycles) / busy / 1e6:.2f} M cycles/s); "
              f"{by_clock:,.0f} by the clock", by_clock >= MUST_PER_SECOND)
    return Result("speed", (row,), {"images_per_core_second": per_second, "images_per_second": by_clock})
