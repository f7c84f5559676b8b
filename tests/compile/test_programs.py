"""Compiled programs, executed by the descriptor interpreter, equal the integer reference."""

import numpy as np
import pytest

from accel import model_dir, reference
from accel.compile import compile_graph, fit_config
from accel.config import HardwareConfig
from tests.compile.interpreter import Interpreter
from tests.core import networks

SIZES = ((4, 4), (8, 8), (4, 16), (16, 4))


def check(graph, config, q, policy="feeder"):
    """Every stage's output of every image, and the whole program's."""
    program = compile_graph(graph, config)
    expected = reference.run(graph, q)
    for index, image in enumerate(q):
        machine = Interpreter(program, policy, seed=index)
        output = program.decode_output(machine.run(program.encode_input(image)))
        for plan, data in zip(program.layers, machine.trace, strict=True):
            kind = "<i4" if plan.output.bits == 32 else "<i1"
            got = np.frombuffer(data, dtype=kind).reshape(plan.output.shape)
            if plan.output_name in expected:
                assert np.array_equal(got, expected[plan.output_name][index]), plan
        assert np.array_equal(output, expected[graph.layers[-1].name][index])
    return program


@pytest.mark.parametrize("policy", ["feeder", "window", "random"])
@pytest.mark.parametrize("number", range(30))
def test_random_networks(number, policy):
    rng = np.random.default_rng(number)
    graph = networks.random_graph(rng, layers=int(rng.integers(1, 5)), max_side=8, max_channels=7)
    rows, lanes = SIZES[number % len(SIZES)]
    config = fit_config(graph, HardwareConfig(rows=rows, lanes=lanes))
    check(graph, config, networks.images(rng, graph, 2), policy)


def test_lenet5_layer_by_layer():
    graph = model_dir.load("lenet5-int8")
    config = HardwareConfig(rows=8, lanes=8)
    rng = np.random.default_rng(0)
    check(graph, config, networks.images(rng, graph, 1))
