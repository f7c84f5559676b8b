"""The cost model in closed form equals loops over every element and tile; large layers cost no time to predict."""

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel.compile import compile_graph, fit_config
from accel.compile.choices import roomy
from accel.compile.cost import _multiples, stage_cycles
from accel.compile.fuse import Stage, fuse_pools
from accel.compile.lower import words
from accel.compile.parameters import parameters
from accel.compile.prepare import prepare
from accel.compile.walks import walks
from accel.config import HardwareConfig
from accel.errors import BitloomError, FitError, UnsupportedError
from accel.ir import Graph, InputEncoding, TensorType
from sim.cases import graphs as networks
from tests.compile import stepwise_cost

SIZES = [(4, 4, 0), (4, 8, 1), (8, 8, 2), (8, 16, 1), (16, 4, 1), (16, 16, 0), (32, 64, 1)]


def assert_equal(stage, config, first):
    """Both models of every walk of a stage; returns how many there are."""
    options = walks(stage, config, from_stream=first)
    for walk in options:
        params, in_words = parameters(stage, walk, config), words(stage.layer.input, config)
        expected = stepwise_cost.stage_cycles(walk, params, in_words, config)
        assert stage_cycles(walk, params, in_words, config) == expected, walk
    return len(options)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from(SIZES), st.sampled_from([(9, 11), (24, 4), (12, 70)]))
def test_random_networks(seed, size, largest):
    rng = np.random.default_rng(seed)
    config = roomy(HardwareConfig(size[0], size[1], req_lanes=size[2], precisions=(8, 6, 4, 2, 1)))
    graph = networks.random_mixed_graph(rng, 2, *largest)
    for index, stage in enumerate(fuse_pools(prepare(graph))):
        try:
            assert_equal(stage, config, index == 0)
        except BitloomError:  # a layer that this build does not have
            continue


@settings(max_examples=60)
@given(st.data())
def test_tall_layers_whose_rows_repeat(data):
    """Hundreds of rows: what the closed form skips; with strides, pads and little work behind the array."""

    def number(low, high):
        return data.draw(st.integers(low, high))

    rng = np.random.default_rng(number(0, 2**32 - 1))
    kernel, stride = (number(1, 7), number(1, 3)), (number(1, 9), number(1, 3))
    pads = tuple(number(0, side - 1) for side in (kernel[0], kernel[0], kernel[1], kernel[1]))
    source = networks.tensor(rng, number(60, 300), number(3, 9), number(1, 5))
    layer = networks.conv(rng, "a", "input", source, number(1, 20), kernel, stride, pads, raw=bool(number(0, 1)))
    size = data.draw(st.sampled_from(SIZES))
    config = roomy(HardwareConfig(size[0], size[1], req_lanes=size[2]))
    assert assert_equal(Stage(layer), config, True) >= 2


@given(st.integers(0, 63), st.integers(1, 200), st.integers(1, 300), st.sampled_from([1, 2, 4, 8, 64]))
def test_multiples_are_counted(offset, step, count, modulus):
    expected = sum((offset + index * step) % modulus == 0 for index in range(1, count + 1))
    assert _multiples(offset, step, count, modulus) == expected


def single(source, channels, kernel, stride=(1, 1), pads=(0, 0, 0, 0)):
    layer = networks.conv(
        np.random.default_rng(0), "a", "input", source, channels, kernel, stride, pads, raw=True, weight_bits=2
    )
    return Graph("net", source, InputEncoding(), (layer,))


def eight(height, width, channels):
    return TensorType(height, width, channels, 8, 0.01, 0)


LARGE = {
    "tall": (single(eight(65535, 1, 1), 3, (3, 1)), 8, None),
    "tall, far steps": (single(eight(65535, 1, 1), 4, (200, 1), (100, 1)), 8, None),
    "wide": (single(eight(1, 65535, 1), 3, (1, 5)), 8, None),
    "square": (single(eight(1024, 1024, 1), 1, (5, 5)), 64, None),
    "square, few lanes": (single(eight(1024, 1024, 1), 1, (5, 5)), 8, "a: descriptor: in_words=131072 is outside"),
    "rows too long": (single(eight(724, 724, 1), 1, (200, 200), (200, 200)), 8, "a: its rows in the line buffer need"),
    "tall kernel": (single(eight(300, 300, 1), 1, (256, 1)), 8, "a: a kernel of 256 rows is not supported"),
    "far step": (single(eight(513, 1, 1), 1, (1, 1), (256, 1)), 8, "a: a stride of 256 rows is not supported"),
    "many channels": (single(eight(1, 1, 1), 65535, (1, 1)), 8, "the parameters of all layers need"),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_small_file_costs_no_minutes(name):
    """Refused, or compiled, in seconds even on a slow machine: each took minutes to hours before."""
    graph, size, refusal = LARGE[name]
    config, started = HardwareConfig(size, size), time.process_time()
    try:
        program = compile_graph(graph, fit_config(graph, config))
        assert refusal is None and program.predicted_cycles > 0
    except (FitError, UnsupportedError) as error:
        assert refusal and refusal in str(error)
    assert time.process_time() - started < 10


def pools(count, channels=1, name="p", kernel=(1, 1)):
    """A chain of max pools."""
    source, layers = eight(2, 2, channels), []
    tensor, before = source, "input"
    for index in range(count):
        layers.append(networks.maxpool(f"{name}{index}", before, tensor, kernel, (1, 1)))
        tensor, before = layers[-1].output, layers[-1].name
    return Graph("net", source, InputEncoding(), layers)


@pytest.mark.parametrize(
    "graph",
    [
        pools(1),
        pools(2),
        pools(1000),
        pools(1, kernel=(2, 2), name="n" * 63),
        replace(pools(1, kernel=(2, 2)), layers=(pools(1, kernel=(2, 2)).layers[0],)),
    ],
    ids=["one", "two", "thousand", "long name", "real"],
)
def test_chains_of_pools_compile(graph):
    program = compile_graph(graph, fit_config(graph, HardwareConfig(8, 8)))
    assert len(program.layers) == 1 and program.output.shape == graph.output.shape


def test_networks_beyond_every_build_are_refused_at_once():
    source = eight(130, 1, 1)
    layers, tensor, before = [], source, "input"
    for index in range(65):
        layers.append(networks.conv(np.random.default_rng(0), f"c{index}", before, tensor, 1, (2, 1)))
        tensor, before = layers[-1].output, layers[-1].name
    graph = Graph("net", source, InputEncoding(), layers)
    with pytest.raises(FitError, match="net: the layers of the program need 65 descriptors; use a smaller network"):
        compile_graph(graph, HardwareConfig())
    with pytest.raises(FitError, match="p0_in: a max pool of 6000 channels .* needs a layer of 36000000 weights"):
        compile_graph(pools(1, 6000, kernel=(2, 2)), HardwareConfig())
