"""One float32 value to an integer of 8, 4, 2 or 1 bits, exactly as float32 arithmetic does it."""

from myhdl import Signal, always, always_comb, concat, intbv, modbv

from accel.rtl.floats.mantissa_multiplier import (
    MANTISSA_MULTIPLIER_LATENCY,
    ROUND_PRODUCT_LATENCY,
    mantissa_multiplier,
    round_product,
)
from accel.rtl.parts.delay import delay
from accel.rtl.parts.module import module, unused

ROUND_INTEGER_LATENCY = 4
QUANTIZE_LANE_LATENCY = MANTISSA_MULTIPLIER_LATENCY + ROUND_PRODUCT_LATENCY + ROUND_INTEGER_LATENCY
NAN_LATENCY = 1


def _bools(count):
    return [Signal(bool(0)) for _ in range(count)]


@module
def round_integer(clk, rounded, shift, over, empty, sign_late, negative_late, zero_point, code, q):
    """q = saturate(zero_point +- rounded / 2^(15 + shift) to nearest, ties to even).

    rounded: 25 bits. shift: 4 bits, from 10 up the quotient is 0. over: the value is beyond the range; empty: it is 0.
    sign_late: the value is negative, two cycles behind rounded; negative_late: 1 bit gives 0, three cycles behind.
    zero_point, code, q: as at quantize_lane.
    Latency ROUND_INTEGER_LATENCY (4), a value a cycle, no stall.
    """
    coarse, coarse_1, fine = [Signal(intbv(0)[11:]) for _ in range(3)]
    fine_1 = Signal(intbv(0)[2:])
    whole = Signal(intbv(0)[10:])
    flipped = Signal(intbv(0)[10:])
    addend, zero = [Signal(intbv(0)[12:]) for _ in range(2)]  # bit 0 carries in
    total = Signal(modbv(0)[12:])
    value = Signal(intbv(0)[11:])
    unused(total, 1, 0)
    unused(value, 10, 8)
    result = Signal(intbv(0)[8:])
    lost, lost_1, lost_2, over_1, increment, carry, over_8, over_4, over_2 = _bools(9)

    @always_comb
    def shift_4():
        coarse.next = 0
        lost.next = False
        if not empty:
            if shift[4:2] == 0:
                coarse.next = rounded[25:14]
                lost.next = rounded[14:] != 0
            elif shift[4:2] == 1:
                coarse.next = rounded[25:18]
                lost.next = rounded[18:] != 0
            elif shift[4:1] == 4:
                coarse.next = rounded[25:22]
                lost.next = rounded[22:] != 0

    @always(clk.posedge)
    def hold():
        coarse_1.next = coarse
        lost_1.next = lost
        fine_1.next = shift[2:]
        over_1.next = over

    @always_comb
    def shift_1():
        if fine_1 == 0:
            fine.next = coarse_1
            lost_2.next = lost_1
        elif fine_1 == 1:
            fine.next = coarse_1[11:1]
            lost_2.next = lost_1 or coarse_1[0]
        elif fine_1 == 2:
            fine.next = coarse_1[11:2]
            lost_2.next = lost_1 or coarse_1[2:] != 0
        else:
            fine.next = coarse_1[11:3]
            lost_2.next = lost_1 or coarse_1[3:] != 0

    @always(clk.posedge)
    def cut():
        if over_1:
            whole.next = 512
            increment.next = False
        else:
            whole.next = fine[11:1]
            increment.next = fine[0] and (lost_2 or fine[1])

    @always_comb
    def negate():
        zero.next = concat(zero_point[7], zero_point[7], zero_point[7], zero_point, True)
        flipped.next = ~whole
        carry.next = increment != sign_late

    @always_comb
    def choose():
        if sign_late:
            addend.next = concat(True, flipped, carry)
        else:
            addend.next = concat(False, whole, carry)

    @always(clk.posedge)
    def add():
        total.next = addend + zero

    @always_comb
    def check():
        value.next = total[12:1]
        over_8.next = total[12:8] != 0 and total[12:8] != 15

    @always_comb
    def check_narrow():
        over_4.next = over_8 or (value[8:3] != 0 and value[8:3] != 31)
        over_2.next = over_8 or (value[8:1] != 0 and value[8:1] != 127)

    @always_comb
    def limit():
        result.next = value[8:]
        if code == 0:
            if over_8:
                result.next = 127
                if value[10]:
                    result.next = 128
        elif code == 1:
            if over_4:
                result.next = 7
                if value[10]:
                    result.next = 8
        elif code == 2:
            if over_2:
                result.next = 1
                if value[10]:
                    result.next = 2
        else:
            result.next = 1
            if negative_late:
                result.next = 0

    @always(clk.posedge)
    def present():
        q.next = result

    return shift_4, hold, shift_1, cut, negate, choose, add, check, check_narrow, limit, present


