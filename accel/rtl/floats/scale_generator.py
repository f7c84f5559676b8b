"""The scale generator: scale, inverse scale and zero point of an observed range."""

from myhdl import Signal, always_comb, always_seq, concat, enum, intbv, modbv

from accel.rtl.floats.float_divider import float_divider
from accel.rtl.parts.bundles import Bundle
from accel.rtl.parts.module import module, unused

SCALE_GENERATOR_MAX_CYCLES = 1200
generator_state = enum(
    "IDLE", "ORDER", "LOAD", "ALIGN", "ADD", "BEGIN_SCALE", "TAKE_SCALE", "TAKE_INVERSE", "TAKE_RATIO", "SHIFT", "LIMIT"
)
# Bits 30:16 of float32 numbers, whose bits 15:0 are 0: 1, and the steps 2^(bits-1) - 1 and 2^bits - 1 of a range.
ONE = 0x3F80
STEPS = {"symmetric": (0x42FE, 0x40E0, ONE), "affine": (0x437F, 0x4170, 0x4040)}
UNIT = 150  # biased exponent at which the lowest bit of a mantissa counts one


class MadeScale(Bundle):
    """The scale of a range; holds while busy is low.

    scale, inv_scale: float32 bits. zero_point: 8 bits two's complement. invalid: the scale or its inverse is not
    positive and finite; the three mean nothing then. busy: it is being made.
    """

    members = ("scale", "inv_scale", "zero_point", "invalid", "busy")
    prefix = False


