"""A build with 16-bit accumulators runs the networks that the compiler has proven to fit."""

import numpy as np
import pytest

from accel import model_dir
from accel.compile import compile_graph
from accel.config import HardwareConfig
from accel.errors import RangeError
from sim.accelerator import open_accelerator
from sim.cases import graphs as networks
from sim.comparison import compare_on

CONFIG = HardwareConfig(rows=4, lanes=8, acc_bits=16)


def test_random_narrow_networks(seed):
    with open_accelerator(CONFIG) as accelerator:
        for number in range(6):
            rng = np.random.default_rng([seed, number])
            graph = networks.narrow_network(rng)
            program = compile_graph(graph, CONFIG)
            run = compare_on(accelerator, graph, program, networks.images(rng, graph, 3), layers=True)
            assert not run.mismatches, "\n".join(map(str, run.mismatches))


def test_lenet5_is_refused():
    with pytest.raises(RangeError, match="outside 16 bits; build with acc_bits=32"):
        compile_graph(model_dir.load("lenet5-int8"), CONFIG)
