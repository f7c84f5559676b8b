"""accel.fixedpoint against exact fractions, against LiteRT's kernels and against torch."""

import itertools
import math
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accel import fixedpoint as fp
from accel.errors import ModelError, RangeError

HERE = Path(__file__).resolve().parent


def half_up(x):
    return math.floor(x + Fraction(1, 2))


def half_away(x):
    return math.floor(x + Fraction(1, 2)) if x >= 0 else math.ceil(x - Fraction(1, 2))


def oracle(acc, multiplier, shift, rule, zero_point, qmin, qmax):
    """The contract in exact fractions, written apart from the implementation."""
    if rule == "gemmlowp":
        x = acc * 2 ** max(shift, 0)
        y = half_away(Fraction(half_up(Fraction(x * multiplier, 2**31)), 2 ** max(-shift, 0)))
    else:
        y = (half_up if rule == "half_up" else half_away)(Fraction(acc * multiplier, 2**shift))
    return min(max(y + zero_point, qmin), qmax)


def requantize(acc, multiplier, shift, rule, zero_point, qmin, qmax):
    result = fp.requantize(
        np.array([acc]),
        np.array([multiplier]),
        np.array([shift]),
        rule=rule,
        zero_point=zero_point,
        qmin=qmin,
        qmax=qmax,
    )
    assert result.dtype == np.int64
    return int(result[0])


@pytest.mark.parametrize("rule", fp.RULES)
def test_every_small_case_equals_the_fraction(rule):
    low, high = fp.SHIFT_RANGE[rule]
    for shift in [s for s in (-31, -3, -2, -1, 0, 1, 2, 3, 5, 30, 61, 62) if low <= s <= high]:
        accs = np.arange(-70, 71) if shift <= 28 else np.array([-1, 0, 1])
        for multiplier in (0, 1, 2, 3, 5, 2**30, 2**30 + 1, 2**31 - 1):
            got = fp.requantize(
                accs[:, None],
                np.array([multiplier]),
                np.array([shift]),
                rule=rule,
                zero_point=0,
                qmin=-(2**31),
                qmax=2**31 - 1,
            )[:, 0]
            expected = [oracle(int(acc), multiplier, shift, rule, 0, -(2**31), 2**31 - 1) for acc in accs]
            assert got.tolist() == expected, (rule, shift, multiplier)


@settings(max_examples=400)
@given(st.data())
def test_any_case_equals_the_fraction(data):
    rule = data.draw(st.sampled_from(fp.RULES))
    shift = data.draw(st.integers(*fp.SHIFT_RANGE[rule]))
    room = max(shift, 0) if rule == "gemmlowp" else 0
    low, high = -(2**31) >> room, (2**31 - 1) >> room
    acc = data.draw(st.integers(low, high) | st.sampled_from([low, 0, high]))
    multiplier = data.draw(st.integers(0, 2**31 - 1) | st.sampled_from([0, 1, 2**30, 2**31 - 1]))
    zero_point = data.draw(st.integers(-128, 127))
    qmin, qmax = sorted(data.draw(st.tuples(st.integers(-128, 127), st.integers(-128, 127))))
    case = acc, multiplier, shift, rule, zero_point, qmin, qmax
    assert requantize(*case) == oracle(*case)


@pytest.mark.parametrize(
    ("rule", "acc", "shift", "expected"),
    [
        ("half_up", 1, 1, 1),
        ("half_up", -1, 1, 0),
        ("half_up", -3, 1, -1),
        ("half_up", 3, 1, 2),
        ("half_away", 1, 1, 1),
        ("half_away", -1, 1, -1),
        ("half_away", -3, 1, -2),
        ("half_away", 3, 1, 2),
        ("half_away", -3, 0, -3),
        ("half_up", -3, 0, -3),
    ],
)
def test_ties_of_the_half_rules(rule, acc, shift, expected):
    assert requantize(acc, 1, shift, rule, 0, -128, 127) == expected


