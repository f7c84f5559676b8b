"""Images per second of the Verilator engine, LeNet-5 at 16x16, as `python -m sim run` drives it."""

from benchmarks import workload
from benchmarks.report import Result, Row
from sim.cli import compile_for
from sim.network import run_network

MUST_PER_SECOND = 30
COUNT, QUICK_COUNT = 1_000, 20


def measure(progress, folder, quick, data_dir):
    """Wall time of the images alone, after the model is compiled and the program loaded."""
    graph = workload.lenet()
    inputs, _ = workload.mnist(graph, data_dir, QUICK_COUNT if quick else COUNT)
    program = compile_for(graph, 16, 16)
    task = progress.add_task("images", total=len(inputs))
    result = run_network(graph, program, inputs, "verilator", advance=lambda n: progress.advance(task, n))
    per_second = len(inputs) / result.seconds
    clock = sum(result.cycles) / result.seconds
    row = Row("Verilator engine, LeNet-5 at 16x16, one core", ">= 30 images/s", "150 images/s",
              f"{per_second:,.0f} images/s ({clock / 1e6:.2f} M cycles/s)", per_second >= MUST_PER_SECOND)
    return Result("speed", (row,), {"images_per_second": per_second, "cycles_per_second": clock})
