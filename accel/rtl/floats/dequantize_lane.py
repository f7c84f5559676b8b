"""One integer to float32: scale * (value - zero_point), exactly as float32 arithmetic does it."""

from myhdl import Signal, always, always_comb, concat, intbv, modbv

from accel.rtl.floats.mantissa_multiplier import (
    MANTISSA_MULTIPLIER_LATENCY,
    ROUND_PRODUCT_LATENCY,
    mantissa_multiplier,
    round_product,
)
from accel.rtl.parts.delay import delay
from accel.rtl.parts.module import module, unused

INTEGER_TO_FLOAT_LATENCY = 7
DEQUANTIZE_LANE_LATENCY = INTEGER_TO_FLOAT_LATENCY + MANTISSA_MULTIPLIER_LATENCY + ROUND_PRODUCT_LATENCY + 1


def _signed(bits):
    return Signal(intbv(0, min=-(2 ** (bits - 1)), max=2 ** (bits - 1)))


def _word(bits):
    return Signal(intbv(0)[bits:])


@module
def integer_to_float(clk, value, zero_point, rounded, zeros, sign):
    """value - zero_point as rounded * 2^(8 - zeros), negative with sign; rounded to 24 bits, ties to even.

    value: 32 bits, zero_point: 8 bits, both two's complement. sign: two cycles behind value.
    rounded: 25 bits, 2^23 .. 2^24, or 0 for 0.
    zeros: of the difference's magnitude in 32 bits, in front of its leading one (31 for 0).
    Latency INTEGER_TO_FLOAT_LATENCY (7), a value a cycle, no stall.
    """
    signed_value, signed_zero, difference = _signed(32), _signed(8), _signed(33)
    bits, magnitude, by_16, by_8, by_4, by_2 = [_word(32) for _ in range(6)]
    shifted, normal = [_word(32) for _ in range(2)]
    zeros_3 = Signal(bool(0))
    zeros_4, zeros_5, zeros_6, fine = [_word(n) for n in (2, 3, 5, 2)]
    mantissa = _word(24)
    negative, up, none_16, none_8, none_4 = [Signal(bool(0)) for _ in range(5)]

    @always_comb
    def read():
        signed_value.next = value[32:].signed()
        signed_zero.next = zero_point[8:].signed()

    @always_comb
    def split():
        negative.next = difference < 0
        bits.next = difference[32:]

    @always(clk.posedge)
    def measure():
        difference.next = signed_value - signed_zero
        # |difference| <= 2^31 + 128 fits 32 bits.
        if negative:
            magnitude.next = ~bits + 1
        else:
            magnitude.next = bits
        sign.next = negative

    @always_comb
    def look():
        none_16.next = magnitude[32:16] == 0
        none_8.next = by_16[32:24] == 0
        none_4.next = by_8[32:28] == 0

    @always(clk.posedge)
    def shift():
        zeros_3.next = none_16
        by_16.next = magnitude
        if none_16:
            by_16.next[32:16] = magnitude[16:]
            by_16.next[16:] = 0
        zeros_4.next = concat(zeros_3, none_8)
        by_8.next = by_16
        if none_8:
            by_8.next[32:8] = by_16[24:]
            by_8.next[8:] = 0
        zeros_5.next = concat(zeros_4, none_4)
        by_4.next = by_8
        if none_4:
            by_4.next[32:4] = by_8[28:]
            by_4.next[4:] = 0
        zeros_6.next = concat(zeros_5, fine)
        normal.next = shifted

    @always_comb
    def find():
        if by_4[31]:
            fine.next = 0
        elif by_4[30]:
            fine.next = 1
        elif by_4[29]:
            fine.next = 2
        else:
            fine.next = 3

    @always_comb
    def shift_fine():
        shifted.next = by_4
        if fine == 1:
            shifted.next[32:1] = by_4[31:]
            shifted.next[1:] = 0
        elif fine == 2:
            shifted.next[32:2] = by_4[30:]
            shifted.next[2:] = 0
        elif fine == 3:
            shifted.next[32:3] = by_4[29:]
            shifted.next[3:] = 0

    @always_comb
    def decide():
        mantissa.next = normal[32:8]
        up.next = normal[7] and (normal[7:] != 0 or normal[8])

    @always(clk.posedge)
    def add():
        zeros.next = zeros_6
        rounded.next = mantissa + up

    return read, split, measure, look, shift, find, shift_fine, decide, add


