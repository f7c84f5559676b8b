"""Two rows by two lanes of multiply-add without multipliers: weights are sums of two signed powers of two."""

from myhdl import Signal, always, always_comb, block, intbv

from accel.rtl.array.mac_pair import FIELD_BITS, PAIR_OFFSET
from accel.rtl.parts.module import module, unused

SHIFT_ADD_LATENCY = 4


@block
def _power(clk, enable, x, exponent, by_four, minus, term):
    """term: x shifted by exponent and by four, inverted where the sign is set; the sum adds the one that is missing."""
    low, high = [Signal(intbv(0, min=-(2**14), max=2**14)) for _ in range(2)]

    @always_comb
    def shift_low():
        if exponent == 0:
            low.next = x
        elif exponent == 1:
            low.next = x << 1
        elif exponent == 2:
            low.next = x << 2
        else:
            low.next = x << 3

    @always_comb
    def shift_high():
        if by_four:
            high.next = low << 4
        else:
            high.next = low

    @always(clk.posedge)
    def invert():
        if enable:
            if minus:
                term.next = ~high
            else:
                term.next = high

    return shift_low, shift_high, invert


@block
def _product(clk, enable, x, code, product):
    first, second = [Signal(intbv(0, min=-(2**15), max=2**15)) for _ in range(2)]
    signs = Signal(intbv(0)[2:])
    powers = [
        _power(clk, enable, x, code(at + 2, at), code(at + 2), code(at + 3), term)
        for at, term in ((0, first), (4, second))
    ]

    @always(clk.posedge)
    def add():
        if enable:
            signs.next = 0
            if code[3] and code[7]:
                signs.next = 2
            elif code[3] or code[7]:
                signs.next = 1
            product.next = first + second + signs

    return powers, add


@block
def _row(clk, enable, x_0, x_1, w, total):
    code_0, code_1 = [Signal(intbv(0)[8:]) for _ in range(2)]
    product_0, product_1 = [Signal(intbv(0, min=-(2**16), max=2**16)) for _ in range(2)]
    products = [_product(clk, enable, x_0, code_0, product_0), _product(clk, enable, x_1, code_1, product_1)]

    @always(clk.posedge)
    def load():
        if enable:
            code_0.next = w[8:]
            code_1.next = w[16:8]

    @always(clk.posedge)
    def add():
        if enable:
            total.next = product_0 + product_1 + PAIR_OFFSET

    return products, load, add


@module
def shift_add_pair(clk, enable, x, w_low, w_high, sums):
    """Sum of two lanes' products for two rows, offset binary, like mac_pair but without multipliers.

    x: two int8 activations, lane 0 in the low byte. w_low, w_high: two codes (shift_codes) of the even and the odd row.
    sums: two 16-bit fields, even row in the low half: x0 * w0 + x1 * w1 + PAIR_OFFSET, in 0 .. 65280 for codes of int8
    weights. Latency SHIFT_ADD_LATENCY enabled cycles, a new operand pair every cycle, holds while enable is low.
    """
    x_0, x_1 = [Signal(intbv(0, min=-128, max=128)) for _ in range(2)]
    low_total, high_total = [Signal(intbv(0, min=-(2**18), max=2**18)) for _ in range(2)]
    low_row = _row(clk, enable, x_0, x_1, w_low, low_total)
    high_row = _row(clk, enable, x_0, x_1, w_high, high_total)
    unused(low_total, 19, FIELD_BITS)
    unused(high_total, 19, FIELD_BITS)

    @always(clk.posedge)
    def load():
        if enable:
            x_0.next = x[8:].signed()
            x_1.next = x[16:8].signed()

    @always_comb
    def join():
        sums.next[16:0] = low_total[16:]
        sums.next[32:16] = high_total[16:]

    return low_row, high_row, load, join
