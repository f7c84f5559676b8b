"""The arithmetic of Bitloom: ranges, rounding, requantization, packing. Numpy int64, exact to the bit.

Compiler, hardware and every other reference are compared with this file. `docs/numerics.md` explains the
rules; nothing here depends on a graph or on a hardware size.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from accel.checks import shorten
from accel.errors import ModelError, RangeError
from accel.names import RULES, WEIGHT_BITS

if TYPE_CHECKING:
    from typing import SupportsFloat

    from numpy.typing import ArrayLike

    from accel.types import Bytes, Floats, Ints

MULTIPLIER_MAX = 2**31 - 1
SHIFT_RANGE = {"half_up": (0, 62), "half_away": (0, 62), "gemmlowp": (-31, 30)}
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1


def qrange(bits: int) -> tuple[int, int]:
    """(qmin, qmax) of a signed integer of `bits` bits; 1 bit holds -1 and +1."""
    if not 1 <= bits <= 32:
        raise ModelError(f"bits={bits} must lie in 1..32")
    if bits == 1:
        return -1, 1
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def saturate(x: ArrayLike, qmin: int, qmax: int) -> Ints:
    """x limited to [qmin, qmax], as int64."""
    return np.clip(np.asarray(x, dtype=np.int64), qmin, qmax)


def wrap(x: ArrayLike, bits: int) -> Ints:
    """x modulo 2^bits, read as two's complement: what an accumulator of `bits` bits holds."""
    x = np.asarray(x, dtype=np.int64)
    if bits >= 64:
        return x
    return (x << (64 - bits)) >> (64 - bits)


def inverse_scale(scale: ArrayLike) -> Floats:
    """float32(1) / float32(scale): the factor of the quantizer.

    Raises RangeError where the scale or its inverse is not a positive finite float32.
    """
    scale = np.asarray(scale, dtype=np.float64)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        inverse = np.float32(1) / scale.astype(np.float32)
    bad = ~((scale > 0) & np.isfinite(inverse) & (inverse > 0))
    if np.any(bad):
        value = float(scale[bad].ravel()[0])
        raise RangeError(f"scale {value!r} must be positive and finite in float32, and so must its inverse")
    return inverse


def quantize(x: ArrayLike, scale: ArrayLike, zero_point: ArrayLike, bits: int) -> Ints:
    """saturate(round_half_even(x * inv_scale) + zero_point), computed in float32.

    `scale` and `zero_point` broadcast against x. One bit is sign(x) with sign(+-0) = +1. Infinities saturate;
    NaN gives zero_point (the hardware quantizer raises its status flag as well).
    """
    x = np.asarray(x, dtype=np.float32)
    if bits == 1:
        return np.where(x < 0, np.int64(-1), np.int64(1))
    qmin, qmax = qrange(bits)
    with np.errstate(over="ignore", invalid="ignore"):
        steps = np.rint(x * inverse_scale(scale))
    # Clipped to four times the range, where every value saturates, so that the cast to int64 is exact.
    limit = float(2 ** (bits + 2))
    steps = np.clip(np.where(np.isnan(steps), np.float32(0), steps), -limit, limit)
    return saturate(steps.astype(np.int64) + np.asarray(zero_point, dtype=np.int64), qmin, qmax)


def _shift_round_half_up(product: Ints, shift: Ints | np.int64) -> Ints:
    """floor(product / 2^shift + 1/2); shift 0 changes nothing."""
    half = np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), 0)
    return (product + half) >> shift


def _shift_round_half_away(product: Ints, shift: Ints) -> Ints:
    """product / 2^shift rounded to nearest, ties away from zero; shift 0 changes nothing."""
    half = np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), 0)
    return (product + half - ((product < 0) & (shift > 0))) >> shift


def check_multiplier(multiplier: Ints, shift: Ints, rule: str) -> None:
    """Raise RangeError unless multiplier and shift lie in the ranges of the rule."""
    if rule not in RULES:
        raise ModelError(f"rounding rule {shorten(rule)} is unknown; choose one of {', '.join(RULES)}")
    low, high = SHIFT_RANGE[rule]
    limits = ("multiplier", multiplier, 0, MULTIPLIER_MAX), ("shift", shift, low, high)
    for name, values, minimum, maximum in limits:
        bad = (values < minimum) | (values > maximum)
        if np.any(bad):
            raise RangeError(f"{name} {int(values[bad].ravel()[0])} must lie in {minimum}..{maximum} for rule {rule}")


