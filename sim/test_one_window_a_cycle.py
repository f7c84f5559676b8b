"""A window that fits the lanes takes one cycle: a 3x3 convolution of one channel on 16 lanes."""

import numpy as np

from accel import reference
from accel.compile import compile_graph, fit_config
from accel.config import HardwareConfig
from accel.ir import Graph, InputEncoding
from sim.accelerator import open_accelerator
from sim.cases.graphs import conv, tensor

START_UP = 140  # the first rows, and the pipeline behind the last window


def test_3x3x1_windows_follow_each_other_every_cycle(seed):
    rng = np.random.default_rng(seed)
    source = tensor(rng, 28, 28, 1)
    layer = conv(rng, "conv", "input", source, 16, (3, 3), pads=(1, 1, 1, 1))
    graph = Graph("windows", source, InputEncoding(), (layer,))
    program = compile_graph(graph, fit_config(graph, HardwareConfig(rows=16, lanes=16, req_lanes=16)))
    q = rng.integers(-128, 128, (2, *source.shape))
    with open_accelerator(program.config) as accelerator:
        accelerator.load(program)
        run = accelerator.run([program.encode_input(image) for image in q])
    outputs = np.stack([program.decode_output(data) for data in run.outputs])
    assert np.array_equal(outputs, reference.run(graph, q)["conv"])
    rows, columns, _ = layer.output.shape
    assert max(run.cycles_per_image) <= rows * (columns + 1) + START_UP  # the feeder takes a cycle between rows
