"""The whole accelerator, 4x4, on a small network, int8 and mixed: three engines, and its VHDL under VUnit."""

from dataclasses import replace
from functools import partial

import numpy as np

from accel import reference
from accel.compile import compile_graph
from accel.config import HardwareConfig
from accel.hdl.accelerator import accelerator_ports
from accel.rtl.top import bitloom
from sim.cases.awkward import small
from sim.cases.bench import BlockCase, across, run_case
from sim.cases.graphs import images
from sim.cases.mixed import small_mixed
from sim.driver import Accelerator

CONFIG = HardwareConfig(
    rows=4, lanes=4, weight_depth=128, act_depth=32, line_depth=32, param_depth=32, pool_depth=16, max_layers=4
)
MIXED = replace(CONFIG, precisions=(8, 4, 2, 1), pool_depth=32)


def drive(dut, rng, stalls, make=small, config=CONFIG):
    """Load a network of a few layers and run two images back to back; then its first layer alone."""
    numbers = np.random.default_rng(rng.getrandbits(32))
    graph = make(numbers)
    program = compile_graph(graph, config)
    q = images(numbers, graph, 2)
    expected = reference.run(graph, q)
    inputs = [program.encode_input(image) for image in q]
    accelerator = Accelerator(dut, config)
    accelerator.load(program)
    run = accelerator.run(inputs, stalls, rng.getrandbits(16), isolated=False, image_limit=10_000)
    outputs = np.stack([program.decode_output(output) for output in run.outputs])
    assert np.array_equal(outputs, expected[graph.layers[-1].name])
    assert accelerator.error() == (0, 0)
    cycles = [cycles for cycles, _ in accelerator.counters(len(program.layers))]
    if not stalls.source and not stalls.sink:
        assert cycles == [layer.predicted_cycles for layer in program.layers]
    first = program.truncated(1)
    accelerator.load(first)
    run = accelerator.run(inputs[:1], stalls, image_limit=10_000)
    assert np.array_equal(first.decode_output(run.outputs[0]), expected[program.layers[0].output_name][0])


OUTPUT = "m_axis_tvalid"
CASES = [
    BlockCase(
        name,
        bitloom,
        partial(accelerator_ports, config),
        run,
        params={"config": config},
        stalls=stalls,
        vhdl_compare={"m_axis_tdata": OUTPUT, "m_axis_tkeep": OUTPUT, "m_axis_tlast": OUTPUT},
    )
    for name, config, run, stalls in (
        ("bitloom_4x4", CONFIG, drive, ("none", "both")),
        ("bitloom_mixed_4x4", MIXED, partial(drive, make=small_mixed, config=MIXED), ("both",)),
    )
]


@across(CASES)
def test_a_small_network(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
