"""Scales of observed ranges and dequantization: exact float32 steps, checked with rational numbers and torch."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from accel import scale as sc
from accel.errors import ModelError, RangeError
from accel.fixedpoint import qrange, quantize


def to_float32(value):
    """A Fraction rounded to float32, ties to even: float64 first is exact enough only where it is exact."""
    if value == 0:
        return np.float32(0)
    sign, value = (-1 if value < 0 else 1), abs(value)
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    if Fraction(2) ** exponent > value:
        exponent -= 1
    step = Fraction(2) ** (max(exponent, -126) - 23)
    units = round(value / step)  # Python rounds halves to even
    return np.float32(sign * float(units * step))


def ranges(rng):
    """(minimum, maximum) of every kind."""
    for _ in range(300):
        a, b = (rng.uniform(-1, 1, 2) * 2.0 ** rng.uniform(-110, 110, 2)).astype(np.float32)
        yield min(a, b), max(a, b)
    for low, high in ((-1, 1), (0, 6), (2, 3), (-3, -2), (-0.0, 0.0), (np.inf, -np.inf), (-1e-38, 1e-38)):
        yield np.float32(low), np.float32(high)


@pytest.mark.parametrize("bits", [8, 4, 2, 1])
@pytest.mark.parametrize("symmetric", [True, False])
def test_every_step_is_rounded_once(bits, symmetric):
    rng = np.random.default_rng(bits)
    for minimum, maximum in ranges(rng):
        try:
            got = sc.scale_of(minimum, maximum, bits, symmetric)
        except RangeError:
            assert float(maximum) - float(minimum) < 2.0**-117
            continue
        low = Fraction(0) if minimum >= 0 else Fraction(float(minimum))
        high = Fraction(0) if maximum <= 0 else Fraction(float(maximum))
        if symmetric or bits == 1:
            width, steps = max(-low, high), {8: 127, 4: 7, 2: 1, 1: 1}[bits]
        else:
            width, steps = Fraction(float(to_float32(high - low))), {8: 255, 4: 15, 2: 3}[bits]
        want = to_float32(width / steps) if width else np.float32(1)
        assert got.scale == want
        assert got.inv_scale == to_float32(1 / Fraction(float(want)))
        qmin, qmax = qrange(bits)
        if symmetric or bits == 1:
            assert got.zero_point == 0
        else:
            assert got.zero_point == min(qmax, qmin - round(Fraction(float(to_float32(low / Fraction(float(want)))))))
        assert got.scale.dtype == got.inv_scale.dtype == np.float32


def test_affine_scale_is_torchs():
    observer = torch.ao.quantization.MinMaxObserver(dtype=torch.qint8, eps=1e-30)
    rng = np.random.default_rng(4)
    for _ in range(200):
        values = (rng.normal(size=20) * 2.0 ** rng.uniform(-20, 20) + rng.normal()).astype(np.float32)
        observer.reset_min_max_vals()
        observer(torch.from_numpy(values))
        scale, zero_point = observer.calculate_qparams()
        seen = sc.observe(values)
        got = sc.scale_of(seen.minimum, seen.maximum, 8, False)
        assert (float(got.scale), got.zero_point) == (float(scale), int(zero_point))


def test_a_range_of_zeros_or_of_nothing_has_scale_one():
    for seen in (sc.observe([0.0, -0.0]), sc.observe([]), sc.observe([np.nan])):
        assert sc.scale_of(seen.minimum, seen.maximum, 8, True) == (1, 1, 0)
        assert sc.scale_of(seen.minimum, seen.maximum, 8, False) == (1, 1, -128)


def test_the_observer_ignores_nan_and_the_sign_of_zero():
    assert sc.observe([np.nan, -0.0]) == (0, 0, 0, True)
    assert not np.signbit(sc.observe([-0.0]).minimum)
    assert sc.observe([3, -5, np.inf]) == (-5, np.inf, np.inf, False)
    assert sc.observe([]) == (np.inf, -np.inf, 0, False)


@pytest.mark.parametrize(("low", "high"), [(0, np.inf), (-3e38, 3e38), (0, 1e-45), (-1e-40, 0)])
def test_a_range_without_a_scale_is_refused(low, high):
    with pytest.raises(RangeError, match="must be positive and finite"):
        sc.scale_of(low, high, 8, False)


def test_six_bits_are_refused():
    with pytest.raises(ModelError, match="bits=6"):
        sc.scale_of(0, 1, 6, True)


def test_a_range_is_filled_by_its_quantized_ends():
    got = sc.scale_of(-3.7, 9.1, 8, False)
    ends = quantize(np.array([-3.7, 9.1], dtype=np.float32), got.scale, got.zero_point, 8)
    assert ends.tolist() == [-128, 127]


def test_dequantize_rounds_the_integer_then_the_product():
    rng = np.random.default_rng(3)
    for scale in (1.0, 0.1, 3e38, 1e-38, 2.0**-127, 1 / 3):
        q = rng.integers(-(2**31), 2**31, 300)
        got = sc.dequantize(q, scale, 0)
        for value, result in zip(q.tolist(), got, strict=True):
            product = Fraction(float(to_float32(Fraction(value)))) * Fraction(float(np.float32(scale)))
            if abs(product) < 2**127:
                assert result == to_float32(product)
    assert sc.dequantize(127, 3e38, -128) == np.inf
    assert sc.dequantize([-128, 5], 0.5, 5).tolist() == [-66.5, 0]
