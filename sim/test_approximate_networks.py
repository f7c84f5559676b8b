"""Networks of 6-bit weights on builds that multiply approximately: every layer equals the reference's approximation."""

import numpy as np
import pytest

from accel import reference
from accel.compile import compile_graph, fit_config
from accel.config import HardwareConfig
from sim.accelerator import open_accelerator
from sim.cases.graphs import images, random_mixed_graph
from sim.test_many_networks import check_network

MEMORIES = {"weight_depth": 1024, "act_depth": 256, "line_depth": 128, "param_depth": 128, "pool_depth": 64}
COUNT = 8


def int6_network(rng):
    """A random chain whose layers with weights all have 6-bit weights and 8-bit activations."""
    return random_mixed_graph(rng, weight_widths=(6,), widths=(8,))


@pytest.mark.parametrize("size", [(4, 4), (8, 8)], ids=str)
def test_networks_equal_the_approximate_reference(size, seed):
    config = HardwareConfig(*size, precisions=(8, 6), int6_multiplier="approximate", **MEMORIES)
    different = 0
    with open_accelerator(config) as accelerator:
        for number in range(COUNT):
            rng = np.random.default_rng([seed, number])
            graph = int6_network(rng)
            compile_graph(graph, fit_config(graph, config))
            q = images(rng, graph, 2)
            check_network(accelerator, graph, q, seed, "none" if number % 2 else "both")
            exact, near = reference.run(graph, q), reference.run(graph, q, int6_multiplier="approximate")
            different += any(not np.array_equal(exact[name], near[name]) for name in exact)
    assert different == COUNT, "products that are all exact prove nothing"
