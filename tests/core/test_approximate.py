"""Approximate products: the definition, the reference that uses it, its bounds, and what a build of it refuses."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel import reference
from accel.compile import compile_graph, fit_config
from accel.config import HardwareConfig
from accel.errors import FitError
from accel.fixedpoint import APPROXIMATE_ERRORS, approximate_product
from accel.rtl.array.approximate_multiplier import BIAS, MAX_ERROR, MEAN_ERROR
from sim.cases import graphs as networks

APPROXIMATE = HardwareConfig(rows=4, lanes=4, precisions=(8, 6), int6_multiplier="approximate")


def by_partial_products(a, b, bits):
    """The product as a sum of partial products of two's complement numbers, the low ones replaced."""
    value = [1 << i for i in range(bits - 1)] + [-(1 << bits - 1)]
    pairs = [(i, j) for i in range(bits) for j in range(bits) if a >> i & 1 and b >> j & 1]
    carried = any(i + j == 2 for i, j in pairs)
    return sum(value[i] * value[j] for i, j in pairs if i + j > 2) + 8 * carried


def test_products_leave_out_the_low_partial_products():
    for a, b in itertools.product(range(-32, 32), repeat=2):
        assert approximate_product(a, b) == by_partial_products(a, b, 6)


@given(st.integers(-128, 127), st.integers(-32, 31))
def test_products_of_activations_and_weights(a, b):
    product = int(approximate_product(a, b))
    assert product == by_partial_products(a, b, 8) and product % 8 == 0
    assert -MAX_ERROR <= product - a * b <= 4


def test_the_stated_errors():
    errors = APPROXIMATE_ERRORS
    assert (abs(errors).max(), abs(errors).mean(), errors.mean()) == (MAX_ERROR, MEAN_ERROR, BIAS)


def int6_layer(number):
    rng = np.random.default_rng(number)
    graph = networks.random_mixed_graph(rng, layers=1, weight_widths=(6,), widths=(8,))
    return rng, graph


@pytest.mark.parametrize("number", range(6))
def test_the_reference_sums_these_products(number):
    rng, graph = int6_layer(number)
    (layer,) = graph.layers
    raw = dataclasses.replace(layer, requantize=None, output=dataclasses.replace(layer.output, bits=32, zero_point=0))
    q = networks.images(rng, graph, 2)
    windows = reference._windows(raw, q).transpose(0, 1, 2, 4, 5, 3)
    weights = raw.weights.reshape(raw.weights.shape[0], -1)
    windows = windows.reshape(-1, 1, weights.shape[1])
    wanted = approximate_product(windows, weights).sum(axis=2) - raw.input.zero_point * weights.sum(axis=1) + raw.bias
    found = reference.run_layer(raw, q, approximate=True)
    assert np.array_equal(found.reshape(wanted.shape), wanted)
    low, high = reference.accumulator_bounds(raw, approximate=True)
    assert (low <= wanted).all() and (wanted <= high).all()


def test_only_layers_of_six_bit_weights_are_approximate():
    rng = np.random.default_rng(5)
    graph = networks.random_mixed_graph(rng, weight_widths=(8,), widths=(8,))
    q = networks.images(rng, graph, 2)
    exact, near = reference.run(graph, q), reference.run(graph, q, int6_multiplier="approximate")
    assert all(np.array_equal(exact[name], near[name]) for name in exact)


def test_other_weights_are_refused_by_name():
    graph = networks.random_mixed_graph(np.random.default_rng(5), weight_widths=(4,), widths=(8,))
    name = next(layer.name for layer in graph.layers if layer.op != "maxpool")
    with pytest.raises(FitError, match=f"{name}: 4-bit weights, but int6_multiplier=approximate multiplies 6-bit"):
        compile_graph(graph, fit_config(graph, APPROXIMATE))


@pytest.mark.parametrize(
    "options", [{"precisions": (8,)}, {"precisions": (8, 6, 4)}, {"precisions": (8, 6), "multiplier": "shift_add"}]
)
def test_builds_that_cannot_be(options):
    with pytest.raises(FitError, match="int6_multiplier=approximate computes 6-bit weights only"):
        HardwareConfig(int6_multiplier="approximate", **options)


def test_the_option_is_checked_and_costs_no_dsp():
    with pytest.raises(FitError, match="int6_multiplier=near is unknown; choose exact or approximate"):
        HardwareConfig(int6_multiplier="near", precisions=(8, 6))
    exact = dataclasses.replace(APPROXIMATE, int6_multiplier="exact")
    assert exact.dsp_estimate - APPROXIMATE.dsp_estimate == 4 * 4 // 2
