"""Many networks on one accelerator, loaded at run time: every layer's integers, and every layer's cycle counter."""

import math

import numpy as np
import pytest

from accel import model_dir, reference
from accel.compile import compile_graph, fit_config
from accel.config import HardwareConfig
from accel.descriptor import unpack_descriptor
from accel.errors import FitError, UnsupportedError
from accel.ir import TensorType
from quant.data.datasets import load
from sim.accelerator import open_accelerator
from sim.bus import STALLS, Stalls
from sim.cases.awkward import (
    FULL,
    NETWORKS,
    chain,
    full_parameters,
    full_rows,
    full_weights,
    narrow_sums,
    random_network,
)
from sim.cases.graphs import conv, images
from sim.comparison import compare_on, run_network

# A sink that all but sleeps: the output FIFO is full for most of the time.
PATTERNS = {**STALLS, "choked": Stalls("choked", source=0.1, sink=0.9, burst=60)}


def lenet_hardware(size):
    """LeNet-5, the configuration made for it, and its digits as integers."""
    graph = model_dir.load("lenet5-int8")
    config = fit_config(graph, HardwareConfig(rows=size, lanes=size))
    return graph, config, reference.encode_input(graph, load("digits")[0])


def check_network(accelerator, graph, q, seed, stalls="none"):
    """Every layer with stalls; then back to back without, and with noise behind the end of each image: the same
    outputs, and counters as predicted."""
    program = compile_graph(graph, accelerator.config)
    run = compare_on(accelerator, graph, program, q, layers=True, stalls=PATTERNS[stalls], seed=seed)
    assert not run.mismatches, f"{graph.name}, {stalls}\n" + "\n".join(map(str, run.mismatches[:5]))
    noise = np.random.default_rng(seed)
    inputs = [program.encode_input(image)[: program.input.stream_bytes] for image in q]
    inputs = [data + noise.bytes(-len(data) % program.config.lanes) for data in inputs]
    steady = accelerator.run(inputs, isolated=False)
    outputs = [program.decode_output(output) for output in steady.outputs]
    assert np.array_equal(outputs, run.outputs), f"{graph.name}: back to back differs from single images"
    counters = accelerator.counters(len(program.layers))
    assert [cycles for cycles, _ in counters] == [layer.predicted_cycles for layer in program.layers], program.layers
    assert [cycles - stalls for cycles, stalls in counters] == [array_words(words) for words in program.descriptors]


def array_words(descriptor):
    """Words that enter the array in a layer: the cycles without a stall."""
    values = unpack_descriptor(descriptor)
    return math.prod(values[f"{loop}_minus1"] + 1 for loop in ("oh", "ow", "tiles", "kh", "kwords"))


@pytest.mark.parametrize("size", [8, 16])
def test_networks_one_after_the_other_on_lenets_hardware(size, seed):
    lenet, config, digits = lenet_hardware(size)
    rng = np.random.default_rng(seed)
    with open_accelerator(config) as accelerator:
        check_network(accelerator, lenet, digits[:10], seed)
        for make in NETWORKS:
            graph = make(rng)
            check_network(accelerator, graph, images(rng, graph, 3), seed, str(rng.choice(list(PATTERNS))))
        check_network(accelerator, lenet, digits[10:12], seed, "bursts")


@pytest.mark.long
def test_three_digits_on_myhdl():
    lenet, config, digits = lenet_hardware(4)
    run = run_network(lenet, compile_graph(lenet, config), digits[:3], "myhdl")
    assert not run.mismatches, "\n".join(map(str, run.mismatches))


def test_random_networks_on_lenets_hardware(seed):
    check_random_networks(lenet_hardware(8)[1], seed, 24)


def test_a_build_for_18_bit_multipliers(seed):
    """Here req_lanes = lanes, too: every group of channels fills an output word."""
    check_build(FULL, seed, 12)


