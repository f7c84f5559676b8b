"""Two rows by two lanes of approximate multiply-add without DSPs: 8-bit activations by 6-bit weights."""

from myhdl import Signal, always, always_comb, block, intbv

from accel.rtl.array.approximate_multiplier import OPERAND_BITS, partial_products
from accel.rtl.array.mac_pair import FIELD_BITS, PAIR_OFFSET
from accel.rtl.parts.module import module, unused

APPROXIMATE_LATENCY = 4


@block
def _product(clk, enable, x, w, eighth):
    """An eighth of fixedpoint.approximate_product(x, w), two enabled cycles later."""
    terms = [Signal(intbv(0, min=-512, max=512)) for _ in range(OPERAND_BITS)]
    term_0, term_1, term_2, term_3, term_4, term_5 = terms
    low, middle, high = [Signal(intbv(0, min=-1024, max=1024)) for _ in range(3)]
    correction = Signal(intbv(0, min=-2, max=2))
    parts = partial_products(x, w, terms, correction)

    @always(clk.posedge)
    def add():
        if enable:
            low.next = term_0 + term_1 + correction
            middle.next = term_2 + term_3
            high.next = term_4 - term_5
            eighth.next = low + middle + high

    return parts, add


@block
def _row(clk, enable, x_0, x_1, w, total):
    w_0, w_1 = [Signal(intbv(0)[OPERAND_BITS:]) for _ in range(2)]
    eighth_0, eighth_1 = [Signal(intbv(0, min=-1024, max=1024)) for _ in range(2)]
    products = [_product(clk, enable, x_0, w_0, eighth_0), _product(clk, enable, x_1, w_1, eighth_1)]

    @always(clk.posedge)
    def load():
        if enable:
            w_0.next = w[OPERAND_BITS:]
            w_1.next = w[8 + OPERAND_BITS : 8]

    @always(clk.posedge)
    def add():
        if enable:
            total.next = eighth_0 + eighth_1 + PAIR_OFFSET // 8

    return products, load, add


@module
def approximate_pair(clk, enable, x, w_low, w_high, sums):
    """Sum of two lanes' approximate products for two rows, offset binary, like mac_pair.

    x: two int8 activations, lane 0 in the low byte. w_low, w_high: two weights of the even and the odd row, each in the
    low 6 bits of its byte.
    sums: two 16-bit fields, even row in the low half: the fixedpoint.approximate_product of both lanes + PAIR_OFFSET,
    which is a multiple of 8, as every product is.
    Latency APPROXIMATE_LATENCY enabled cycles, a new operand pair every cycle, holds while enable is low.
    """
    x_0, x_1 = [Signal(intbv(0, min=-128, max=128)) for _ in range(2)]
    low_total, high_total = [Signal(intbv(0, min=-(2**13), max=2**13)) for _ in range(2)]
    low_row = _row(clk, enable, x_0, x_1, w_low, low_total)
    high_row = _row(clk, enable, x_0, x_1, w_high, high_total)
    for weights in (w_low, w_high):
        unused(weights, 8, OPERAND_BITS)
        unused(weights, 16, 8 + OPERAND_BITS)
    unused(low_total, 14, FIELD_BITS - 3)
    unused(high_total, 14, FIELD_BITS - 3)

    @always(clk.posedge)
    def load():
        if enable:
            x_0.next = x[8:].signed()
            x_1.next = x[16:8].signed()

    @always_comb
    def join():
        sums.next = 0
        sums.next[16:3] = low_total[13:]
        sums.next[32:19] = high_total[13:]

    return low_row, high_row, load, join
