"""An approximate int6 multiplier: the lowest partial products are replaced by one bit. Off unless asked for.

The exact product of two int6 numbers is a sum of 36 partial products. The six of weight 1, 2 and 4 are left out; one
bit of weight 8 takes their place where one of the three of weight 4 is set. Over all 4096 operand pairs the error is
-9 .. +4 on products of -992 .. 1024: MAX_ERROR, MEAN_ERROR (of its absolute value) and BIAS (its mean). 1280 pairs are
exact, among them all with a 0. Every product is a multiple of 8.
"""

from myhdl import Signal, always_comb, block, intbv

OPERAND_BITS, PRODUCT_BITS = 6, 12
MAX_ERROR, MEAN_ERROR, BIAS = 9, 1.9375, 0.375  # approximate minus exact, over all operand pairs


@block
def partial_products(a, b, terms, correction):
    """The products of `a` with each bit of `b`, and the bit that replaces those left out, all in eighths.

    a: signed, any width. b: 6 bits. terms: bit i of b times a * 2^i, for i below 3 without the bits below an eighth;
    the last one is to be subtracted. correction: 0 or 1. Combinational.
    """
    term_0, term_1, term_2, term_3, term_4, term_5 = terms

    @always_comb
    def select():
        term_0.next = 0
        term_1.next = 0
        term_2.next = 0
        term_3.next = 0
        term_4.next = 0
        term_5.next = 0
        if b[0]:
            term_0.next = a >> 3
        if b[1]:
            term_1.next = a >> 2
        if b[2]:
            term_2.next = a >> 1
        if b[3]:
            term_3.next = a
        if b[4]:
            term_4.next = a << 1
        if b[5]:
            term_5.next = a << 2

    @always_comb
    def replace():
        correction.next = 0
        if (a[0] and b[2]) or (a[1] and b[1]) or (a[2] and b[0]):
            correction.next = 1

    return select, replace


@block
def approximate_multiplier(a, b, product):
    """product = fixedpoint.approximate_product(a, b), combinational. a, b: signed, 6 bits; product: signed, 12 bits."""
    terms = [Signal(intbv(0, min=-128, max=128)) for _ in range(OPERAND_BITS)]
    term_0, term_1, term_2, term_3, term_4, term_5 = terms
    correction = Signal(intbv(0, min=-2, max=2))
    total = Signal(intbv(0, min=-256, max=256))
    parts = partial_products(a, b, terms, correction)

    @always_comb
    def add():
        total.next = term_0 + term_1 + term_2 + term_3 + term_4 - term_5 + correction

    @always_comb
    def present():
        product.next = total << 3

    return parts, add, present
