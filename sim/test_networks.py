"""Many networks on one accelerator, loaded at run time: every layer's integers, and every layer's cycle counter."""

import numpy as np
import pytest

from accel import model_dir, reference
from accel.compile import compile_graph, fit_config
from accel.config import HardwareConfig
from accel.errors import FitError, UnsupportedError
from quant.datasets import load
from sim.accelerator import open_accelerator
from sim.bus import STALLS
from sim.network import compare_on, run_program
from sim.networks import NETWORKS, random_network
from tests.core.networks import images

FEWEST_RANDOM = 20  # of 24 random networks that fit LeNet-5's memories; the others are skipped


def lenet_hardware(size):
    """LeNet-5, the configuration made for it, and its digits as integers."""
    graph = model_dir.load("lenet5-int8")
    config = fit_config(graph, HardwareConfig(rows=size, lanes=size))
    return graph, config, reference.encode_input(graph, load("digits")[0])


def check_network(accelerator, graph, q, seed, stalls="none"):
    """Every layer with stalls; then back to back without: the same outputs, and counters as predicted."""
    program = compile_graph(graph, accelerator.config)
    run = compare_on(accelerator, graph, program, q, layers=True, stalls=STALLS[stalls], seed=seed)
    assert not run.mismatches, f"{graph.name}, {stalls}\n" + "\n".join(map(str, run.mismatches[:5]))
    steady = run_program(accelerator, program, q, isolated=False)
    assert np.array_equal(steady.outputs, run.outputs), f"{graph.name}: back to back differs from single images"
    measured = [cycles for cycles, _ in accelerator.counters(len(program.layers))]
    assert measured == [layer.predicted_cycles for layer in program.layers], f"{graph.name}: {program.layers}"


@pytest.mark.parametrize("size", [8, 16])
def test_networks_one_after_the_other_on_lenets_hardware(size, seed):
    lenet, config, digits = lenet_hardware(size)
    rng = np.random.default_rng(seed)
    with open_accelerator(config) as accelerator:
        check_network(accelerator, lenet, digits[:10], seed)
        for make in NETWORKS:
            graph = make(rng)
            check_network(accelerator, graph, images(rng, graph, 3), seed, str(rng.choice(list(STALLS))))
        check_network(accelerator, lenet, digits[10:12], seed, "bursts")


def test_random_networks_on_lenets_hardware(seed):
    _, config, _ = lenet_hardware(8)
    check_random_networks(config, seed, 24, FEWEST_RANDOM)


@pytest.mark.long
@pytest.mark.parametrize("rows,lanes,req_lanes", [(4, 4, 4), (8, 8, 1), (16, 4, 2), (4, 16, 4), (16, 16, 16)])
def test_many_random_networks(rows, lanes, req_lanes, seed):
    config = HardwareConfig(rows=rows, lanes=lanes, req_lanes=req_lanes, act_depth=1024, line_depth=1024)
    check_random_networks(config, seed, 300, 270)


def check_random_networks(config, seed, count, fewest):
    """`count` random networks with all stall patterns; those that the configuration cannot hold are left out."""
    ran = 0
    with open_accelerator(config) as accelerator:
        for number in range(count):
            rng = np.random.default_rng([seed, number])
            graph = random_network(rng)
            try:
                compile_graph(graph, config)
            except (FitError, UnsupportedError):
                continue
            check_network(accelerator, graph, images(rng, graph, 3), seed, list(STALLS)[number % len(STALLS)])
            ran += 1
    assert ran >= fewest
