"""The product of two float mantissas and its rounding: the heart of the quantizer and the dequantizer."""

from myhdl import Signal, always, always_comb, intbv, modbv

from accel.rtl.parts.module import module

MANTISSA_MULTIPLIER_LATENCY = 4
ROUND_PRODUCT_LATENCY = 2


@module
def mantissa_multiplier(clk, a, b, high, sticky):
    """high = a * b / 2^17 rounded down, sticky = the 17 bits below are not all zero.

    a, b: 24 bits. high: 31 bits. With b = bh * 2^17 + bl the second product adds the first, shifted right by 17: two
    cascaded 25x18 multipliers.
    Latency MANTISSA_MULTIPLIER_LATENCY (4), a product a cycle, no stall.
    """
    a_1, a_2 = [Signal(intbv(0)[24:]) for _ in range(2)]
    low_1 = Signal(intbv(0)[17:])
    high_1, high_2 = [Signal(intbv(0)[7:]) for _ in range(2)]
    m0, p0 = [Signal(intbv(0)[41:]) for _ in range(2)]
    carry = Signal(intbv(0)[24:])
    rest = Signal(intbv(0)[17:])
    m1, p1 = [Signal(intbv(0)[31:]) for _ in range(2)]
    some = Signal(bool(0))

    @always_comb
    def split():
        carry.next = p0[41:17]
        rest.next = p0[17:]

    @always(clk.posedge)
    def multiply():
        a_1.next = a
        low_1.next = b[17:]
        high_1.next = b[24:17]
        m0.next = a_1 * low_1
        a_2.next = a_1
        high_2.next = high_1
        p0.next = m0
        m1.next = a_2 * high_2
        p1.next = m1 + carry  # a * b < 2^48, so the sum fits 31 bits
        some.next = rest != 0

    @always_comb
    def present():
        high.next = p1
        sticky.next = some

    return split, multiply, present


@module
def round_product(clk, high, sticky, shift, limit, rounded, shift_late):
    """Round a product of mantissas to the 24 bits from its leading one on, to nearest, ties to even.

    high: 31 upper bits of the product, sticky: the bits below are not all zero. rounded: 25 bits, 2^24 where rounding
    carries. At most `limit` (0 .. 3) zeros in front of the leading one are skipped, so that bit 23 may be 0.
    shift: 4 bits; shift_late = shift + the zeros skipped, modulo 16.
    Latency ROUND_PRODUCT_LATENCY (2), a product a cycle, no stall.
    """
    zeros = Signal(intbv(0)[2:])
    normal = Signal(intbv(0)[24:])
    shift_1 = Signal(modbv(0)[4:])
    guard, rest, up = [Signal(bool(0)) for _ in range(3)]

    @always_comb
    def find_leading_one():
        if high[30] or limit == 0:
            zeros.next = 0
        elif high[29] or limit == 1:
            zeros.next = 1
        elif high[28] or limit == 2:
            zeros.next = 2
        else:
            zeros.next = 3

    @always(clk.posedge)
    def normalize():
        shift_1.next = shift + zeros
        if zeros == 0:
            normal.next = high[31:7]
            guard.next = high[6]
            rest.next = sticky or high[6:] != 0
        elif zeros == 1:
            normal.next = high[30:6]
            guard.next = high[5]
            rest.next = sticky or high[5:] != 0
        elif zeros == 2:
            normal.next = high[29:5]
            guard.next = high[4]
            rest.next = sticky or high[4:] != 0
        else:
            normal.next = high[28:4]
            guard.next = high[3]
            rest.next = sticky or high[3:] != 0

    @always_comb
    def decide():
        up.next = guard and (rest or normal[0])

    @always(clk.posedge)
    def add():
        shift_late.next = shift_1
        rounded.next = normal + up

    return find_leading_one, normalize, decide, add
