"""Weights of two powers of two: their codes, what is compiled of them, what is refused."""

import dataclasses

import numpy as np
import pytest

from accel.compile import compile_graph, fit_config
from accel.config import SHIFT_ADD, HardwareConfig
from accel.errors import FitError
from accel.rtl.array.shift_codes import CODES, decode_shift_add, encode_shift_add
from sim.cases import graphs as networks
from tests.compile.test_programs import check

WEIGHTS = np.array(sorted(CODES))


def test_codes_stand_for_their_weights():
    assert decode_shift_add(encode_shift_add(WEIGHTS)).tolist() == WEIGHTS.tolist()
    powers = [sign * 2**place for sign in (1, -1) for place in range(8)]
    assert {a + b for a in powers for b in powers if -128 <= a + b <= 127} == set(WEIGHTS.tolist())
    with pytest.raises(ValueError, match="weight 11 is no sum of two signed powers of two"):
        encode_shift_add(np.array([[3, 11], [0, 1]]))


def graph_of(number):
    rng = np.random.default_rng(number)
    graph = networks.random_graph(rng, layers=3)
    layers = [
        layer if layer.op == "maxpool" else dataclasses.replace(layer, weights=rng.choice(WEIGHTS, layer.weights.shape))
        for layer in graph.layers
    ]
    return graph.with_layers(layers)


@pytest.mark.parametrize("number", range(12))
def test_networks_of_such_weights(number):
    graph = graph_of(number)
    precisions = (8, 6) if number % 2 else (8,)
    config = HardwareConfig(rows=4, lanes=4, multiplier=SHIFT_ADD, precisions=precisions)
    program = compile_graph(graph, fit_config(graph, config))
    check(graph, program, networks.images(np.random.default_rng(1), graph, 1))


def test_other_weights_are_refused_by_name():
    graph = graph_of(3)
    first = graph.layers[0]
    weights = first.weights.copy()
    weights[1, 0, 0, 0] = 11
    graph = graph.with_layers([dataclasses.replace(first, weights=weights), *graph.layers[1:]])
    with pytest.raises(
        FitError,
        match=f"{first.name}: the weight 11 of channel 1 is no sum or difference of two "
        "powers of two, as multiplier=shift_add needs; export the model with such",
    ):
        compile_graph(graph, HardwareConfig(rows=4, lanes=4, multiplier=SHIFT_ADD))


def test_six_bit_weights_go_as_codes():
    rng = np.random.default_rng(0)
    graph = graph_of(1)
    first = graph.layers[0]
    few = WEIGHTS[(WEIGHTS >= -32) & (WEIGHTS <= 31)]
    layer = dataclasses.replace(first, weights=rng.choice(few, first.weights.shape), weight_bits=6)
    graph = graph.with_layers([layer, *graph.layers[1:]])
    config = fit_config(graph, HardwareConfig(rows=4, lanes=4, multiplier=SHIFT_ADD, precisions=(8, 6)))
    program = compile_graph(graph, config)
    assert program.layers[0].weight_memory.wire_bits == 8
    check(graph, program, networks.images(rng, graph, 1))
