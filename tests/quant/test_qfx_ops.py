"""Fixed-point tensors against exact fractions; gradients against finite differences."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from accel.errors import RangeError, UnsupportedError
from quant.qfx.format import OVERFLOWS, ROUNDINGS, FixedFormat
from quant.qfx.khot import largest, round_khot
from quant.qfx.ops import LN2, FixedTensor, cast, learned_cast

SMALL = [
    FixedFormat(1, 1),
    FixedFormat(3, 1),
    FixedFormat(4, 5),
    *(FixedFormat(width, bits, signed=False) for width, bits in ((3, -1), (4, 2), (2, 4))),
]


def every_value(form):
    low, high = form.limits
    integers = torch.arange(low, high + 1, dtype=torch.float64)
    return FixedTensor(integers * form.step, form)


def exact(tensor):
    return [Fraction(value) for value in tensor.values.reshape(-1).tolist()]


@pytest.mark.parametrize(("first", "second"), list(itertools.product(SMALL, SMALL)), ids=lambda form: form.q_notation)
def test_every_sum_difference_product_and_quotient_is_exact(first, second):
    a, b = every_value(first), every_value(second)
    a = FixedTensor(a.values[:, None], first)
    pairs = list(itertools.product(exact(a), exact(b)))
    assert exact(a + b) == [x + y for x, y in pairs]
    assert exact(a - b) == [x - y for x, y in pairs]
    assert exact(a * b) == [x * y for x, y in pairs]
    b = FixedTensor(b.values[b.values != 0], second)
    quotient = a / b
    step = Fraction(quotient.format.step)
    assert exact(quotient) == [math.trunc(x / y / step) * step for x, y in itertools.product(exact(a), exact(b))]
    for result in (a + b, a - b, a * b, quotient):
        low, high = result.format.limits
        assert low <= result.integers().min() and result.integers().max() <= high


@given(
    st.sampled_from(sorted(ROUNDINGS)),
    st.sampled_from(sorted(OVERFLOWS)),
    st.booleans(),
    st.integers(1, 24),
    st.integers(-8, 20),
    st.lists(st.floats(-1e5, 1e5, width=32), min_size=1, max_size=8),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_a_cast_gives_the_integers_of_the_format(rounding, overflow, signed, width, bits, values, dtype):
    form = FixedFormat(width, bits, rounding, overflow, signed)
    found = cast(torch.tensor(values, dtype=dtype), form)
    assert found.dtype == dtype
    assert found.double().tolist() == form.to_real(form.to_integer(np.array(values, dtype=np.float64))).tolist()


@pytest.mark.parametrize(("terms", "width"), [(1, 8), (2, 8), (3, 8), (2, 5), (2, 2), (1, 1)])
def test_khot_rounding_is_the_nearest_of_all_khot_numbers(terms, width):
    limit = (1 << width) - 1
    allowed = np.array([value for value in range(limit + 1) if value.bit_count() <= terms])
    steps = np.arange(-limit - 9, limit + 9, 0.125)
    found = round_khot(torch.from_numpy(steps), terms, limit).numpy()
    distance = np.abs(np.abs(steps)[:, None] - allowed)
    np.testing.assert_array_equal(np.abs(found), allowed[distance.argmin(1)])  # argmin takes the smaller of a tie
    assert np.all(found * steps >= 0)
    assert largest(terms, limit) == allowed.max()


def test_results_that_the_dtype_cannot_hold_are_refused():
    wide = FixedTensor.of(torch.ones(2), FixedFormat(20, 4))
    with pytest.raises(UnsupportedError, match=r"ap_fixed<40,8> needs 39 bits but torch.float32 holds 24; use .double"):
        wide * wide
    double = FixedTensor.of(torch.ones(2).double(), FixedFormat(20, 4))
    assert (double * double).format == FixedFormat(40, 8)
    with pytest.raises(UnsupportedError, match="narrower"):
        double * double * double
    with pytest.raises(UnsupportedError, match="float16"):
        cast(torch.ones(2).half(), FixedFormat(8, 2))
    long = FixedTensor.of(1.0, "ap_fixed<40,20>")
    with pytest.raises(UnsupportedError, match="dividend of 60 bits"):
        long / long
    with pytest.raises(RangeError, match="divisor of ap_fixed<8,2> is 0"):
        double / FixedTensor.of(0.001, "ap_fixed<8,2>")


def test_gradients_of_the_arithmetic_are_those_of_the_reals():
    """With words so long that rounding is below the finite difference, gradcheck sees the real function."""
    form = FixedFormat(52, 4, "AP_RND", "AP_SAT")

    def function(a, b):
        a, b = (FixedTensor.of(value, FixedFormat(26, 3, "AP_RND")) for value in (a, b))
        return ((a + b) * b - a).cast(form).values

    generator = torch.Generator().manual_seed(1)
    a, b = (torch.rand(5, dtype=torch.float64, generator=generator).add(0.5).requires_grad_() for _ in range(2))
    assert torch.autograd.gradcheck(function, (a, b), eps=1e-3, atol=1e-3)

    def quotient(a, b):
        a, b = FixedTensor.of(a, FixedFormat(30, 3, "AP_RND")), FixedTensor.of(b, FixedFormat(20, 3, "AP_RND"))
        return (a / b).values

    assert torch.autograd.gradcheck(quotient, (a, b), eps=1e-3, atol=2e-2)


@pytest.mark.parametrize("overflow", ["AP_SAT", "AP_SAT_SYM"])
@pytest.mark.parametrize("signed", [True, False])
def test_khot_casts_keep_the_range_of_the_format(overflow, signed):
    form = FixedFormat(4, 4, "AP_RND", overflow, signed)
    low, high = form.limits
    allowed = np.array([value for value in range(low, high + 1) if abs(value).bit_count() <= 2])
    x = torch.arange(-20, 20, 0.25)
    found = cast(x, form, 2).numpy()
    assert set(found.tolist()) <= set(allowed.tolist()) | ({-8.0} if low == -8 else set())
    near = np.abs(x.numpy()[:, None] - allowed[np.abs(allowed) < 8 + 8 * (not signed)]).min(1)
    np.testing.assert_allclose(np.abs(found - x.numpy()), near)


def test_khot_words_that_do_not_exist_are_refused():
    for hot in (0, -1, 1.5):
        with pytest.raises(UnsupportedError, match=f"hot={hot}"):
            cast(torch.ones(1), FixedFormat(4, 4, "AP_RND", "AP_SAT"), hot)
    with pytest.raises(UnsupportedError, match="AP_WRAP"):
        cast(torch.ones(1), FixedFormat(4, 4), 2)


def test_a_cast_passes_the_gradient_between_the_outermost_integers():
    x = torch.tensor([-9.0, -2.1, 0.3, 1.7, 9.0], requires_grad=True)
    cast(x, FixedFormat(4, 2, "AP_RND", "AP_SAT")).sum().backward()
    assert x.grad.tolist() == [0, 0, 1, 1, 0]
    x.grad = None
    (-cast(-x, FixedFormat(4, 2, "AP_TRN", "AP_SAT_SYM"))).sum().backward()
    assert x.grad.tolist() == [0, 0, 1, 1, 0]
    x.grad = None
    cast(x, FixedFormat(4, 2, "AP_RND", "AP_WRAP")).sum().backward()
    assert x.grad.tolist() == [1] * 5


def by_frozen_rounding(x, bits, form, at):
    """The cast with its rounding errors frozen at `at` integer bits: smooth in the binary point between the bits."""
    old = cast(x, FixedFormat(form.width, at, form.rounding, form.overflow, form.signed)) / 2.0 ** (at - form.width)
    residual = old - x / 2.0 ** (at - form.width)
    low, high = form.limits
    saturated = ((old == low) | (old == high)) & (form.overflow != "AP_WRAP") & (residual.abs() > 1)
    step = 2.0 ** (bits - form.width)
    return torch.where(saturated, old * step, x + residual * step)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("overflow", OVERFLOWS)
def test_the_gradient_of_the_learned_point_is_that_of_the_step_with_frozen_rounding(rounding, overflow):
    form = FixedFormat(5, 0, rounding, overflow)
    x = torch.randn(200, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) * 3
    x = x[(x.abs() < 2 - 2 * 0.125) | (x.abs() > 2 + 2 * 0.125)]
    bits, weights = torch.tensor(2.0, dtype=torch.float64, requires_grad=True), torch.linspace(-1, 1, len(x)).double()
    (learned_cast(x, bits, form) * weights).sum().backward()
    small = 1e-6
    up, down = ((by_frozen_rounding(x, 2 + sign * small, form, 2) * weights).sum() for sign in (1, -1))
    assert float(bits.grad) == pytest.approx(float(up - down) / (2 * small), rel=1e-6)
    assert (x.abs() > 2).any()


def test_a_point_per_channel_sums_the_gradients_of_its_channel():
    x = torch.randn(3, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    form = FixedFormat(4, 0, "AP_RND", "AP_SAT")
    bits = torch.tensor([[0.0], [1.2], [2.0]], dtype=torch.float64, requires_grad=True)
    found = learned_cast(x, bits, form)
    found.square().sum().backward()
    for row, count in enumerate((0, 1, 2)):
        single = torch.tensor(float(count), dtype=torch.float64, requires_grad=True)
        part = learned_cast(x[row], single, form)
        part.square().sum().backward()
        assert torch.equal(found[row], part) and float(bits.grad[row]) == pytest.approx(float(single.grad))


def test_a_saturating_value_pulls_the_binary_point_up():
    bits = torch.tensor(1.0, requires_grad=True)
    value = learned_cast(torch.tensor([5.0]), bits, FixedFormat(4, 0, "AP_RND", "AP_SAT"))
    (value - 5).square().sum().backward()
    assert float(bits.grad) == pytest.approx(2 * (0.875 - 5) * 0.875 * LN2)