def test_gemmlowp_rounds_twice():
    # 2^30 / 2^31 = 1/2: the first rounding sends -3/2 to -1 (up), the second -1/2 to -1 (away from zero).
    assert requantize(-3, 2**30, 0, "gemmlowp", 0, -128, 127) == -1
    assert requantize(-3, 2**30, -1, "gemmlowp", 0, -128, 127) == -1
    assert requantize(-3, 2**30, 32, "half_up", 0, -128, 127) == -1
    assert requantize(1, 2**30, -1, "gemmlowp", 0, -128, 127) == 1
    assert requantize(1, 2**30, 32, "half_up", 0, -128, 127) == 0


def vectors(path):
    with np.load(path) as data:
        return {key: data[key] for key in data.files}


def litert_files():
    """The shipped extract, and the whole set where it is at hand (in $BITLOOM_DATA)."""
    full = Path(os.environ.get("BITLOOM_DATA", "")) / "rounding" / "litert_rounding.npz"
    return [HERE / "data" / "litert_rounding_extract.npz", *([full] if full.is_file() else [])]


@pytest.mark.parametrize("path", litert_files(), ids=lambda path: path.stem)
def test_equals_litert_kernels(path):
    data = vectors(path)
    for kind, rule in (("conv", "gemmlowp"), ("fc", "half_away")):
        split = np.array([fp.quantize_multiplier(scale, rule) for scale in data[f"{kind}/scale"]])
        got = fp.requantize(
            data[f"{kind}/acc"],
            split[:, 0],
            split[:, 1],
            rule=rule,
            zero_point=data[f"{kind}/zero_point"].astype(np.int64),
            qmin=data[f"{kind}/qmin"],
            qmax=data[f"{kind}/qmax"],
        )
        assert len(got) >= 2500
        assert np.count_nonzero(got != data[f"{kind}/y"]) == 0
    got = fp.average(data["avgpool/sum"], data["avgpool/count"])
    assert len(got) == 453
    assert np.count_nonzero(got != data["avgpool/y"]) == 0


def test_the_litert_vectors_tell_the_rules_apart():
    data = vectors(litert_files()[0])
    for kind, right in (("conv", "gemmlowp"), ("fc", "half_away")):
        for rule in set(fp.RULES) - {right}:
            split = np.array([fp.quantize_multiplier(scale, rule) for scale in data[f"{kind}/scale"]])
            got = fp.requantize(
                data[f"{kind}/acc"],
                split[:, 0],
                split[:, 1],
                rule=rule,
                zero_point=data[f"{kind}/zero_point"].astype(np.int64),
                qmin=data[f"{kind}/qmin"],
                qmax=data[f"{kind}/qmax"],
            )
            assert np.count_nonzero(got != data[f"{kind}/y"]) > 0, (kind, rule)


@pytest.mark.parametrize(
    ("acc", "multiplier", "shift", "rule", "text"),
    [
        (2**31, 1, 0, "half_up", "accumulator 2147483648"),
        (-(2**31) - 1, 1, 0, "half_away", "accumulator -2147483649"),
        (2**30, 1, 1, "gemmlowp", "accumulator << exponent 2147483648"),
        (0, 2**31, 0, "half_up", "multiplier 2147483648"),
        (0, -1, 0, "half_up", "multiplier -1"),
        (0, 1, 63, "half_up", "shift 63"),
        (0, 1, -1, "half_away", "shift -1"),
        (0, 1, 31, "gemmlowp", "shift 31"),
        (0, 1, -32, "gemmlowp", "shift -32"),
    ],
)
def test_requantize_refuses_what_is_out_of_range(acc, multiplier, shift, rule, text):
    with pytest.raises(RangeError, match=text):
        requantize(acc, multiplier, shift, rule, 0, -128, 127)


def test_unknown_rule_is_refused():
    with pytest.raises(ModelError, match="'bankers' is unknown"):
        requantize(0, 1, 0, "bankers", 0, -128, 127)
    with pytest.raises(ModelError, match="unknown"):
        fp.quantize_multiplier(0.5, "bankers")


@settings(max_examples=300)
@given(st.floats(2.0**-40, 2.0**29), st.sampled_from(fp.RULES))
def test_multiplier_is_the_nearest_one(real, rule):
    multiplier, shift = fp.quantize_multiplier(real, rule)
    step = Fraction(2) ** (shift - 31 if rule == "gemmlowp" else -shift)
    if rule == "gemmlowp" and multiplier == 0:
        assert real < 2.0**-31
        return
    assert 2**30 <= multiplier < 2**31 or (shift == 62 and rule != "gemmlowp")
    assert abs(Fraction(real) - multiplier * step) <= step / 2


