"""Compiled programs, executed by the descriptor interpreter, equal the integer reference."""

import dataclasses

import numpy as np
import pytest

from accel import model_dir, reference
from accel.compile import compile_graph, fit_config, lower
from accel.config import HardwareConfig
from accel.descriptor import pack_descriptor, unpack_descriptor
from accel.fixedpoint import RULES
from accel.ir import Graph, InputEncoding, TensorType
from sim.cases import graphs as networks
from tests.compile.interpreter import HardwareError, Interpreter

SIZES = ((4, 4), (8, 8), (4, 16), (16, 4), (8, 32))


def check(graph, program, q, policy="feeder"):
    """Every stage's output of every image, and the whole program's."""
    expected = reference.run(graph, q)
    for index, image in enumerate(q):
        machine = Interpreter(program, policy, seed=index)
        output = program.decode_output(machine.run(program.encode_input(image)))
        for plan, data in zip(program.layers, machine.trace, strict=True):
            assert len(data) == plan.output.stream_bytes
            got = plan.output.from_bytes(data)
            if plan.output_name in expected:
                assert np.array_equal(got, expected[plan.output_name][index]), plan
        assert np.array_equal(output, expected[graph.layers[-1].name][index])


def single(layer):
    return Graph("single", layer.input, InputEncoding(), (layer,))


@pytest.mark.parametrize("policy", ["feeder", "window", "random"])
@pytest.mark.parametrize("number", range(30))
def test_random_networks(number, policy):
    rng = np.random.default_rng(number)
    graph = networks.random_graph(rng, layers=int(rng.integers(1, 5)), max_side=8, max_channels=7)
    rows, lanes = SIZES[number % len(SIZES)]
    config = fit_config(graph, HardwareConfig(rows=rows, lanes=lanes))
    check(graph, compile_graph(graph, config), networks.images(rng, graph, 2), policy)