def requantize(
    acc: ArrayLike, multiplier: ArrayLike, shift: ArrayLike, *, rule: str, zero_point: ArrayLike, qmin: int, qmax: int
) -> Ints:
    """saturate(zero_point + R(acc)) with one multiplier and shift per output channel (the last axis of acc).

    half_up:   R = (acc * m + 2^(s-1)) >> s, no rounding term at s = 0.
    half_away: R = acc * m / 2^s, rounded once to nearest, ties away from zero.
    gemmlowp:  shift is an exponent e; x = acc << max(e, 0); t = (x * m + 2^30) >> 31;
               R = t / 2^max(-e, 0), rounded to nearest, ties away from zero.
    No int64 overflows: |acc| <= 2^31 and m < 2^31 give a product below 2^62, the rounding term
    is at most 2^61.
    Raises RangeError where acc, or acc << e, leaves int32.
    """
    acc = np.asarray(acc, dtype=np.int64)
    multiplier = np.asarray(multiplier, dtype=np.int64)
    shift = np.asarray(shift, dtype=np.int64)
    check_multiplier(multiplier, shift, rule)
    _check_int32(acc, "accumulator")
    if rule == "half_up":
        y = _shift_round_half_up(acc * multiplier, shift)
    elif rule == "half_away":
        y = _shift_round_half_away(acc * multiplier, shift)
    else:
        shifted = acc << np.maximum(shift, 0)
        _check_int32(shifted, "accumulator << exponent")
        high = _shift_round_half_up(shifted * multiplier, np.int64(31))
        y = _shift_round_half_away(high, np.maximum(-shift, 0))
    return saturate(saturate(y, INT32_MIN, INT32_MAX) + np.asarray(zero_point, dtype=np.int64), qmin, qmax)


def threshold(acc: ArrayLike, level: ArrayLike, invert: ArrayLike) -> Ints:
    """+1 where (acc >= level) xor invert, else -1; one level and flag per output channel (the last axis of acc)."""
    above = np.asarray(acc, dtype=np.int64) >= np.asarray(level, dtype=np.int64)
    return np.where(above ^ np.asarray(invert, dtype=bool), np.int64(1), np.int64(-1))


def _check_int32(values: Ints, name: str) -> None:
    if values.size and (values.min() < INT32_MIN or values.max() > INT32_MAX):
        worst = int(values.max()) if values.max() > INT32_MAX else int(values.min())
        raise RangeError(
            f"{name} {worst} does not fit int32; use smaller weights, a smaller bias or fewer input channels"
        )


