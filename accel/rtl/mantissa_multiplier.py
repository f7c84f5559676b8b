"""The product of two float mantissas: the heart of the quantizer and the dequantizer."""

from myhdl import Signal, always, always_comb, intbv

from accel.rtl.hierarchy import module

MANTISSA_MULTIPLIER_LATENCY = 4


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