@pytest.mark.parametrize("policy", ["feeder", "window"])
@pytest.mark.parametrize("number", range(24))
def test_every_walk_of_a_convolution_gives_the_same_integers(number, policy):
    rng = np.random.default_rng(number)
    source = networks.tensor(rng, int(rng.integers(3, 9)), int(rng.integers(2, 8)), int(rng.integers(1, 7)))
    kernel = tuple(int(rng.integers(1, min(5, side) + 1)) for side in source.shape[:2])
    pads = tuple(int(rng.integers(0, kernel[side // 2])) for side in range(4))
    stride = tuple(int(value) for value in rng.integers(1, 4, 2))
    layer = networks.conv(
        rng, "conv", "input", source, int(rng.integers(1, 11)), kernel, stride, pads, RULES[number % 3]
    )
    graph = single(layer)
    q = networks.images(rng, graph, 1)
    config = HardwareConfig(rows=4, lanes=4 * 2 ** (number % 3), line_depth=1024, weight_depth=8192)
    options = lower._candidates(graph, config)[0]
    kinds = set()
    for option in options:
        kinds.add(option.walk.kind)
        check(graph, lower._assemble(graph, [option], config), q, policy)
    assert kinds in ({"rows", "strip"}, {"flat"})


def test_a_network_of_all_that_is_awkward():
    """IC no multiple of lanes, asymmetric pads, stride 2, no square, zero point, OC below and beside rows."""
    rng = np.random.default_rng(77)
    source = TensorType(11, 6, 5, 8, 0.02, 37)
    first = networks.conv(rng, "a", "input", source, 3, (3, 2), (2, 1), (0, 1, 1, 0), "half_away", qmin=-20)
    second = networks.conv(rng, "b", "a", first.output, 11, (2, 3), (1, 2), (1, 0, 2, 1), "gemmlowp")
    pool = networks.maxpool("p", "b", second.output, (2, 3), pads=(1, 0, 0, 2))
    third = networks.conv(rng, "c", "p", pool.output, 9, (1, 1))
    last = networks.dense(rng, "d", "c", third.output, 13, raw=True)
    graph = Graph("awkward", source, InputEncoding(), (first, second, pool, third, last))
    for rows, lanes in SIZES:
        for req_lanes in (1, 2, 4):
            config = HardwareConfig(rows=rows, lanes=lanes, req_lanes=req_lanes)
            check(graph, compile_graph(graph, config), networks.images(rng, graph, 1))


@pytest.mark.parametrize(("rows", "lanes"), [(8, 8), (16, 16)])
def test_lenet5_layer_by_layer(rows, lanes):
    graph = model_dir.load("lenet5-int8")
    rng = np.random.default_rng(0)
    program = compile_graph(graph, HardwareConfig(rows=rows, lanes=lanes))
    assert [plan.output_name for plan in program.layers] == ["pool1", "pool2", "fc1", "fc2", "fc3"]
    assert [plan.walk for plan in program.layers] == ["strip", "rows", "dense", "dense", "dense"]
    check(graph, program, networks.images(rng, graph, 1))


@pytest.mark.parametrize("pads", [(0, 9, 0, 0), (2, 2, 7, 7), (1, 4, 0, 9), (2, 0, 5, 0)])
def test_windows_that_hold_padding_only(pads):
    rng = np.random.default_rng(1)
    source = TensorType(4, 5, 2, 8, 0.02, -60)
    graph = single(networks.conv(rng, "conv", "input", source, 3, (3, 3), (2, 1), pads))
    check(graph, compile_graph(graph, HardwareConfig(rows=4, lanes=4)), networks.images(rng, graph, 1), "random")


@pytest.mark.parametrize("bits", [6, 4, 2, 1])
def test_narrow_weights_run_as_bytes(bits):
    rng = np.random.default_rng(bits)
    source = networks.tensor(rng, 5, 5, 3)
    graph = single(networks.conv(rng, "conv", "input", source, 6, (3, 3), pads=(1, 1, 1, 1), weight_bits=bits))
    check(graph, compile_graph(graph, HardwareConfig(rows=4, lanes=4)), networks.images(rng, graph, 1))


@pytest.mark.parametrize("number", range(6))
def test_sixteen_bit_accumulators(number):
    rng = np.random.default_rng(number)
    graph = networks.narrow_network(rng)
    program = compile_graph(graph, HardwareConfig(rows=4, lanes=8, acc_bits=16))
    check(graph, program, networks.images(rng, graph, 2))


def test_images_back_to_back_share_no_state():
    rng = np.random.default_rng(5)
    graph = networks.random_graph(rng, layers=4)
    program = compile_graph(graph, fit_config(graph, HardwareConfig(rows=4, lanes=8)))
    q = networks.images(rng, graph, 4)
    expected = reference.run(graph, q)[graph.layers[-1].name]
    machine = Interpreter(program)
    for image, result in zip(q, expected, strict=True):
        assert np.array_equal(program.decode_output(machine.run(program.encode_input(image))), result)


def test_truncated_programs_put_out_every_layer():
    rng = np.random.default_rng(21)
    source = networks.tensor(rng, 8, 8, 3)
    first = networks.conv(rng, "a", "input", source, 6, (3, 3))
    pool = networks.maxpool("p", "a", first.output, (2, 2))
    second = networks.conv(rng, "b", "p", pool.output, 5, (2, 2))
    last = networks.dense(rng, "c", "b", second.output, 4, raw=True)
    graph = Graph("chain", source, InputEncoding(), (first, pool, second, last))
    program = compile_graph(graph, HardwareConfig(rows=4, lanes=4))
    q = networks.images(rng, graph, 1)
    expected = reference.run(graph, q)
    for count, plan in enumerate(program.layers, start=1):
        part = program.truncated(count)
        assert part.output == plan.output and len(part.layers) == count
        output = Interpreter(part).run(part.encode_input(q[0]))
        assert len(output) == part.output_beats * 4
        assert np.array_equal(part.decode_output(output), expected[plan.output_name][0])
    assert program.truncated(3) is program


def test_the_interpreter_notices_wrong_programs():
    """The oracle is no rubber stamp: small changes of a right program make it fail."""
    rng = np.random.default_rng(3)
    source = TensorType(7, 6, 3, 8, 0.02, 11)
    first = networks.conv(rng, "a", "input", source, 6, (3, 3), (1, 1), (1, 1, 1, 1))
    pool = networks.maxpool("p", "a", first.output, (2, 2))
    last = networks.conv(rng, "b", "p", pool.output, 5, (2, 2))
    graph = Graph("chain", source, InputEncoding(), (first, pool, last))
    program = compile_graph(graph, HardwareConfig(rows=4, lanes=4))
    image = networks.images(rng, graph, 1)[0]
    right = Interpreter(program).run(program.encode_input(image))
    survivors = []
    for name in (
        "pad_value",
        "top_rows",
        "need_rows",
        "row_step",
        "data_offset",
        "pixel_step",
        "weight_base",
        "param_base",
        "zero_point",
        "pool_kw_minus1",
        "kwords_minus1",
        "element_bytes_minus1",
        "slot_step",
        "last_count",
        "ow_minus1",
    ):
        values = unpack_descriptor(program.descriptors[0])
        values.pop("magic")
        values[name] ^= 1
        words = pack_descriptor(values, program.config)
        descriptors = program.descriptors.copy()
        descriptors[0, : len(words)] = words
        changed = dataclasses.replace(program, descriptors=descriptors)
        try:
            if Interpreter(changed).run(changed.encode_input(image)) == right:
                survivors.append(name)
        except (HardwareError, ValueError):
            continue
    assert survivors == []