@pytest.mark.parametrize(
    ("real", "rule", "expected"),
    [
        (1.0, "half_up", (2**30, 30)),
        (0.5, "half_away", (2**30, 31)),
        (1.0, "gemmlowp", (2**30, 1)),
        (1 - 2.0**-40, "gemmlowp", (2**30, 1)),
        (1 - 2.0**-40, "half_up", (2**30, 30)),
        (0.0, "half_up", (0, 0)),
        (2.0**-33, "gemmlowp", (0, 0)),
        (2.0**-32, "gemmlowp", (2**30, -31)),
        (2.0**-80, "half_up", (0, 62)),
        (2.0**-61, "half_up", (2, 62)),
        (2.0**30 - 1, "half_up", (2**31 - 2, 1)),
        (2.0**-63, "half_up", (1, 62)),
        (2.0**-40, "half_away", (2**22, 62)),
    ],
)
def test_known_multipliers(real, rule, expected):
    assert fp.quantize_multiplier(real, rule) == expected


@pytest.mark.parametrize(
    ("real", "rule"),
    [
        (-1.0, "half_up"),
        (float("nan"), "half_up"),
        (float("inf"), "gemmlowp"),
        (2.0**31, "half_up"),
        (2.0**30, "gemmlowp"),
    ],
)
def test_bad_multipliers_are_refused(real, rule):
    with pytest.raises(RangeError, match="multiplier"):
        fp.quantize_multiplier(real, rule)


def test_pack_round_trip_of_every_value():
    for bits in (8, 6, 4, 2):
        low, high = fp.qrange(bits)
        values = np.arange(low, high + 1)
        for count in range(1, min(len(values), 9) + 1):
            for start in range(len(values) - count + 1):
                part = values[start : start + count]
                data = fp.pack(part, bits)
                assert data.dtype == np.uint8 and data.shape == (fp.packed_bytes(count, bits),)
                assert fp.unpack(data, bits, count).tolist() == part.tolist()


def test_unpack_of_every_byte_is_inverted_by_pack():
    for bits, count in ((8, 1), (4, 2), (2, 4), (1, 8)):
        data = np.arange(256, dtype=np.uint8)[:, None]
        assert np.array_equal(fp.pack(fp.unpack(data, bits, count), bits), data)
    rng = np.random.default_rng(3)
    data = rng.integers(0, 256, (5000, 3), dtype=np.uint8)
    assert np.array_equal(fp.pack(fp.unpack(data, 6, 4), 6), data)


def test_pack_places_lower_channels_in_lower_bits():
    assert fp.pack([1, -1], 4).tolist() == [0xF1]
    assert fp.pack([1, -1, 0], 4).tolist() == [0xF1, 0x00]
    assert fp.pack([1, 0, -1, -2], 2).tolist() == [0b10_11_00_01]
    assert fp.pack([1, -1, -1, 1, 1], 1).tolist() == [0b11001]
    # Four values of six bits, low value first, are one 24-bit little-endian number.
    word = 1 | (0x3F << 6) | (0x20 << 12) | (0x1F << 18)
    assert fp.pack([1, -1, -32, 31], 6).tolist() == list(word.to_bytes(3, "little"))
    assert fp.pack([1], 6).tolist() == [1]
    assert fp.pack([-128, 127], 8).tolist() == [0x80, 0x7F]


def test_one_bit_pack_of_all_bytes():
    for bits in itertools.product((-1, 1), repeat=8):
        data = fp.pack(np.array(bits), 1)
        assert data[0] == sum(1 << index for index, value in enumerate(bits) if value > 0)


@pytest.mark.parametrize(("value", "bits"), [(128, 8), (-129, 8), (32, 6), (8, 4), (-3, 2), (0, 1), (2, 1)])
def test_pack_refuses_what_does_not_fit(value, bits):
    with pytest.raises(RangeError, match=f"value {value} must be"):
        fp.pack([value], bits)


