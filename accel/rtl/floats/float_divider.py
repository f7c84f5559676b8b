"""A sequential float32 divider for values that are not negative, correctly rounded."""

from myhdl import Signal, always_comb, always_seq, concat, enum, intbv, modbv

from accel.rtl.parts.module import module, unused

FLOAT_DIVIDER_MAX_CYCLES = 230  # 46 to normalize, 27 to divide, 151 to denormalize, and the ends
divider_state = enum("IDLE", "NORMALIZE", "DIVIDE", "DENORMALIZE", "ROUND")
OFFSET = 256  # keeps the exponent, biased by 127, positive: it lies in -150 .. 404


@module
def float_divider(clk, rst, start, a, b, quotient, done):
    """quotient = a / b, float32 rounded to nearest, ties to even; subnormal operands and results included.

    start: a pulse takes a and b, also while a division is under way, which is dropped. a, b: bits of float32 without
    the sign, 31 bits; infinities count, NaN is not allowed. 0 / 0 and inf / inf give the NaN 0x7FC00000.
    quotient: 31 bits, holds from done, a pulse, to the next start.
    At most FLOAT_DIVIDER_MAX_CYCLES (230) cycles: the operands are shifted until their leading ones stand at bit 23,
    the quotient comes bit by bit, and a subnormal one is shifted back.
    """
    state = Signal(divider_state.IDLE)
    divisor = Signal(intbv(0)[24:])
    remainder = Signal(intbv(0)[25:])  # below 2 * divisor
    difference = Signal(modbv(0)[26:])
    result = Signal(intbv(0)[25:])  # 24 bits and a guard bit
    exponent, start_exponent = [Signal(modbv(0)[10:]) for _ in range(2)]
    a_exponent, b_exponent = [Signal(intbv(0)[8:]) for _ in range(2)]
    field = Signal(intbv(0)[8:])
    joined, value = [Signal(intbv(0)[31:]) for _ in range(2)]
    a_zero, b_zero, a_infinite, b_infinite, a_normal, b_normal, rest, up, finished = [Signal(bool(0)) for _ in range(9)]

    unused(difference, 25, 24)

    @always_comb
    def classify():
        a_zero.next = a == 0
        b_zero.next = b == 0
        a_infinite.next = a[31:23] == 255
        b_infinite.next = b[31:23] == 255
        a_normal.next = a[31:23] != 0
        b_normal.next = b[31:23] != 0

    @always_comb
    def exponents():
        a_exponent.next = a[31:23]
        b_exponent.next = b[31:23]
        if not a_normal:
            a_exponent.next = 1
        if not b_normal:
            b_exponent.next = 1

    @always_comb
    def prepare():
        start_exponent.next = a_exponent - b_exponent + 127 + OFFSET
        difference.next = remainder - divisor
        up.next = result[0] and (rest or result[1])

    @always_comb
    def pack():
        field.next = 0
        if result[24]:
            field.next = exponent[8:]

    @always_comb
    def join():
        joined.next = concat(field, result[24:1])

    @always_seq(clk.posedge, reset=rst)
    def advance():
        finished.next = False
        if start:
            remainder.next = concat("0", a_normal, a[23:])
            divisor.next = concat(b_normal, b[23:])
            exponent.next = start_exponent
            result.next = 0
            rest.next = False
            state.next = divider_state.NORMALIZE
            if a_zero or b_zero or a_infinite or b_infinite:
                state.next = divider_state.IDLE
                finished.next = True
                value.next = 0
                if (a_infinite and b_infinite) or (a_zero and b_zero):
                    value.next[31:22] = 511
                elif a_infinite or b_zero:
                    value.next[31:23] = 255
        elif state == divider_state.NORMALIZE:
            if not remainder[23]:
                remainder.next = concat(remainder[24:], "0")
                exponent.next = exponent - 1
            elif not divisor[23]:
                divisor.next = concat(divisor[23:], "0")
                exponent.next = exponent + 1
            else:
                state.next = divider_state.DIVIDE
        elif state == divider_state.DIVIDE:
            if result[24]:
                rest.next = remainder != 0
                state.next = divider_state.DENORMALIZE
            else:
                # The difference is below the divisor, so it fits 24 bits; bit 25 says that it is negative.
                if difference[25]:
                    remainder.next = concat(remainder[24:], "0")
                    result.next = concat(result[24:], "0")
                    if result == 0:
                        exponent.next = exponent - 1
                else:
                    remainder.next = concat(difference[24:], "0")
                    result.next = concat(result[24:], "1")
        elif state == divider_state.DENORMALIZE:
            if exponent <= OFFSET:
                rest.next = rest or result[0]
                result.next = concat("0", result[25:1])
                exponent.next = exponent + 1
            else:
                state.next = divider_state.ROUND
        elif state == divider_state.ROUND:
            state.next = divider_state.IDLE
            finished.next = True
            if exponent >= OFFSET + 255:
                value.next = 0
                value.next[31:23] = 255
            elif up:
                value.next = joined + 1
            else:
                value.next = joined

    @always_comb
    def present():
        quotient.next = value
        done.next = finished

    return classify, exponents, prepare, pack, join, advance, present
