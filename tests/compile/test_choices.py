"""The cost tables of a network's widths equal what compile_graph says of every mixed network."""

from dataclasses import fields, replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel import model_dir
from accel.compile import compile_graph, fit_config
from accel.compile.choices import LayerCost, cost_tables, roomy, weighted_layers, with_widths
from accel.compile.energy import multiply_accumulate_pj
from accel.config import HardwareConfig
from accel.errors import FitError, ModelError
from accel.ir import Graph, InputEncoding
from sim.cases import graphs as networks

ALL = (8, 6, 4, 2, 1)
ACTIVATIONS = (8, 4, 2, 1)


def build(rows=8, lanes=8, **options):
    return roomy(HardwareConfig(rows, lanes, **{"precisions": ALL} | options), options)


def widths_of(graph):
    layers = weighted_layers(graph)
    return [layer.weight_bits for layer in layers], [layer.output.bits for layer in layers[:-1]]


def check(graph, tables, config):
    """The tables' sums against the compiler's program of this graph."""
    cost, program = tables.total(*widths_of(graph)), compile_graph(graph, config)
    assert cost.cycles == program.steady_cycles
    assert cost.weight_words == sum(layer.weight_words for layer in program.layers)
    assert cost.bank_bytes == sum(layer.weight_memory.bank_bytes for layer in program.layers) == program.weights.size
    assert cost.wire_bytes == sum(layer.weight_memory.wire_bytes for layer in program.layers)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(4, 8), (8, 8), (8, 16), (16, 16)]))
def test_tables_equal_the_compiler_on_random_mixed_networks(seed, size):
    """Real weights, zero points and thresholds; shapes with strides, asymmetric pads, pools and odd channels."""
    rng = np.random.default_rng(seed)
    graph = networks.random_mixed_graph(rng, layers=int(rng.integers(1, 5)), max_side=8, max_channels=9)
    config = build(*size, multiplier="27x18")  # takes 4-bit weights of -8 in every row
    weights, activations = widths_of(graph)
    check(graph, cost_tables(graph, config, [(bits,) for bits in weights], [(bits,) for bits in activations]), config)


def test_pools_that_the_compiler_turns_into_layers_are_counted():
    """A pool on the input and a pool behind a pool become identity convolutions of the width there."""
    rng = np.random.default_rng(3)
    source = networks.tensor(rng, 12, 12, 3)
    first = networks.maxpool("p0", "input", source, (2, 2))
    conv = networks.conv(rng, "a", "p0", first.output, 6, (3, 3), pads=(1, 1, 1, 1), output_bits=4)
    second = networks.maxpool("p1", "a", conv.output, (2, 2))
    third = networks.maxpool("p2", "p1", second.output, (3, 1))
    last = networks.dense(rng, "b", "p2", third.output, 5, raw=True)
    graph = Graph("pools", source, InputEncoding(), (first, conv, second, third, last))
    tables = cost_tables(graph, build(), ALL, ACTIVATIONS)
    assert tables.fixed.cycles > 0
    check(graph, tables, build())
    for bits in ACTIVATIONS:
        check(with_widths(graph, [4, 2], [bits]), tables, build())


@pytest.mark.parametrize("size", [(8, 8), (16, 16)])
def test_one_table_gives_every_mixed_lenet(size):
    graph, config, rng = model_dir.load("lenet5-int8"), build(*size), np.random.default_rng(1)
    tables = cost_tables(graph, config, ALL, ACTIVATIONS)
    assert all(len(table) in (5 * 4, 5 * 4 * 4) for table in tables.tables)
    for _ in range(6):
        weights, activations = rng.choice(ALL, 5).tolist(), rng.choice(ACTIVATIONS, 4).tolist()
        check(with_widths(graph, weights, activations), tables, config)


@pytest.mark.parametrize("name", ["lenet5-mixed", "lenet5-w4a4", "lenet5-w2a2", "lenet5-w1a1", "lenet5-w6a8"])
def test_shipped_networks_cost_what_the_tables_of_int8_say(name):
    config = build(8, 8, multiplier="27x18")
    check(model_dir.load(name), cost_tables(model_dir.load("lenet5-int8"), config, ALL, ACTIVATIONS), config)


def test_the_smallest_build_with_the_fastest_walks_keeps_every_cycle():
    graph, config = model_dir.load("lenet5-mixed"), build(8, 8)
    small = fit_config(graph, config, fastest=True)
    assert compile_graph(graph, small).steady_cycles == compile_graph(graph, config).steady_cycles
    assert small.weight_depth < config.weight_depth and small.line_depth < config.line_depth
    with pytest.raises(FitError, match="weight_depth"):
        compile_graph(graph, replace(small, weight_depth=small.weight_depth // 4))


def test_a_build_without_a_width_leaves_its_choices_out_and_says_why():
    graph = model_dir.load("lenet5-int8")
    tables = cost_tables(graph, build(precisions=(8, 4)), (8, 4, 2), (8, 4, 2))
    assert set(tables.tables[1]) == set(product((8, 4), (8, 4, 2), (8, 4)))
    with pytest.raises(FitError, match="conv1: the 2-bit output needs a mode that the build does not have"):
        tables.total([4] * 5, [2, 4, 4, 4])
    # 2-bit weights are stored in 4 bits there
    assert tables.total([2] * 5, [4] * 4).bank_bytes == tables.total([4] * 5, [4] * 4).bank_bytes


def test_a_small_memory_is_named():
    graph = model_dir.load("lenet5-int8")
    tables = cost_tables(graph, build(weight_depth=512), (8, 4), (8, 4))
    with pytest.raises(FitError, match=r"the fastest walks need 1001 words of weights but weight_depth is 512"):
        tables.total([8] * 5, [8] * 4)
    assert tables.total([4] * 5, [4] * 4).weight_words == 507
    with pytest.raises(FitError, match="no choice of widths is left for conv1: conv1: needs 147 of act_depth"):
        cost_tables(graph, build(act_depth=16), (8,), (8,))


def test_wrong_numbers_of_widths_are_refused():
    graph = model_dir.load("lenet5-int8")
    with pytest.raises(ModelError, match="4 weight and 4 activation widths do not fit 5 layers"):
        with_widths(graph, [8] * 4, [8] * 4)
    with pytest.raises(ModelError, match="2 lists of widths do not fit 5 layers"):
        cost_tables(graph, build(), [(8,), (4,)], (8,))
    with pytest.raises(ModelError, match="5 weight and 3 activation widths"):
        cost_tables(graph, build(), (8,), (8,)).total([8] * 5, [8] * 3)


def test_energy_falls_with_every_width_and_counts_as_published():
    tables = cost_tables(model_dir.load("lenet5-int8"), build(16, 16), (8, 4, 2), (8, 4, 2))
    energies = [tables.total([bits] * 5, [bits] * 4).energy_pj for bits in (8, 4, 2)]
    assert energies == sorted(energies, reverse=True)
    assert multiply_accumulate_pj(8) == pytest.approx(0.25)
    # 281,640 multiply-accumulates in conv2 and more than that in the whole network: a floor under the estimate
    assert energies[0] > 281_640 * 0.25


def test_costs_add_up():
    one, two = LayerCost(1, 2, 3, 4, 5, 6.5), LayerCost(10, 20, 30, 40, 50, 60.0)
    assert [getattr(one + two, item.name) for item in fields(LayerCost)] == [11, 22, 33, 44, 55, 66.5]
