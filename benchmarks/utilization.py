"""How busy a 16x16 array is in a 3x3 convolution 64->64 on 16x16 pixels."""

import numpy as np

from accel.reference import run
from benchmarks import workload
from benchmarks.report import Result, Row
from sim.cli import compile_for

MUST_PERCENT = 93


def measure(progress, folder, quick, data_dir):
    """One layer, one image; `quick` changes nothing."""
    graph = workload.convolution(64, 64, 16)
    inputs = workload.random_inputs(graph, 1)
    task = progress.add_task("compile, simulate", total=1)
    program = compile_for(graph, 16, 16)
    with workload.loaded(program) as accelerator:
        result = accelerator.run([program.encode_input(inputs[0])])
    progress.advance(task)
    equal = np.array_equal(program.decode_output(result.outputs[0]), run(graph, inputs)["conv"][0])
    cycles = result.cycles_per_image[0]
    percent = 100 * program.mac_count / (cycles * 16 * 16)
    same = "equal to" if equal else "DIFFERS from"
    row = Row(
        "utilisation of a 16x16 array, 3x3 convolution 64->64 on 16x16 pixels",
        ">= 93 %",
        "98 %",
        f"{percent:.1f} %",
        equal and percent >= MUST_PERCENT,
        f"{cycles:,} cycles from first input beat to last output beat, output {same} the reference",
    )
    return Result("utilization", (row,), {"cycles": cycles, "macs": program.mac_count, "percent": percent})