@module
def quantize_lane(clk, x, inv_scale, zero_point, code, q, nan):
    """q = saturate(round_half_even(x * inv_scale) + zero_point), the product rounded to float32 (half even) first.

    x: float32 bits. inv_scale: bits of a positive finite float32, subnormal or not. zero_point: 8 bits two's
    complement. code: 0, 1, 2, 3 for 8, 4, 2, 1 bits. These three are constant while a value is under way.
    q: two's complement in its low 8, 4 or 2 bits; for 1 bit the lowest: 0 where x < 0, else 1. Higher bits mean
    nothing. Infinities saturate, NaN gives zero_point (1 bit: 1). nan: x was NaN, NAN_LATENCY (1) cycle behind x.

    A product p of mantissas and a sum e of biased exponents stand for p * 2^(e - 300). The leading one of p is at bit
    46 or 47 where x and inv_scale are normal. Where one of them is subnormal, e <= 255: then a value of 0.5 or more has
    its leading one at bit 44 or above, and what lies below rounds to 0. So four positions of the leading one count.
    Rounded to 24 bits, r * 2^-(15 + shift) with shift = 261 - e + zeros in front of the leading one is the value: it
    saturates where 261 - e < 0 (512 and more) and gives 0 from shift 10 on (at most 0.5, and a tie goes to 0).
    Latency QUANTIZE_LANE_LATENCY (10), a value a cycle, no stall.
    """
    unused(inv_scale, 32, 31)
    mantissa, inv_mantissa = [Signal(intbv(0)[24:]) for _ in range(2)]
    exponent, inv_exponent = [Signal(intbv(0)[8:]) for _ in range(2)]
    total_1 = Signal(intbv(0)[10:])
    difference_2 = Signal(modbv(0)[10:])
    shift_3, shift_4, shift_6 = [Signal(intbv(0)[4:]) for _ in range(3)]
    flags_3, flags_6 = [Signal(intbv(0)[2:]) for _ in range(2)]
    any_zeros = Signal(intbv(3)[2:])  # constant
    high = Signal(intbv(0)[31:])
    rounded = Signal(intbv(0)[25:])
    (
        sticky,
        infinite_1,
        infinite_2,
        nan_1,
        nan_2,
        sign_1,
        sign_8,
        negative_1,
        negative_9,
        over_3,
        empty_3,
        over_6,
        empty_6,
        subnormal,
        inv_subnormal,
        extreme,
        fraction,
        hidden,
        inv_hidden,
        lowest,
        inv_lowest,
    ) = _bools(21)

    @always_comb
    def classify():
        subnormal.next = x[31:23] == 0
        extreme.next = x[31:23] == 255
        fraction.next = x[23:] != 0
        inv_subnormal.next = inv_scale[31:23] == 0

    @always_comb
    def complete():
        hidden.next = not subnormal
        lowest.next = x[23] or subnormal
        inv_hidden.next = not inv_subnormal
        inv_lowest.next = inv_scale[23] or inv_subnormal

    @always_comb
    def unpack():
        mantissa.next = concat(hidden, x[23:])
        exponent.next = concat(x[31:24], lowest)
        inv_mantissa.next = concat(inv_hidden, inv_scale[23:])
        inv_exponent.next = concat(inv_scale[31:24], inv_lowest)

    @always(clk.posedge)
    def place():
        total_1.next = exponent + inv_exponent
        infinite_1.next = extreme and not fraction
        nan_1.next = extreme and fraction
        sign_1.next = x[31]
        negative_1.next = x[31] and (fraction or not subnormal) and not (extreme and fraction)
        difference_2.next = 261 - total_1
        infinite_2.next = infinite_1
        nan_2.next = nan_1
        shift_3.next = difference_2[4:]
        over_3.next = infinite_2 or (difference_2[9] and not nan_2)
        empty_3.next = nan_2 or (not difference_2[9] and difference_2 >= 10)

    @always_comb
    def present():
        nan.next = nan_1
        flags_3.next = concat(over_3, empty_3)
        over_6.next = flags_6[1]
        empty_6.next = flags_6[0]

    multiply = mantissa_multiplier(clk, mantissa, inv_mantissa, high, sticky)
    wait_shift = delay(clk, shift_3, shift_4, cycles=MANTISSA_MULTIPLIER_LATENCY - 3)
    round_float = round_product(clk, high, sticky, shift_4, any_zeros, rounded, shift_6)
    wait_flags = delay(clk, flags_3, flags_6, cycles=MANTISSA_MULTIPLIER_LATENCY + ROUND_PRODUCT_LATENCY - 3)
    wait_sign = delay(clk, sign_1, sign_8, cycles=QUANTIZE_LANE_LATENCY - 3)
    wait_negative = delay(clk, negative_1, negative_9, cycles=QUANTIZE_LANE_LATENCY - 2)
    round_whole = round_integer(clk, rounded, shift_6, over_6, empty_6, sign_8, negative_9, zero_point, code, q)

    return (
        classify,
        complete,
        unpack,
        place,
        present,
        multiply,
        wait_shift,
        round_float,
        wait_flags,
        wait_sign,
        wait_negative,
        round_whole,
    )
