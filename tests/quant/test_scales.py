"""Scales, integers and multipliers against torch's operators, exact fractions and accel.fixedpoint."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accel import fixedpoint
from accel.errors import RangeError
from accel.names import RULES
from quant.arithmetic import scales

FINITE = st.floats(-(2.0**100), 2.0**100, width=32)


@given(st.lists(FINITE, min_size=1, max_size=20), st.floats(1e-6, 1e6), st.integers(-128, 127))
@settings(max_examples=60)
def test_to_integers_equals_torch_and_fixedpoint(values, scale, zero_point):
    scale, x = scales.float32(scale), torch.tensor(values, dtype=torch.float32)
    q = scales.to_integers(x, scale, zero_point, -128, 127)
    fake = torch.fake_quantize_per_tensor_affine(x, scale, zero_point, -128, 127)
    assert torch.equal(((q - zero_point).float() * np.float32(scale).item()), fake)
    assert np.array_equal(q.numpy(), fixedpoint.quantize(x.numpy(), scale, zero_point, 8))


@given(FINITE, FINITE)
def test_affine_scale_covers_the_range_and_zero(a, b):
    low, high = min(a, b), max(a, b)
    scale, zero_point = scales.affine_scale(low, high, 8)
    assert -128 <= zero_point <= 127 and scale == scales.float32(scale)
    assert scale * (-128 - zero_point) <= min(low, 0) + scale * 0.51
    assert scale * (127 - zero_point) >= max(high, 0) - scale * 0.51


def test_default_scales_follow_the_formulas():
    assert scales.symmetric_scale(127.0, 8) == 1.0
    assert scales.symmetric_scale(0.0, 8) == 1.0
    assert scales.affine_scale(0.0, 255.0, 8) == (1.0, -128)
    assert scales.affine_scale(-128.0, 127.0, 8) == (1.0, 0)
    assert scales.affine_scale(10.0, 255.0, 8) == (1.0, -128)
    assert scales.affine_scale(0.0, 0.0, 8) == (1.0, 0)
    assert scales.affine_scale(-255.0, 0.0, 8) == (1.0, 127)
    assert scales.symmetric_scale(1e-44, 8) > 0


@given(st.floats(1e-25, 2e9), st.sampled_from(RULES))
def test_multiplier_is_the_nearest_one_and_equals_fixedpoint(real, rule):
    if rule == "gemmlowp" and math.frexp(real)[1] > 30:
        return
    multiplier, shift = scales.choose_multiplier(real, rule)
    assert (multiplier, shift) == fixedpoint.quantize_multiplier(real, rule)
    if rule == "gemmlowp":
        exact = Fraction(multiplier) * Fraction(2) ** (shift - 31)
        smallest = Fraction(1, 2**32)
    else:
        exact, smallest = Fraction(multiplier, 2**shift), Fraction(1, 2**62)
    assert 0 <= multiplier < 2**31
    assert abs(exact - Fraction(real)) <= max(Fraction(real) / 2**31, smallest)


def test_multiplier_edges():
    assert scales.choose_multiplier(0.0, "half_up") == (0, 0)
    assert scales.choose_multiplier(math.nextafter(1.0, 0.0), "half_up") == (2**30, 30)
    assert scales.choose_multiplier(math.ldexp(1.0, -70), "half_up") == (0, 62)
    assert scales.choose_multiplier(math.ldexp(0.5, -31), "gemmlowp") == (2**30, -31)
    assert scales.choose_multiplier(math.ldexp(0.5, -32), "gemmlowp") == (0, 0)


@pytest.mark.parametrize("real", [-1.0, math.nan, math.inf, 2.0**31])
@pytest.mark.parametrize("rule", RULES)
def test_multiplier_out_of_range_is_refused(real, rule):
    with pytest.raises(RangeError):
        scales.choose_multiplier(real, rule)


def test_clamp_bounds():
    assert scales.clamp_bounds((-math.inf, math.inf), 0.1, 5, 8) == (-128, 127)
    assert scales.clamp_bounds((0.0, math.inf), 0.1, -100, 8) == (-100, 127)
    assert scales.clamp_bounds((0.0, 6.0), 0.1, -100, 8) == (-100, -40)
    assert scales.clamp_bounds((-100.0, 0.25), 0.1, 0, 8) == (-128, 2)
