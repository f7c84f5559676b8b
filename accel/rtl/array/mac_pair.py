"""Two rows by two lanes of int8 multiply-add: the cell of the MAC array."""

from myhdl import Signal, always, always_comb, intbv

from accel.rtl.parts.module import module, unused

FIELD_BITS = 16
PAIR_OFFSET = 32512  # -(smallest sum of two int8 products) = 2 * 128 * 127: makes every field non-negative
MAC_PAIR_LATENCY = 5


@module
def mac_pair(clk, enable, x, w_low, w_high, sums, *, packed):
    """Sum of two lanes' products for two rows, offset binary.

    x: two int8 activations, lane 0 in the low byte. w_low, w_high: two int8 weights of the even and the odd row.
    sums: two 16-bit fields, even row in the low half: x0 * w0 + x1 * w1 + PAIR_OFFSET, in 0 .. 65280.
    packed: True shares one 25x18 multiplier between the two rows (P = (w_high * 2^16 + w_low) * x + C, lane 1 cascaded
    behind lane 0: 2 DSP48E1 and 40 flip-flops, in which lane 1's operands wait); False uses four 8x8 multipliers.

    Why it is exact: |x0*w0 + x1*w1| spans -32512 .. 32768, so with PAIR_OFFSET a field is 0 .. 65280 and fits 16 bits
    without a borrow; A = w_high * 2^16 + w_low lies within +-8388736 and fits 25 bits signed.
    Latency MAC_PAIR_LATENCY enabled cycles, a new operand pair every cycle, holds while enable is low.
    """
    if packed:
        a0, a1, a1_late = [Signal(intbv(0, min=-128, max=128)) for _ in range(3)]
        d0, d1, d1_late = [Signal(intbv(0, min=-128, max=128)) for _ in range(3)]
        b0, b0_late, b1, b1_late, b1_later = [Signal(intbv(0, min=-128, max=128)) for _ in range(5)]
        ad0, ad1 = [Signal(intbv(0, min=-(2**24), max=2**24)) for _ in range(2)]
        m0, m1 = [Signal(intbv(0, min=-(2**32), max=2**32)) for _ in range(2)]
        p0, p1 = [Signal(intbv(0, min=-(2**33), max=2**33)) for _ in range(2)]
        offset = PAIR_OFFSET * (2**FIELD_BITS + 1)
        unused(p1, 34, 32)

        @always(clk.posedge)
        def multiply():
            if enable:
                a0.next = w_low[8:0].signed()
                d0.next = w_high[8:0].signed()
                b0.next = x[8:0].signed()
                ad0.next = (d0 << 16) + a0
                b0_late.next = b0
                m0.next = ad0 * b0_late
                p0.next = m0 + offset
                # Lane 1 runs one stage behind lane 0, so that its multiplier adds lane 0's result.
                a1.next = w_low[16:8].signed()
                d1.next = w_high[16:8].signed()
                b1.next = x[16:8].signed()
                a1_late.next = a1
                d1_late.next = d1
                b1_late.next = b1
                ad1.next = (d1_late << 16) + a1_late
                b1_later.next = b1_late
                m1.next = ad1 * b1_later
                p1.next = m1 + p0

        @always_comb
        def unpack():
            sums.next = p1[32:0]

        return multiply, unpack

    low0, low1, high0, high1, act0, act1 = [Signal(intbv(0, min=-128, max=128)) for _ in range(6)]
    low_m0, low_m1, high_m0, high_m1 = [Signal(intbv(0, min=-(2**15), max=2**15)) for _ in range(4)]
    low_sum, high_sum, low_sum_late, high_sum_late = [Signal(intbv(0)[FIELD_BITS:]) for _ in range(4)]
    low_out, high_out = [Signal(intbv(0)[FIELD_BITS:]) for _ in range(2)]

    @always(clk.posedge)
    def multiply_each():
        if enable:
            low0.next = w_low[8:0].signed()
            low1.next = w_low[16:8].signed()
            high0.next = w_high[8:0].signed()
            high1.next = w_high[16:8].signed()
            act0.next = x[8:0].signed()
            act1.next = x[16:8].signed()
            low_m0.next = low0 * act0
            low_m1.next = low1 * act1
            high_m0.next = high0 * act0
            high_m1.next = high1 * act1
            low_sum.next = low_m0 + low_m1 + PAIR_OFFSET
            high_sum.next = high_m0 + high_m1 + PAIR_OFFSET
            low_sum_late.next = low_sum
            high_sum_late.next = high_sum
            low_out.next = low_sum_late
            high_out.next = high_sum_late

    @always_comb
    def join():
        sums.next[16:0] = low_out
        sums.next[32:16] = high_out

    return multiply_each, join
