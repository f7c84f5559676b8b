"""The compiler predicts the cycles of the compiled Verilog: every layer, a single image, a steady flow."""

from dataclasses import replace

import numpy as np
import pytest

from accel import model_dir
from accel.compile import compile_graph, fit_config
from accel.config import HardwareConfig
from sim.accelerator import open_accelerator
from sim.cases import graphs as networks
from sim.test_mixed import CONFIG as MIXED
from sim.test_second_network import CONFIG

# More requantizer lanes than channels in a group: groups that straddle two output words.
WIDE_GROUPS = HardwareConfig(
    rows=4,
    lanes=4,
    req_lanes=4,
    weight_depth=4096,
    act_depth=1024,
    line_depth=512,
    param_depth=256,
    pool_depth=256,
    max_layers=8,
)


def check(accelerator, program, images):
    """Predicted and measured cycles are equal: of one image, from image to image, of every layer."""
    accelerator.load(program)
    inputs = [program.encode_input(image) for image in images]
    alone = accelerator.run(inputs[:2])
    assert alone.cycles_per_image == [program.predicted_cycles] * 2
    steady = accelerator.run(inputs, isolated=False)
    assert np.diff(steady.last_beat).tolist() == [program.steady_cycles] * (len(inputs) - 1)
    counted = [cycles for cycles, _ in accelerator.counters(len(program.layers))]
    assert counted == [plan.predicted_cycles for plan in program.layers], program.layers


@pytest.mark.parametrize("config", [CONFIG, WIDE_GROUPS], ids=["narrow", "wide"])
def test_random_networks_take_the_predicted_cycles(config, seed):
    walks = set()
    with open_accelerator(config) as accelerator:
        for number in range(40):
            rng = np.random.default_rng([seed, number])
            graph = networks.random_graph(rng, layers=int(rng.integers(1, 6)), max_side=9, max_channels=9)
            program = compile_graph(graph, config)
            check(accelerator, program, networks.images(rng, graph, 3))
            walks |= {plan.walk for plan in program.layers}
    assert walks == {"rows", "strip", "dense", "flat"} or seed != 1


BUILDS = {
    "mixed": MIXED,
    "one lane out": replace(MIXED, rows=4, req_lanes=1),
    "wide groups": replace(MIXED, rows=4, req_lanes=4),
    "two modes": replace(MIXED, rows=4, lanes=4, precisions=(8, 2)),
}


@pytest.mark.parametrize("name", BUILDS)
def test_random_mixed_networks_take_the_predicted_cycles(name, seed):
    config, modes = BUILDS[name], set()
    with open_accelerator(config) as accelerator:
        for number in range(30):
            rng = np.random.default_rng([seed, number])
            graph = networks.random_mixed_graph(rng, layers=int(rng.integers(1, 6)), widths=config.modes)
            program = compile_graph(graph, config)
            check(accelerator, program, networks.images(rng, graph, 3))
            modes |= {plan.precision.compute_bits for plan in program.layers}
    assert modes == set(config.modes) or seed != 1


def test_lenet5_takes_the_predicted_cycles(seed):
    graph = model_dir.load("lenet5-int8")
    program = compile_graph(graph, fit_config(graph, HardwareConfig(rows=8, lanes=8)))
    with open_accelerator(program.config) as accelerator:
        check(accelerator, program, networks.images(np.random.default_rng(seed), graph, 3))
    assert program.predicted_cycles <= 9200
