"""Binary products of any number of words against a plain count of equal bits, for a proof by induction."""

from myhdl import ConcatSignal, Signal, always, always_comb, block, intbv, modbv

from accel.config import bits_code
from accel.rtl.array.mode_flags import FLAGS, mode_flags
from accel.rtl.array.mode_operands import mode_operands
from accel.rtl.array.packed_multiplier import operand_bits, packed_multiplier, product_bits
from accel.rtl.array.packing import MULTIPLIERS, OFFSETS, group_rows, product_offset, product_place
from accel.rtl.parts.module import module, unused

COUNT_BITS = 16


@block
def _equal_bits(x, w, counted):
    equal = Signal(intbv(0)[8:])

    @always_comb
    def compare():
        equal.next = ~(x ^ w)

    @always_comb
    def count():
        total = intbv(0, min=0, max=9)
        total[:] = 0
        for i in range(8):
            if equal[i]:
                total[:] = total + 1
        counted.next = total

    return compare, count


@block
def _accumulators(clk, rst, first, second, third, fourth, counted, same, *, offset):
    total, reference = [Signal(modbv(0)[COUNT_BITS:]) for _ in range(2)]

    @always(clk.posedge)
    def accumulate():
        if rst:
            total.next = 0
            reference.next = 0
        else:
            total.next = total + first + second + third + fourth - offset
            reference.next = reference + counted + counted

    @always_comb
    def compare():
        same.next = total == reference

    return accumulate, compare


@module
def xnor_check(clk, rst, x, w, same, *, modes, packed, multiplier):
    """A group's binary products summed up word by word, for every row beside twice the number of equal bits.

    x: a byte of activations. w: a byte of weights for every row. same: one bit for every row. The group's own registers
    are taken as wires (the proof removes them): its products belong to the same cycle as x and w.
    """
    rows, width = group_rows(packed), product_bits(packed)
    mode, enable = Signal(intbv(bits_code(1))[2:]), Signal(bool(1))
    flags = Signal(intbv(0)[FLAGS:])
    b, c = Signal(intbv(0)[8 * MULTIPLIERS :]), Signal(intbv(product_offset(2, packed))[width:])
    products = [Signal(intbv(0)[width:]) for _ in range(MULTIPLIERS)]
    decoder = mode_flags(enable, mode, flags, modes=modes)
    operands = mode_operands(clk, enable, flags, x, b, modes=modes)
    multipliers, counters, accumulators = [], [], []
    for i, product in enumerate(products):
        multipliers.append(
            packed_multiplier(
                clk,
                enable,
                flags,
                flags,
                w,
                x,
                b(8 * i + 8, 8 * i),
                c,
                product,
                number=i,
                modes=modes,
                packed=packed,
                bits=operand_bits(multiplier, packed),
                late=False,
            )
        )
    counted = [Signal(intbv(0)[4:]) for _ in range(rows)]
    equal = [Signal(bool(0)) for _ in range(rows)]
    for row in range(rows):
        counters.append(_equal_bits(x, w(8 * row + 8, 8 * row), counted[row]))
        places = [product_place(2, row, channel, packed) for channel in range(4)]
        accumulators.append(
            _accumulators(
                clk,
                rst,
                *[products[i](at + 3, at) for i, at in places],
                counted[row],
                equal[row],
                offset=4 * OFFSETS[2],
            )
        )
    joined = ConcatSignal(*reversed(equal))
    for product in products:
        unused(product)

    @always_comb
    def present():
        same.next = joined

    return decoder, operands, multipliers, counters, accumulators, present