def quantize_multiplier(real: SupportsFloat, rule: str) -> tuple[int, int]:
    """Split a real multiplier into (m, shift) as TensorFlow Lite does: frexp, round half away, carry.

    half_up and half_away: real is about m / 2^shift; gemmlowp: real is about m * 2^(shift - 31).
    Too small a value is rounded to the smallest step (half rules) or becomes m = 0 (gemmlowp).
    Raises RangeError for a negative, NaN, infinite or too large value.
    """
    if rule not in RULES:
        raise ModelError(f"rounding rule {shorten(rule)} is unknown; choose one of {', '.join(RULES)}")
    real = float(real)
    if not (math.isfinite(real) and real >= 0):
        raise RangeError(f"multiplier {real!r} must be finite and not negative")
    if real == 0:
        return 0, 0
    mantissa, exponent = math.frexp(real)
    multiplier = math.floor(mantissa * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier, exponent = 2**30, exponent + 1
    low, high = SHIFT_RANGE[rule]
    if rule == "gemmlowp":
        if exponent > high:
            raise RangeError(f"multiplier {real!r} is too large for rule {rule}: it must be below 2^{high}")
        return (multiplier, exponent) if exponent >= low else (0, 0)
    shift = 31 - exponent
    if shift < low:
        raise RangeError(f"multiplier {real!r} is too large for rule {rule}: it must be below 2^31")
    if shift > high:
        return math.floor(math.ldexp(real, high) + 0.5), high
    return multiplier, shift


def average(total: ArrayLike, count: ArrayLike) -> Ints:
    """total / count rounded to nearest, ties away from zero, on the stored integers (average pool)."""
    total = np.asarray(total, dtype=np.int64)
    count = np.asarray(count, dtype=np.int64)
    if np.any(count <= 0):
        raise RangeError(f"count {int(count.min())} of an average must be positive")
    magnitude = (2 * np.abs(total) + count) // (2 * count)
    return np.where(total < 0, -magnitude, magnitude)


def packed_bytes(count: int, bits: int) -> int:
    """Bytes that `count` packed values of `bits` bits take: whole bytes, 4 values of 6 bits in 3 bytes."""
    return (count * bits + 7) // 8


def _check_pack_bits(bits: int) -> None:
    if bits not in WEIGHT_BITS:
        raise ModelError(f"bits={bits} cannot be packed; choose one of {', '.join(map(str, WEIGHT_BITS))}")


def pack(values: ArrayLike, bits: int) -> Bytes:
    """Pack the last axis of `values` into little-endian bytes: uint8[..., packed_bytes(count, bits)].

    Lower channels sit in lower bits, the bits behind the last channel are 0; one-bit values are -1 and +1,
    bit 1 means +1. Raises RangeError for a value that `bits` bits cannot hold.
    """
    _check_pack_bits(bits)
    values = np.asarray(values, dtype=np.int64)
    qmin, qmax = qrange(bits)
    bad = (values < qmin) | (values > qmax) | ((values == 0) & (bits == 1))
    if np.any(bad):
        allowed = "-1 or +1" if bits == 1 else f"in {qmin}..{qmax}"
        raise RangeError(f"value {int(values[bad].ravel()[0])} must be {allowed} to be stored in {bits} bits")
    if bits == 8:
        return values.astype(np.uint8)
    codes = (values > 0).astype(np.uint8) if bits == 1 else (values & (2**bits - 1)).astype(np.uint8)
    count = values.shape[-1]
    stream = (codes[..., None] >> np.arange(bits, dtype=np.uint8)) & 1
    stream = stream.reshape(*values.shape[:-1], count * bits)
    return np.packbits(stream, axis=-1, bitorder="little")


def unpack(data: ArrayLike, bits: int, count: int) -> Ints:
    """The inverse of `pack`: int64[..., count] from uint8[..., packed_bytes(count, bits)].

    Raises ModelError where the last axis has another length. Pad bits are ignored.
    """
    _check_pack_bits(bits)
    data = np.asarray(data, dtype=np.uint8)
    expected = packed_bytes(count, bits)
    if data.shape[-1] != expected:
        raise ModelError(f"{count} values of {bits} bits take {expected} bytes, not {data.shape[-1]}")
    if bits == 8:
        return data.view(np.int8).astype(np.int64)
    # In bytes up to the last step: one of int64 for every bit would take gigabytes for a large layer.
    stream = np.unpackbits(data, axis=-1, count=count * bits, bitorder="little")
    if bits == 1:
        return 2 * stream.astype(np.int64) - 1
    codes = np.packbits(stream.reshape(*data.shape[:-1], count, bits), axis=-1, bitorder="little")[..., 0]
    sign = np.uint8(2 ** (bits - 1))
    return ((codes ^ sign) - sign).view(np.int8).astype(np.int64)


def approximate_product(a: ArrayLike, b: ArrayLike) -> Ints:
    """What the approximate multiplier makes of integers of any width: a * b + APPROXIMATE_ERRORS[a mod 8, b mod 8].

    The six partial products of weight 1, 2 and 4 are left out; one bit of weight 8 takes their place where one of the
    three of weight 4 is set. Every product is a multiple of 8; one with 0 is exact.
    """
    a, b = np.asarray(a, dtype=np.int64), np.asarray(b, dtype=np.int64)
    return a * b + APPROXIMATE_ERRORS[a & 7, b & 7]


def _approximate_errors() -> Ints:
    a, b = np.divmod(np.arange(64).reshape(8, 8), 8)
    (a0, a1, a2), (b0, b1, b2) = [[value >> bit & 1 for bit in range(3)] for value in (a, b)]
    left_out = a0 * b0 + 2 * (a0 * b1 + a1 * b0) + 4 * (a0 * b2 + a1 * b1 + a2 * b0)
    return 8 * (a0 & b2 | a1 & b1 | a2 & b0) - left_out


APPROXIMATE_ERRORS = _approximate_errors()  # approximate minus exact product, by the operands' low three bits
