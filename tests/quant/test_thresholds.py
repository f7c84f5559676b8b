"""Batch norm and sign as integer thresholds: every accumulator against the exact sign of the batch norm."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from accel.errors import RangeError
from quant.arithmetic.thresholds import Norm, fold_batch_norm, fold_norm

EIGHTHS = st.integers(-40, 40).map(lambda value: Fraction(value, 8))
FLOATS = st.floats(-8, 8, width=32).map(Fraction)
POSITIVE = st.floats(2**-20, 8, width=32).map(Fraction)
LOW, HIGH = -60, 75


def sign(norm, acc):
    """+1 or -1 by the words of the contract: gamma * (scale * acc - mean) + beta * sqrt(variance) >= 0.

    The root is replaced by rational bounds that are narrowed until both give the same sign.
    """
    left = norm.gamma * (norm.scale * acc - norm.mean)
    for digits in range(64, 4096, 64):
        root = math.isqrt(norm.variance.numerator * 4**digits // norm.variance.denominator)
        low, high = Fraction(root, 2**digits), Fraction(root + 1, 2**digits)
        if low * low == norm.variance:
            high = low
        signs = {left + norm.beta * bound >= 0 for bound in (low, high)}
        if len(signs) == 1:
            return 1 if signs.pop() else -1
    # Never decided by bounds: the sum is exactly 0.
    return 1


def check(norm, low=LOW, high=HIGH):
    threshold, invert = fold_norm(norm, low, high)
    assert low <= threshold <= high + 1
    for acc in range(low, high + 1):
        actual = 1 if (acc >= threshold) != invert else -1
        assert actual == sign(norm, acc), (norm, acc, threshold, invert)
    return threshold, invert


@given(POSITIVE, FLOATS, FLOATS, POSITIVE, FLOATS)
def test_every_accumulator_has_the_sign_of_the_batch_norm(scale, gamma, mean, variance, beta):
    check(Norm(scale, gamma, mean, variance, beta))


@given(
    st.sampled_from([Fraction(1, 4), Fraction(1), Fraction(3, 2)]),
    EIGHTHS,
    EIGHTHS,
    st.sampled_from([Fraction(1, 4), Fraction(1), Fraction(9, 4)]),
    EIGHTHS,
)
def test_signs_of_exact_zeros(scale, gamma, mean, variance, beta):
    check(Norm(scale, gamma, mean, variance, beta))


@pytest.mark.parametrize(("gamma", "wanted"), [(1, (5, False)), (-1, (6, True))])
def test_a_threshold_on_an_integer_keeps_its_zero(gamma, wanted):
    assert check(Norm(Fraction(1), Fraction(gamma), Fraction(5), Fraction(1), Fraction(0))) == wanted


@pytest.mark.parametrize(("gamma", "wanted"), [(1, (5, False)), (-1, (5, True))])
def test_a_threshold_between_integers(gamma, wanted):
    assert check(Norm(Fraction(1), Fraction(gamma), Fraction(9, 2), Fraction(1), Fraction(0))) == wanted


@pytest.mark.parametrize("beta", [-1, 0, 1])
def test_gamma_zero_is_a_constant(beta):
    threshold, invert = check(Norm(Fraction(1), Fraction(0), Fraction(3), Fraction(2), Fraction(beta)))
    assert (threshold, invert) == (LOW if beta >= 0 else HIGH + 1, False)


@pytest.mark.parametrize("gamma", [-1, 1])
@pytest.mark.parametrize("mean", [-(10**9), 10**9])
def test_a_threshold_beyond_the_range_lies_just_outside(gamma, mean):
    threshold, _ = check(Norm(Fraction(1), Fraction(gamma), Fraction(mean), Fraction(1), Fraction(0)))
    assert threshold == (LOW if mean < 0 else HIGH + 1)


def test_a_module_is_folded_per_channel():
    norm = nn.BatchNorm2d(4)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.7, -0.7, 0.0, -3.0]))
        norm.bias.copy_(torch.tensor([0.1, 0.1, -0.2, 2.0]))
        norm.running_mean.copy_(torch.tensor([3.0, -2.5, 1.0, 0.25]))
        norm.running_var.copy_(torch.tensor([4.0, 0.5, 1.0, 9.0]))
    low, high = np.full(4, -50), np.full(4, 50)
    threshold, invert = fold_batch_norm("conv", norm, [Fraction(1, 3)] * 4, low, high)
    assert invert.tolist() == [False, True, False, True]
    acc = torch.arange(-50, 51).double()
    wanted = norm.double().eval()((acc / 3).reshape(1, 1, 1, -1).expand(1, 4, 1, -1))[0, :, 0] >= 0
    actual = (acc[None] >= torch.tensor(threshold)[:, None]) ^ torch.tensor(invert)[:, None]
    assert torch.equal(actual, wanted)


def test_a_variance_that_is_not_positive_is_refused():
    norm = nn.BatchNorm2d(2)
    norm.running_var.copy_(torch.tensor([1.0, -1.0]))
    with pytest.raises(RangeError, match="conv: running_var . eps of channel 1 is -0.99999"):
        fold_batch_norm("conv", norm, [Fraction(1)] * 2, np.zeros(2), np.ones(2))


def test_a_norm_without_statistics_is_refused():
    norm = nn.BatchNorm2d(2, track_running_stats=False)
    with pytest.raises(RangeError, match="conv: its batch norm keeps no statistics; train it with track_running_stats"):
        fold_batch_norm("conv", norm, [Fraction(1)] * 2, np.zeros(2), np.ones(2))