@module
def scale_generator(clk, rst, start, smallest, largest, code, symmetric, made: MadeScale):
    """Scale of the range smallest .. largest by the steps of accel.scale.scale_of, each rounded to float32.

    start: a pulse takes the other inputs. smallest, largest: float32 bits, no NaN; +inf and -inf for an empty range.
    code: 0, 1, 2, 3 for 8, 4, 2, 1 bits; symmetric: else affine; 1 bit is always symmetric.
    made.busy: from the cycle behind start until the results stand, at most SCALE_GENERATOR_MAX_CYCLES (1200) cycles.

    lo = max(-smallest, 0), hi = max(largest, 0); width = max(lo, hi), or affine lo + hi (ALIGN shifts the smaller one,
    ADD rounds); scale = width / steps, 1 where the width is 0; inverse = 1 / scale; zero point = qmin + lo / scale
    rounded half even (SHIFT, LIMIT). One divider serves the three divisions.
    """
    symmetric_8, symmetric_4, symmetric_2 = STEPS["symmetric"]
    affine_8, affine_4, affine_2 = STEPS["affine"]
    state = Signal(generator_state.IDLE)
    low, high, big, little, width, joined, a, b = [Signal(intbv(0)[31:]) for _ in range(8)]
    steps = Signal(intbv(0)[15:])
    big_exponent, little_exponent, distance, exponent, field = [Signal(intbv(0)[8:]) for _ in range(5)]
    span = Signal(intbv(0)[8:])
    shifted, addend = [Signal(intbv(0)[25:]) for _ in range(2)]  # a mantissa and a guard bit
    total = Signal(intbv(0)[26:])
    mantissa, count = [Signal(intbv(0)[24:]) for _ in range(2)]
    quotient, scale_now, inverse_now = [Signal(intbv(0)[31:]) for _ in range(3)]
    zero, lowest = [Signal(modbv(0)[8:]) for _ in range(2)]
    affine, big_normal, little_normal, rest, up, count_up, divide, done, running, bad = [
        Signal(bool(0)) for _ in range(10)
    ]

    unused(mantissa, 24, 23)  # field says whether it is set

    divider = float_divider(clk, rst, divide, a, b, quotient, done)

    @always_comb
    def choose_steps():
        steps.next = ONE
        span.next = 3
        lowest.next = 254
        if code == 0:
            span.next = 255
            lowest.next = 128
            steps.next = symmetric_8
            if affine:
                steps.next = affine_8
        elif code == 1:
            span.next = 15
            lowest.next = 248
            steps.next = symmetric_4
            if affine:
                steps.next = affine_4
        elif code == 2:
            steps.next = symmetric_2
            if affine:
                steps.next = affine_2

    @always_comb
    def take_apart():
        big_normal.next = big[31:23] != 0
        little_normal.next = little[31:23] != 0

    @always_comb
    def exponents():
        big_exponent.next = big[31:23]
        little_exponent.next = little[31:23]
        if not big_normal:
            big_exponent.next = 1
        if not little_normal:
            little_exponent.next = 1

    @always_comb
    def normalize():
        # The sum of two mantissas carries at most once.
        mantissa.next = total[25:1]
        up.next = total[0] and (rest or total[1])
        field.next = 0
        if total[25]:
            mantissa.next = total[26:2]
            up.next = total[1] and (rest or total[0] or total[2])
            field.next = big_exponent + 1
        elif total[24]:
            field.next = big_exponent

    @always_comb
    def round_count():
        count.next = shifted[25:1]
        count_up.next = shifted[0] and (rest or shifted[1])

    @always_seq(clk.posedge, reset=rst)
    def follow():
        divide.next = False
        if start:
            affine.next = not symmetric and code != 3
            running.next = True
            low.next = 0
            high.next = 0
            if smallest[31]:
                low.next = smallest[31:]
            if not largest[31]:
                high.next = largest[31:]
            state.next = generator_state.ORDER
        elif state == generator_state.ORDER:
            if low < high:
                big.next = high
                little.next = low
            else:
                big.next = low
                little.next = high
            state.next = generator_state.LOAD
        elif state == generator_state.LOAD:
            width.next = big
            shifted.next = concat(little_normal, little[23:], "0")
            distance.next = big_exponent - little_exponent
            rest.next = False
            state.next = generator_state.BEGIN_SCALE
            if affine:
                state.next = generator_state.ALIGN
        elif state == generator_state.ALIGN:
            if distance != 0:
                shifted.next = concat("0", shifted[25:1])
                rest.next = rest or shifted[0]
                distance.next = distance - 1
            else:
                total.next = addend + shifted
                state.next = generator_state.ADD
        elif state == generator_state.ADD:
            if field == 255 or big_exponent == 255:
                width.next = 0
                width.next[31:23] = 255
            elif up:
                width.next = joined + 1
            else:
                width.next = joined
            state.next = generator_state.BEGIN_SCALE
        elif state == generator_state.BEGIN_SCALE:
            a.next = width
            b.next[31:16] = steps
            b.next[16:] = 0
            if width == 0:
                a.next[31:16] = ONE
                a.next[16:] = 0
                b.next[31:16] = ONE
            divide.next = True
            state.next = generator_state.TAKE_SCALE
        elif state == generator_state.TAKE_SCALE:
            if done:
                scale_now.next = quotient
                a.next[31:16] = ONE
                a.next[16:] = 0
                b.next = quotient
                divide.next = True
                state.next = generator_state.TAKE_INVERSE
        elif state == generator_state.TAKE_INVERSE:
            if done:
                inverse_now.next = quotient
                bad.next = quotient == 0 or quotient[31:23] == 255
                zero.next = 0
                a.next = low
                b.next = scale_now
                if affine:
                    divide.next = True
                    state.next = generator_state.TAKE_RATIO
                else:
                    running.next = False
                    state.next = generator_state.IDLE
        elif state == generator_state.TAKE_RATIO:
            if done:
                rest.next = False
                exponent.next = quotient[31:23]
                shifted.next = concat("1", quotient[23:], "0")
                state.next = generator_state.SHIFT
        elif state == generator_state.SHIFT:
            if exponent < UNIT:
                shifted.next = concat("0", shifted[25:1])
                rest.next = rest or shifted[0]
                exponent.next = exponent + 1
            else:
                state.next = generator_state.LIMIT
        elif state == generator_state.LIMIT:
            if count >= span:
                zero.next = lowest + span
            elif count_up:
                zero.next = lowest + count[8:] + 1
            else:
                zero.next = lowest + count[8:]
            running.next = False
            state.next = generator_state.IDLE

    @always_comb
    def join():
        addend.next = concat(big_normal, big[23:], "0")
        joined.next = concat(field, mantissa[23:])

    @always_comb
    def present():
        made.scale.next = concat("0", scale_now)
        made.inv_scale.next = concat("0", inverse_now)
        made.zero_point.next = zero
        made.invalid.next = bad
        made.busy.next = running

    return divider, choose_steps, take_apart, exponents, normalize, round_count, join, follow, present
