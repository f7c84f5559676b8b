"""The PyTorch quantized reference: its rounding against exact fractions, its networks against
accel.reference."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accel import reference
from accel.errors import ModelError, RangeError
from accel.ir import Conv2D, TensorType
from quant.reference.integer import IntegerNetwork, rounded_product
from sim.cases import graphs as networks
from tests.test_structure import imported_modules

QUANT = Path(__file__).resolve().parents[2] / "quant"
INT32 = st.integers(-(2**31), 2**31 - 1)
MULTIPLIER = st.integers(0, 2**31 - 1)


def away(value):
    """A fraction to the nearest integer, ties away from zero."""
    magnitude = math.floor(abs(value) + Fraction(1, 2))
    return magnitude if value >= 0 else -magnitude


def expected(acc, multiplier, shift, rule):
    """R(acc) by the words of the contract, in exact fractions."""
    if rule == "half_up":
        return math.floor(Fraction(acc * multiplier, 2**shift) + Fraction(1, 2))
    if rule == "half_away":
        return away(Fraction(acc * multiplier, 2**shift))
    high = math.floor(Fraction((acc << max(shift, 0)) * multiplier + 2**30, 2**31))
    return away(Fraction(high, 2 ** max(-shift, 0)))


def rounded(acc, multiplier, shift, rule):
    tensors = (torch.tensor([value]) for value in (multiplier, shift))
    return int(rounded_product(torch.tensor([acc]).reshape(1, 1, 1, 1), *tensors, rule))


@given(INT32, MULTIPLIER, st.integers(0, 62), st.sampled_from(["half_up", "half_away"]))
def test_half_rules_equal_exact_fractions(acc, multiplier, shift, rule):
    assert rounded(acc, multiplier, shift, rule) == expected(acc, multiplier, shift, rule)


@given(st.integers(-(2**20), 2**20), st.integers(0, 61), st.sampled_from(["half_up", "half_away"]))
def test_half_rules_equal_exact_fractions_at_ties(acc, shift, rule):
    odd, multiplier = 2 * acc + 1, 1 << min(shift, 30)
    assert rounded(odd, multiplier, shift + 1, rule) == expected(odd, multiplier, shift + 1, rule)


@given(INT32, MULTIPLIER, st.integers(-31, 30))
def test_gemmlowp_equals_exact_fractions(acc, multiplier, exponent):
    acc >>= max(exponent, 0)
    assert rounded(acc, multiplier, exponent, "gemmlowp") == expected(acc, multiplier, exponent, "gemmlowp")


def test_gemmlowp_refuses_an_overflowing_shift():
    with pytest.raises(RangeError, match="outside int32"):
        rounded(2**30, 1, 1, "gemmlowp")


def test_an_unknown_rule_is_refused():
    with pytest.raises(ModelError, match="'nearest' is unknown"):
        rounded(1, 1, 1, "nearest")


def assert_equal_everywhere(graph, q):
    wanted, actual = reference.run(graph, q), IntegerNetwork(graph).run(q)
    assert list(wanted) == list(actual)
    for name, values in wanted.items():
        np.testing.assert_array_equal(actual[name].numpy(), values, err_msg=name)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_equals_the_integer_reference_on_random_graphs(seed):
    rng = np.random.default_rng(seed)
    graph = networks.random_graph(rng)
    assert_equal_everywhere(graph, networks.images(rng, graph, 3))


@pytest.mark.parametrize("rule", ["half_up", "half_away", "gemmlowp"])
def test_equals_the_integer_reference_with_stride_and_asymmetric_pads(rule):
    rng = np.random.default_rng(7)
    source = TensorType(9, 6, 5, 8, 0.02, 37)
    first = networks.conv(rng, "first", "input", source, 11, (3, 2), (2, 1), (0, 1, 2, 0), rule)
    second = networks.maxpool("second", "first", first.output, (2, 3), pads=(1, 0, 0, 2))
    third = networks.dense(rng, "third", "second", second.output, 4, raw=True)
    graph = networks.Graph("net", source, networks.InputEncoding(), (first, second, third))
    assert_equal_everywhere(graph, networks.images(rng, graph, 4))


@pytest.mark.parametrize("bits", [1, 2, 4, 6])
def test_equals_the_integer_reference_with_narrow_weights(bits):
    rng = np.random.default_rng(bits)
    source = TensorType(5, 5, 3, 8, 0.02, -5)
    layer = networks.conv(rng, "conv", "input", source, 6, (3, 3), weight_bits=bits)
    graph = networks.Graph("net", source, networks.InputEncoding(), (layer,))
    assert_equal_everywhere(graph, networks.images(rng, graph, 2))


def test_int64_sums_equal_float64_sums():
    rng = np.random.default_rng(3)
    source = TensorType(6, 5, 4, 8, 0.02, 9)
    layer = networks.conv(rng, "conv", "input", source, 5, (3, 2), (2, 1), (1, 0, 0, 1))
    graph = networks.Graph("net", source, networks.InputEncoding(), (layer,))
    q = networks.images(rng, graph, 3)
    network = IntegerNetwork(graph)
    wanted = network(q)
    network.layers["conv"].sum_type = torch.int64
    assert torch.equal(network(q), wanted)


def test_an_accumulator_outside_int32_is_refused():
    source = TensorType(1, 1, 1, 8, 1.0, 0)
    output = TensorType(1, 1, 1, 32, 1.0, 0)
    weights, bias = np.full((1, 1, 1, 1), 127), np.array([2**31 - 1])
    layer = Conv2D("conv", "input", source, output, weights, 8, np.ones(1), bias, (1, 1), (0, 0, 0, 0), None)
    graph = networks.Graph("net", source, networks.InputEncoding(), (layer,))
    with pytest.raises(RangeError, match="conv: accumulator reaches"):
        IntegerNetwork(graph).run(np.ones((1, 1, 1, 1), np.int64))
    assert int(IntegerNetwork(graph).run(np.zeros((1, 1, 1, 1), np.int64))["conv"]) == 2**31 - 1


def test_the_arithmetic_is_stated_independently():
    for path in QUANT.glob("**/*.py"):
        assert "accel.fixedpoint" not in set(imported_modules(path)), path
    own = QUANT / "reference" / "integer.py"
    allowed = "accel.errors", "accel.limits", "accel.tensor"  # the last for what a layer holds
    used = {name for name in imported_modules(own, types=False) if "." in name and not name.startswith(allowed)}
    assert {name.split(".")[0] for name in used} == {"torch", "typing", "__future__"}
