"""Tensors of 4, 2 and 1 bits at the ends of a network, in pools and under multipliers of few one bits."""

import dataclasses

import numpy as np
import pytest

from accel.compile import compile_graph, fit_config
from accel.errors import FitError, RangeError
from sim.cases import graphs as networks
from tests.compile.test_mixed import ALL, build, graph_of, layer_of
from tests.compile.test_programs import check


def test_narrow_tensors_go_in_and_come_out_packed():
    layer = layer_of(4, 4, 1)
    program = compile_graph(graph_of(layer), build())
    data = program.encode_input(np.full((4, 4, 5), -1))
    assert data == b"\xff\xff\x0f" * 16 and program.input_beats == 6 and program.output_beats == 2
    assert (program.decode_output(b"\x01" * 16) == np.where(np.arange(8) == 0, 1, -1)).all()
    with pytest.raises(RangeError, match="input must be integers in -8..7"):
        program.encode_input(np.full((4, 4, 5), 8))
    signs = compile_graph(graph_of(layer_of(1, 1)), build())
    assert signs.encode_input(np.full((4, 4, 5), 1)) == b"\x1f" * 16
    with pytest.raises(RangeError, match=r"input must be -1 and \+1"):
        signs.encode_input(np.zeros((4, 4, 5), int))


@pytest.mark.parametrize("bits", [8, 4, 2, 1])
def test_a_lane_multiplies_more_narrow_channels(bits):
    graph = graph_of(layer_of(min(bits, 2), bits))
    assert compile_graph(graph, fit_config(graph, build())).layers[0].macs_per_lane == 8 // bits


@pytest.mark.parametrize("requantizer", ["pow2", "khot2", "khot3"])
def test_multipliers_of_few_one_bits(requantizer):
    hot = {"pow2": 1, "khot2": 2, "khot3": 3}[requantizer]
    layer = layer_of(8, 8)
    with pytest.raises(
        FitError,
        match=rf"conv: the multiplier \d+ of channel 0 has \d+ one bits but "
        rf"requantizer={requantizer} takes {hot}; export the model",
    ):
        compile_graph(graph_of(layer), build(requantizer=requantizer))
    rule = layer.requantize
    rounded = [
        sum(1 << place for place in sorted((i for i in range(31) if value >> i & 1), reverse=True)[:hot])
        for value in rule.multiplier.tolist()
    ]
    first = dataclasses.replace(layer, requantize=dataclasses.replace(rule, multiplier=np.array(rounded)))
    pool = networks.maxpool("pool", "conv", first.output, (2, 2))
    second = networks.maxpool("again", "pool", pool.output, (2, 2))
    graph = graph_of(first, pool, second)
    program = compile_graph(graph, build(requantizer=requantizer))
    assert int(program.multiplier.max()) < 2 ** (6 * hot)
    check(graph, program, networks.images(np.random.default_rng(1), graph, 2))


@pytest.mark.parametrize("bits", [4, 2, 1])
def test_pools_of_narrow_inputs(bits):
    rng = np.random.default_rng(bits)
    source = networks.tensor(rng, 5, 6, 3, bits)
    first = networks.maxpool("first", "input", source, (2, 3), pads=(1, 0, 0, 0))
    graph = graph_of(first, networks.maxpool("second", "first", first.output, (2, 1), pads=(1, 0, 0, 0)))
    for precisions in (ALL, (8, bits)):
        check(graph, compile_graph(graph, build(precisions=precisions)), networks.images(rng, graph, 3))
