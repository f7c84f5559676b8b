"""Fixed-point formats against exact fractions, exhaustively where the words are short."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel.errors import RangeError, UnsupportedError
from quant.qfx.format import OVERFLOWS, ROUNDINGS, FixedFormat, integer_bits_for

MODES = list(itertools.product(ROUNDINGS, OVERFLOWS))


def formats(max_width=20):
    return st.builds(
        FixedFormat,
        st.integers(1, max_width),
        st.integers(-12, 24),
        st.sampled_from(sorted(ROUNDINGS)),
        st.sampled_from(sorted(OVERFLOWS)),
        st.booleans(),
    )


def by_definition(real, form):
    """The integer by looking at all neighbours: an oracle that shares no formula with the code."""
    exact = Fraction(real) / Fraction(2) ** (form.integer_bits - form.width)
    below = math.floor(exact)
    distance = exact - below
    if form.rounding == "AP_TRN":
        integer = below
    elif form.rounding == "AP_TRN_ZERO":
        integer = below + (exact < 0 and distance > 0)
    elif distance == Fraction(1, 2):
        integer = below + 1 if form.rounding == "AP_RND" else below + below % 2
    else:
        integer = below + (distance > Fraction(1, 2))
    low, high = form.limits
    if form.overflow != "AP_WRAP":
        return sorted((low, integer, high))[1]
    while integer > high:
        integer -= 2**form.width
    while integer < low:
        integer += 2**form.width
    return integer


def test_the_numbers_of_the_documentation():
    assert FixedFormat.parse("ap_fixed<8,2>").to_integer(0.3508980572) == 22
    assert FixedFormat.parse("ap_fixed<8,2>").to_real(22) == 0.34375
    assert FixedFormat(8, 1).fraction_bits == 7 and FixedFormat(8, 1).to_integer(0.3) == 38
    assert FixedFormat.from_q("Q3.4").to_real(0b00110100) == 3.25


@pytest.mark.parametrize(("rounding", "overflow"), MODES)
@pytest.mark.parametrize("signed", [True, False])
def test_every_short_format_rounds_every_quarter_step(rounding, overflow, signed):
    for width, integer_bits in itertools.product(range(1, 5), (-1, 0, 2, 5)):
        form = FixedFormat(width, integer_bits, rounding, overflow, signed)
        reals = [Fraction(quarter, 4) * Fraction(form.step) for quarter in range(-4 * 20, 4 * 20 + 1)]
        wanted = [by_definition(real, form) for real in reals]
        assert [form.to_integer(real) for real in reals] == wanted, form
        assert form.to_integer(np.array([float(real) for real in reals])).tolist() == wanted, form


@given(formats(), st.floats(-1e9, 1e9))
def test_any_float_becomes_the_integer_of_the_definition(form, real):
    if abs(real) * 2.0**form.fraction_bits > 2.0 ** (form.width + 8):
        real = math.fmod(real, form.step * 2**form.width)
    wanted = by_definition(real, form)
    assert form.to_integer(real) == wanted
    assert form.to_integer(np.array([real, 0.0])).tolist() == [wanted, 0]


@given(formats(), st.floats(allow_nan=False, allow_infinity=False))
def test_arrays_and_numbers_agree_for_every_finite_float(form, real):
    assert form.to_integer(np.array([real]))[0] == form.to_integer(real)


@pytest.mark.parametrize("value", [0.49999999999999994, -0.5000000000000001, 4503599627370495.5, -1e-300, 5e-324])
def test_the_floats_where_adding_a_half_would_round_twice(value):
    form = FixedFormat(53, 53, "AP_RND", "AP_SAT")
    assert form.to_integer(np.array([value]))[0] == by_definition(value, form)


@given(formats())
def test_a_type_comes_back_from_its_text(form):
    assert FixedFormat.parse(str(form)) == form
    again = FixedFormat.from_q(form.q_notation, form.rounding, form.overflow)
    assert again == form


def test_the_text_is_the_type_that_hls_knows():
    assert str(FixedFormat(8, 2)) == "ap_fixed<8,2>"
    assert str(FixedFormat(8, 0, "AP_RND", "AP_SAT", signed=False)) == "ap_ufixed<8,0,AP_RND,AP_SAT>"
    assert FixedFormat.parse(" ap_fixed < 8 , -2 , AP_RND > ") == FixedFormat(8, -2, "AP_RND")
    assert FixedFormat(8, 4).q_notation == "Q3.4" and FixedFormat(8, 4, signed=False).q_notation == "UQ4.4"


def test_a_symmetric_range_leaves_out_the_lowest_integer():
    form = FixedFormat.parse("ap_fixed<4,4,AP_RND,AP_SAT_SYM>")
    assert form.limits == (-7, 7) and form.to_integer(-9.0) == -7 and form.to_integer(np.array([-9.0]))[0] == -7
    assert FixedFormat(4, 4, "AP_RND", "AP_SAT_SYM", signed=False).limits == (0, 15)


@given(formats(), st.data())
def test_a_value_of_the_format_is_its_own_nearest(form, data):
    low, high = form.limits
    integer = data.draw(st.integers(low, high))
    assert form.to_integer(form.to_real(integer)) == integer
    assert form.nearest(form.to_real(integer)) == form.to_real(integer)
    assert form.to_real(np.array([integer]))[0] == form.to_real(integer)


@pytest.mark.parametrize("signs", list(itertools.product([True, False], repeat=2)))
def test_result_types_hold_every_result_and_no_bit_of_the_sum_is_spare(signs):
    for sizes in itertools.product(range(1, 4), (-1, 0, 2), range(1, 4), (-1, 1, 4)):
        first, second = FixedFormat(*sizes[:2], signed=signs[0]), FixedFormat(*sizes[2:], signed=signs[1])
        pairs = list(itertools.product(values(first), values(second)))
        for kind, results in (
            ("add", [a + b for a, b in pairs]),
            ("subtract", [a - b for a, b in pairs]),
            ("multiply", [a * b for a, b in pairs]),
        ):
            form = getattr(first, f"{kind}_type")(second)
            for result in results:
                assert Fraction(form.nearest(result)) == result, (kind, first, second, result)
        form = first.divide_type(second)
        for a, b in pairs:
            if b:
                steps = math.trunc(a / b / Fraction(form.step))
                assert form.to_integer(steps * Fraction(form.step)) == steps, (first, second, a, b)


def values(form):
    low, high = form.limits
    return [integer * Fraction(form.step) for integer in range(low, high + 1)]


def test_result_types_are_those_of_the_hls_operators():
    """Example of the user guide: ap_fixed<5,2> + ap_fixed<75,62> is ap_fixed<76,63>."""
    assert FixedFormat(5, 2).add_type(FixedFormat(75, 62)) == FixedFormat(76, 63)
    assert FixedFormat(8, 2).multiply_type(FixedFormat(6, 3, signed=False)) == FixedFormat(14, 5)
    assert FixedFormat(8, 2).subtract_type(FixedFormat(8, 2)) == FixedFormat(9, 3)
    assert FixedFormat(8, 2, signed=False).subtract_type(FixedFormat(8, 2, signed=False)) == FixedFormat(9, 3)
    assert FixedFormat(8, 2).add_type(FixedFormat(8, 2, signed=False)) == FixedFormat(10, 4)
    assert FixedFormat(8, 2).divide_type(FixedFormat(6, 3)) == FixedFormat(12, 6)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.integers(1, 16), st.booleans())
def test_integer_bits_for_a_range_are_enough_and_one_less_is_not(first, second, width, signed):
    low, high = sorted((first, second))
    if not signed:
        low, high = abs(low) * 0, abs(high)
    if width == 1 and signed and high > 0:
        return
    bits = integer_bits_for(low, high, width, signed)

    def overflows(count):
        form = FixedFormat(width, count, "AP_RND", "AP_SAT", signed)
        above, below = high - form.nearest(high), form.nearest(low) - low
        return above >= form.step / 2 or below > form.step / 2

    assert not overflows(bits)
    if max(abs(low), abs(high)) > 1e-20:
        assert overflows(bits - 1)


@pytest.mark.parametrize("text", ["ap_fixed<8>", "ap_int<8>", "ap_fixed<8,x>", "fixed<8,2>", "ap_fixed<8,2,Q,O,1>", ""])
def test_text_that_is_no_type_is_refused(text):
    with pytest.raises(UnsupportedError, match="no fixed-point type"):
        FixedFormat.parse(text)


def test_the_widest_words_and_farthest_points_convert():
    wide = FixedFormat(1024, 1000, signed=False)
    assert wide.to_real((1 << 1024) - 1) == 2.0**1000 and wide.to_integer(2.0**999) == 1 << 1023
    assert FixedFormat(8, -900).step == 2.0**-908 and FixedFormat(8, 1000).step == 2.0**992


def test_what_a_format_cannot_be_is_named():
    with pytest.raises(UnsupportedError, match="AP_RND_INF"):
        FixedFormat(8, 2, "AP_RND_INF")
    with pytest.raises(UnsupportedError, match="AP_SAT_ZERO"):
        FixedFormat.parse("ap_fixed<8,2,AP_RND,AP_SAT_ZERO>")
    with pytest.raises(UnsupportedError, match="'3.4' is no Q format"):
        FixedFormat.from_q("3.4")
    with pytest.raises(RangeError, match="0 bits"):
        FixedFormat(0, 0)
    for sizes in ((8.5, 2), (8, 2.0)):
        with pytest.raises(RangeError, match="whole number"):
            FixedFormat(*sizes)
    with pytest.raises(RangeError, match="binary point"):
        FixedFormat(8, 1001)
    with pytest.raises(RangeError, match="128"):
        FixedFormat(8, 2).to_real(128)
    with pytest.raises(RangeError, match="-1"):
        FixedFormat(8, 2, signed=False).to_real(np.array([-1, 3]))
    for bad in (math.nan, math.inf, np.array([1.0, math.nan])):
        with pytest.raises(RangeError, match="finite"):
            FixedFormat(8, 2).to_integer(bad)
    with pytest.raises(UnsupportedError, match="53 bits"):
        FixedFormat(60, 2).to_integer(np.zeros(3))