@module
def dequantize_lane(clk, value, scale, zero_point, x):
    """x = float32(value - zero_point) * scale, both rounded to nearest, ties to even, in float32.

    value: 32 bits, zero_point: 8 bits, both two's complement. scale: bits of a positive float32 from 2^-128 up, so
    that its inverse is finite; it may be subnormal. Scale and zero point are constant while a value is under way.
    x: float32 bits; a product too large is infinite, a small one may be subnormal.

    The scale has at most two zeros in front of its mantissa's leading one, so the product at most three; they are
    skipped as far as the exponent allows, which leaves a subnormal result in place.
    Latency DEQUANTIZE_LANE_LATENCY (14), a value a cycle, no stall.
    """
    unused(scale, 32, 31)
    whole, rounded = [_word(25) for _ in range(2)]
    integer_mantissa, scale_mantissa = [_word(24) for _ in range(2)]
    zeros = _word(5)
    scale_exponent = _word(8)
    total_8, total_13, exponent = [Signal(modbv(0)[9:]) for _ in range(3)]  # exponent of a product whose bit 47 is set
    limit_9, limit_11 = [_word(2) for _ in range(2)]
    no_shift, skipped = [_word(4) for _ in range(2)]
    high = _word(31)
    sign_2, sign_13, sticky, hidden, lowest, top, top_13, subnormal = [Signal(bool(0)) for _ in range(8)]

    @always_comb
    def classify():
        subnormal.next = scale[31:23] == 0
        top.next = whole[24] or whole[23]

    @always_comb
    def complete():
        hidden.next = not subnormal
        lowest.next = scale[23] or subnormal

    @always_comb
    def unpack():
        integer_mantissa.next = concat(top, whole[23:])
        scale_mantissa.next = concat(hidden, scale[23:])
        scale_exponent.next = concat(scale[31:24], lowest)

    @always(clk.posedge)
    def place():
        if whole[24]:
            total_8.next = scale_exponent + 33 - zeros
        else:
            total_8.next = scale_exponent + 32 - zeros
        limit_9.next = 3
        if total_8 == 2:  # the smallest there is
            limit_9.next = 1
        elif total_8 == 3:
            limit_9.next = 2

    @always_comb
    def find_exponent():
        if rounded[24]:
            exponent.next = total_13 + 1 - skipped
        else:
            exponent.next = total_13 - skipped

    @always(clk.posedge)
    def join():
        x.next = concat(sign_13, exponent[8:], rounded[23:])
        if not top_13:
            x.next[31:23] = 0
        elif exponent >= 255:
            x.next[31:23] = 255
            x.next[23:] = 0

    @always_comb
    def look():
        top_13.next = rounded[24] or rounded[23]

    convert = integer_to_float(clk, value, zero_point, whole, zeros, sign_2)
    multiply = mantissa_multiplier(clk, integer_mantissa, scale_mantissa, high, sticky)
    wait_limit = delay(clk, limit_9, limit_11, cycles=2)
    wait_total = delay(clk, total_8, total_13, cycles=5)
    round_float = round_product(clk, high, sticky, no_shift, limit_11, rounded, skipped)
    wait_sign = delay(clk, sign_2, sign_13, cycles=DEQUANTIZE_LANE_LATENCY - 3)

    return (
        classify,
        complete,
        unpack,
        place,
        find_exponent,
        join,
        look,
        convert,
        multiply,
        wait_limit,
        wait_total,
        round_float,
        wait_sign,
    )
