"""The scalar multiply-accumulate unit: three stages, clear and valid."""

from myhdl import Signal, always, always_comb, always_seq, intbv, modbv

from accel.rtl.array.approximate_multiplier import OPERAND_BITS, approximate_multiplier
from accel.rtl.parts.module import module

MAC_LATENCY = 3


@module
def mac(clk, rst, a, b, valid, clear, result, result_valid, *, saturate=False, approximate=False):
    """result = sum of a * b over a vector.

    a, b: signed operands; valid: they count. clear: a new sum begins: with valid this product is its first, without
    valid the next one is.
    result: signed running sum, at least as wide as a product, holds until the next product; result_valid: one cycle
    for each product. The sum of a vector is the result that belongs to its last product.
    saturate: limit every running sum to the range of result; else it wraps modulo 2^len(result).
    approximate: multiply int6 operands with less hardware and an error (approximate_multiplier states it).
    Stages: operands, product, sum. Latency MAC_LATENCY (3), a product a cycle, no stall.
    """
    bits = len(result)
    if bits < len(a) + len(b):
        raise ValueError(f"mac: result of {bits} bits must hold a product of {len(a) + len(b)} bits")
    if approximate and (len(a), len(b)) != (OPERAND_BITS, OPERAND_BITS):
        raise ValueError(
            f"mac: the approximate multiplier takes {OPERAND_BITS}-bit operands, not {len(a)} and {len(b)}"
        )
    if saturate and bits > 32:
        raise ValueError(f"mac: saturation needs a result of 32 bits or less, not {bits} (VHDL integers end there)")
    lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    a_1 = Signal(intbv(0, min=a.min, max=a.max))
    b_1 = Signal(intbv(0, min=b.min, max=b.max))
    product = Signal(intbv(0, min=-(2 ** (len(a) + len(b) - 1)), max=2 ** (len(a) + len(b) - 1)))
    base, total = [Signal(modbv(0, min=lowest, max=highest + 1)) for _ in range(2)]
    fresh, fresh_1, fresh_2, valid_1, valid_2 = [Signal(bool(0)) for _ in range(5)]

    @always_seq(clk.posedge, reset=rst)
    def follow():
        fresh.next = (fresh or clear) and not valid
        valid_1.next = valid
        valid_2.next = valid_1
        result_valid.next = valid_2

    if approximate:
        inexact = Signal(intbv(0, min=product.min, max=product.max))
        multiplier = approximate_multiplier(a_1, b_1, inexact)

        @always(clk.posedge)
        def register():
            product.next = inexact
    else:
        multiplier = ()

        @always(clk.posedge)
        def register():
            product.next = a_1 * b_1

    @always(clk.posedge)
    def multiply():
        a_1.next = a
        b_1.next = b
        fresh_1.next = clear or fresh
        fresh_2.next = fresh_1

    @always_comb
    def select():
        if fresh_2:
            base.next = 0
        else:
            base.next = total

    @always_comb
    def present():
        result.next = total

    if not saturate:

        @always(clk.posedge)
        def accumulate():
            if valid_2:
                total.next = base + product

        return multiplier, register, follow, multiply, select, present, accumulate

    wide = Signal(intbv(0, min=2 * lowest, max=-2 * lowest))

    @always_comb
    def add():
        wide.next = base + product

    @always(clk.posedge)
    def limit():
        if valid_2:
            if wide[bits] == wide[bits - 1]:
                total.next = wide[bits:].signed()
            elif wide[bits]:
                total.next = lowest
            else:
                total.next = highest

    return multiplier, register, follow, multiply, select, present, add, limit