def test_memories_are_used_to_the_last_word(seed):
    rng = np.random.default_rng(seed)
    with open_accelerator(FULL) as accelerator:
        plans = {}
        for make in (full_rows, full_weights, full_parameters):
            graph = make(rng)
            check_network(accelerator, graph, images(rng, graph, 3), seed, str(rng.choice(list(PATTERNS))))
            plans[graph.name] = compile_graph(graph, FULL).layers
    rows = plans["full_rows"][1]
    assert (rows.line_words, rows.pool_entries) == (FULL.line_depth, FULL.pool_depth)
    assert rows.in_words + rows.out_words == FULL.act_depth
    assert sum(layer.weight_words for layer in plans["full_weights"]) == FULL.weight_depth
    assert sum(layer.param_groups for layer in plans["full_parameters"]) == FULL.param_group_depth


def test_an_output_that_waits(seed):
    """Maps of pixels, raw and int8, larger than the output FIFO, into a sink that all but sleeps."""
    _, config, digits = lenet_hardware(8)
    with open_accelerator(config) as accelerator:
        for graph, q in ((chain("conv1", *model_dir.load("lenet5-int8").layers[:1]), digits[:2]), raw_map(seed)):
            check_network(accelerator, graph, q, seed, "choked")


def test_an_output_of_many_beats(seed):
    rng = np.random.default_rng(seed)
    graph = chain("large", conv(rng, "raw", "input", TensorType(70, 125, 2, 8, 0.1, 1), 16, (1, 1), raw=True))
    with open_accelerator(lenet_hardware(8)[1]) as accelerator:
        program = compile_graph(graph, accelerator.config)
        assert program.output_beats > 2**16
        assert not compare_on(accelerator, graph, program, images(rng, graph, 1)).mismatches


def raw_map(seed):
    rng = np.random.default_rng(seed)
    layer = conv(rng, "raw", "input", TensorType(9, 8, 3, 8, 0.1, 1), 11, (2, 2), raw=True)
    graph = chain("raw_map", layer)
    return graph, images(rng, graph, 2)


@pytest.mark.long
@pytest.mark.parametrize("size", [(4, 4, 4), (8, 8, 1), (16, 4, 2), (4, 16, 4), (16, 16, 16), (32, 32, 8)])
@pytest.mark.parametrize("multiplier", ["25x18", "27x18"])
def test_many_builds(size, multiplier, seed):
    rows, lanes, req_lanes = size
    memories = {"act_depth": 1024, "line_depth": 1024}
    check_build(HardwareConfig(rows, lanes, req_lanes=req_lanes, multiplier=multiplier, **memories), seed, 200)


@pytest.mark.long
@pytest.mark.parametrize("multiplier", ["25x18", "18x18"])
@pytest.mark.parametrize("rows,lanes", [(4, 4), (8, 8), (4, 32)])
def test_narrow_accumulators(rows, lanes, multiplier, seed):
    config = HardwareConfig(rows, lanes, acc_bits=16, multiplier=multiplier)
    check_random_networks(config, seed, 100, narrow_sums)


def check_build(config, seed, count):
    """All named networks and `count` random ones."""
    rng = np.random.default_rng(seed)
    with open_accelerator(config) as accelerator:
        for make in NETWORKS:
            graph = make(rng)
            check_network(accelerator, graph, images(rng, graph, 3), seed, str(rng.choice(list(PATTERNS))))
    check_random_networks(config, seed, count)


def check_random_networks(config, seed, count, make=random_network):
    """`count` random networks with all stall patterns; those that the configuration cannot hold are left out."""
    ran = 0
    with open_accelerator(config) as accelerator:
        for number in range(count):
            rng = np.random.default_rng([seed, number])
            graph = make(rng)
            try:
                compile_graph(graph, config)
            except (FitError, UnsupportedError):
                continue
            check_network(accelerator, graph, images(rng, graph, 3), seed, list(PATTERNS)[number % len(PATTERNS)])
            ran += 1
    assert ran > count / 2
