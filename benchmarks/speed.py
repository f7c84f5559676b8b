"""Images per second of the Verilator engine, LeNet-5 at 16x16, as `python -m sim run` drives it."""

import time

from benchmarks import workload
from benchmarks.report import Result, Row

MUST_PER_SECOND = 30
COUNT, QUICK_COUNT = 1_000, 20


def measure(progress, folder, quick, data_dir):
    """Wall time of a run after the model is compiled and the program loaded."""
    graph = workload.lenet()
    inputs, _ = workload.mnist(graph, data_dir, QUICK_COUNT if quick else COUNT)
    program = workload.compiled(graph, 16, 16)
    beats = [program.encode_input(q) for q in inputs]
    task = progress.add_task("images", total=len(beats))
    with workload.loaded(program) as accelerator:
        accelerator.run(beats[:1])
        started = time.perf_counter()
        result = accelerator.run(beats)
        seconds = time.perf_counter() - started
    progress.advance(task, len(beats))
    per_second = len(beats) / seconds
    clock = sum(result.cycles_per_image) / seconds
    row = Row("Verilator engine, LeNet-5 at 16x16, one core", ">= 30 images/s", "150 images/s",
              f"{per_second:,.0f} images/s ({clock / 1e6:.2f} M cycles/s)", per_second >= MUST_PER_SECOND)
    return Result("speed", (row,), {"images_per_second": per_second, "cycles_per_second": clock})