def test_pack_refuses_other_widths_and_lengths():
    with pytest.raises(ModelError, match="bits=3"):
        fp.pack([0], 3)
    with pytest.raises(ModelError, match="take 2 bytes, not 3"):
        fp.unpack(np.zeros(3, dtype=np.uint8), 4, 3)
    with pytest.raises(ModelError, match="bits=0"):
        fp.qrange(0)


@pytest.mark.parametrize("bits", [1, 4, 8, 16, 32, 64])
def test_wrap_is_modulo(bits):
    rng = np.random.default_rng(bits)
    values = rng.integers(-(2**62), 2**62, 1000)
    for value, got in zip(values.tolist(), fp.wrap(values, bits).tolist(), strict=True):
        assert (value - got) % 2**bits == 0 and -(2 ** (bits - 1)) <= got < 2 ** (bits - 1)


def test_average_of_every_small_sum():
    for count in range(1, 20):
        sums = np.arange(-300, 301)
        assert fp.average(sums, count).tolist() == [half_away(Fraction(int(value), count)) for value in sums]
    with pytest.raises(RangeError, match="count 0"):
        fp.average([1], [0])


def floats(rng, count):
    """float32 numbers of every exponent, and the special ones."""
    numbers = rng.integers(0, 2**32, count, dtype=np.uint64).astype(np.uint32).view(np.float32)
    numbers = numbers[~np.isnan(numbers)]
    special = np.array([0.0, -0.0, np.inf, -np.inf, 1e-45, -1e-45, 3.4e38, -3.4e38], dtype=np.float32)
    return np.concatenate([numbers, special, rng.normal(0, 3, count).astype(np.float32)])


@pytest.mark.parametrize("bits", [8, 6, 4, 2])
def test_quantize_equals_torch(bits):
    rng = np.random.default_rng(bits)
    low, high = fp.qrange(bits)
    for _ in range(20):
        # Scales down to 2^-10: torch's own cast to an integer overflows where x / scale leaves int64.
        scale = float(np.float32(2.0 ** rng.uniform(-10, 10)))
        zero_point = int(rng.integers(low, high + 1))
        ties = (np.arange(-300, 300) + 0.5).astype(np.float32) * np.float32(scale)
        x = np.concatenate([floats(rng, 2000), ties])
        x = x[np.isfinite(x) & (np.abs(x.astype(np.float64)) < 2.0**60 * scale)]
        torch_q = torch.fake_quantize_per_tensor_affine(torch.from_numpy(x), scale, zero_point, low, high)
        steps = np.rint(torch_q.numpy().astype(np.float64) / scale).astype(np.int64) + zero_point
        assert np.array_equal(fp.quantize(x, scale, zero_point, bits), steps)


def test_quantize_equals_the_formula_in_float32():
    rng = np.random.default_rng(9)
    for bits in (8, 4, 2):
        low, high = fp.qrange(bits)
        scale, zero_point = float(rng.uniform(0.001, 2)), int(rng.integers(low, high + 1))
        x = floats(rng, 3000)
        inverse = np.float32(1) / np.float32(scale)
        expected = []
        for value in x:
            with np.errstate(over="ignore"):
                product = np.float32(value) * inverse
            if np.isinf(product):
                expected.append(high if product > 0 else low)
            else:
                expected.append(min(max(round(Fraction(float(product))) + zero_point, low), high))
        assert fp.quantize(x, scale, zero_point, bits).tolist() == expected


def test_quantize_special_values():
    x = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-45], dtype=np.float32)
    assert fp.quantize(x, 0.1, 3, 8).tolist() == [127, -128, 3, 3, 3, 3]
    assert fp.quantize(x, 0.1, 0, 1).tolist() == [1, -1, 1, 1, 1, 1]
    assert fp.quantize(np.array([[1.0, 2.0]]), [0.5, 0.25], 0, 8).tolist() == [[2, 8]]


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf"), 1e-50, 1e-39, 1e300])
def test_quantize_refuses_useless_scales(scale):
    with pytest.raises(RangeError, match="scale"):
        fp.quantize(1.0, scale, 0, 8)
