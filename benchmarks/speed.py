"""Images per second of the Verilator engine, LeNet-5 at 16x16."""

import time

from benchmarks import workload
from benchmarks.report import Result, Row
from sim.cli import compile_for

MUST_PER_SECOND = 30
COUNT, QUICK_COUNT, CHUNK = 1_000, 20, 20


def measure(progress, folder, quick, data_dir):
    """Time of the images alone, after the model is compiled and the program loaded.

    The engine is one thread, so processor time says what a free core does even while the machine is busy; the wall
    clock is kept beside it.
    """
    graph = workload.lenet()
    inputs, _ = workload.mnist(graph, data_dir, QUICK_COUNT if quick else COUNT)
    program = compile_for(graph, 16, 16)
    beats = [program.encode_input(q) for q in inputs]
    task = progress.add_task("images", total=len(beats))
    cycles = 0
    with workload.loaded(program) as accelerator:
        accelerator.run(beats[:1])
        began, clock = time.process_time(), time.perf_counter()
        for start in range(0, len(beats), CHUNK):
            cycles += sum(accelerator.run(beats[start : start + CHUNK]).cycles_per_image)
            progress.advance(task, CHUNK)
        busy, clock = time.process_time() - began, time.perf_counter() - clock
    per_second, by_clock = len(beats) / busy, len(beats) / clock
    row = Row(
        "Verilator engine, LeNet-5 at 16x16, per second of processor time on one core",
        ">= 30 images/s",
        "150 images/s",
        f"{per_second:,.0f} images/s ({cycles / busy / 1e6:.2f} M cycles/s)",
        per_second >= MUST_PER_SECOND,
    )
    return Result("speed", (row,), {"images_per_core_second": per_second, "images_per_second": by_clock})
