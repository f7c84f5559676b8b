"""Multipliers and weights made of few powers of two."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from accel import fixedpoint, reference
from accel.errors import UnsupportedError
from accel.names import REQUANTIZERS, RULES
from quant.arithmetic import khot
from quant.arithmetic.multipliers import (
    choose,
    hot_bits,
    khot_at_least,
    real_value,
    representable,
    widening,
)
from quant.arithmetic.scales import choose_multiplier
from quant.ptq.pipeline import quantize_module
from quant.ptq.quantize import PtqOptions
from quant.reference.integer import IntegerNetwork
from tests.quant import nets

NARROW = [name for name, terms in REQUANTIZERS.items() if terms]
WIDENED = {"pow2": 2.0, "khot2": 4 / 3, "khot3": 8 / 7}


@pytest.mark.parametrize("terms", [1, 2, 3])
def test_the_smallest_sum_of_powers_not_below(terms):
    allowed = [value for value in range(1, 1025) if value.bit_count() <= terms]
    for value in range(1, 1024):
        assert khot_at_least(value, terms) == min(item for item in allowed if item >= value)


@given(st.floats(2.0**-28, 2.0**28), st.sampled_from(RULES), st.sampled_from(NARROW))
def test_a_chosen_multiplier_is_representable_and_close(real, rule, requantizer):
    multiplier, shift = choose(real, rule, requantizer)
    fixedpoint.check_multiplier(np.array([multiplier]), np.array([shift]), rule)
    assert hot_bits(multiplier) <= REQUANTIZERS[requantizer] and 0 < multiplier < 2**31
    value = real_value(multiplier, shift, rule)
    assert real * (1 - 2**-31) <= value <= real * WIDENED[requantizer] * (1 + 2**-30)


@given(st.floats(2.0**-28, 2.0**4, width=32), st.sampled_from(NARROW), st.sampled_from(RULES))
def test_a_widened_scale_has_its_representable_multiplier(real, requantizer, rule):
    factor = widening(torch.tensor([real]), requantizer)
    assert 1 - 2**-22 <= float(factor) <= WIDENED[requantizer] * (1 + 2**-22)
    wide = float(torch.tensor([real]) * factor)
    multiplier, shift = representable("conv", [wide], rule, requantizer)
    assert hot_bits(multiplier[0]) <= REQUANTIZERS[requantizer]
    assert abs(real_value(int(multiplier[0]), int(shift[0]), rule) / wide - 1) < 2**-18


@given(st.floats(2.0**-28, 2.0**28), st.sampled_from(RULES))
def test_the_full_requantizer_takes_the_nearest(real, rule):
    assert choose(real, rule) == choose_multiplier(real, rule)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("requantizer", NARROW)
def test_a_network_for_a_narrow_requantizer(requantizer, rule):
    images = nets.random_images(30, nets.CHAIN_SHAPE)
    options = PtqOptions(rule=rule, requantizer=requantizer)
    graph = quantize_module(nets.chain(), images, options=options)
    plain = quantize_module(nets.chain(), images, options=PtqOptions(rule=rule))
    for layer, wide in zip(graph.layers, plain.layers, strict=True):
        if layer.op == "maxpool" or layer.requantize is None:
            continue
        assert max(map(hot_bits, layer.requantize.multiplier)) <= REQUANTIZERS[requantizer]
        assert np.all(layer.weight_scale >= wide.weight_scale * (1 - 1e-6))
        assert layer.notes["snr_db"] > 15, layer.name
    q = reference.encode_input(graph, images)
    wanted, actual = reference.run(graph, q), IntegerNetwork(graph).run(q)
    for name, values in wanted.items():
        np.testing.assert_array_equal(actual[name].numpy(), values)


def test_weights_of_two_powers_are_what_a_shift_add_cell_multiplies_by():
    powers = [sign * 2**shift for sign in (1, -1) for shift in range(8)]
    sums = {a + b for a in powers for b in powers}
    assert khot.representable(-127, 127) == sorted(value for value in sums if abs(value) <= 127)
    assert {0, 1, 2, 127, -127, 96, 112}.issubset(sums) and 11 not in sums


@given(st.lists(st.floats(-130, 130), min_size=1, max_size=40))
def test_weights_are_rounded_to_the_nearest_sum(values):
    rounded = khot.round_weights(torch.tensor(values), -127, 127).tolist()
    allowed = khot.representable(-127, 127)
    for value, found in zip(torch.tensor(values).double().tolist(), rounded, strict=True):
        assert found in allowed
        assert abs(found - value) == min(abs(item - value) for item in allowed)


def test_a_network_of_two_power_weights():
    images = nets.random_images(30, nets.CHAIN_SHAPE)
    graph = quantize_module(nets.chain(), images, options=PtqOptions(weight_levels="khot2"))
    allowed = khot.representable(-127, 127)
    for layer in graph.layers:
        if layer.op != "maxpool":
            assert np.isin(layer.weights, allowed).all() and layer.notes["snr_db"] > 10


def test_unknown_choices_are_refused_by_name():
    with pytest.raises(UnsupportedError, match="requantizer 'khot4' is unknown; choose one of full, pow2"):
        PtqOptions(requantizer="khot4")
    with pytest.raises(UnsupportedError, match="weight_levels 'khot3' is unknown; choose one of uniform, pow2, khot2"):
        PtqOptions(weight_levels="khot3")
