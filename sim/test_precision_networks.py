"""LeNet-5 in every precision on one and the same hardware, loaded one after the other."""

import numpy as np
import pytest

from accel import model_dir, reference
from accel.config import HardwareConfig
from quant.data.datasets import load
from sim.accelerator import open_accelerator
from sim.cases.graphs import images
from sim.comparison import shared_config
from sim.test_many_networks import PATTERNS, check_network

LENETS = tuple(f"lenet5-{name}" for name in ("w8a8", "w6a8", "w4a8", "w4a4", "w2a2", "w1a1", "mixed", "int8"))
SINGLE = tuple(f"{kind}-w{bits}a{bits}" for kind in ("conv128", "dense1024") for bits in (8, 4, 2, 1))


def check_all(names, config, seed, count):
    """Every network twice, in an order of its own each time, on one accelerator."""
    graphs = {name: model_dir.load(name) for name in names}
    config = shared_config(graphs.values(), config)
    rng = np.random.default_rng(seed)
    with open_accelerator(config) as accelerator:
        for stalls in ("none", str(rng.choice(list(PATTERNS)))):
            for name in rng.permutation(names):
                graph = graphs[name]
                q = digits(graph, rng, count) if graph.class_names else images(rng, graph, count)
                check_network(accelerator, graph, q, seed, stalls)


def digits(graph, rng, count):
    pixels = load("digits")[0]
    return reference.encode_input(graph, pixels[rng.choice(len(pixels), count, replace=False)])


def test_lenet_in_every_precision_on_one_build(seed):
    check_all(LENETS, HardwareConfig(8, 8, precisions=(8, 6, 4, 2, 1)), seed, 2)


@pytest.mark.long
@pytest.mark.parametrize("multiplier", ["25x18", "27x18", "18x18"])
@pytest.mark.parametrize("size", [8, 16])
def test_lenet_in_every_precision_on_many_builds(size, multiplier, seed):
    config = HardwareConfig(size, size, precisions=(8, 6, 4, 2, 1), multiplier=multiplier)
    check_all(LENETS, config, seed, 12)


@pytest.mark.long
@pytest.mark.parametrize("size", [16, 32])
def test_single_layers_in_every_precision(size, seed):
    check_all(SINGLE, HardwareConfig(size, size, precisions=(8, 4, 2, 1)), seed, 1)
