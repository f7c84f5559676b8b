"""A packed multiplier that checks itself: a counter goes through all operands, plain products say what is right."""

from myhdl import ConcatSignal, Signal, always, always_comb, block, intbv, modbv

from accel.config import bits_code
from accel.rtl.array.mode_flags import FLAGS, mode_flags
from accel.rtl.array.mode_operands import mode_operands
from accel.rtl.array.packed_multiplier import packed_multiplier, product_bits
from accel.rtl.array.packing import (
    CHANNELS,
    MULTIPLIERS,
    OFFSETS,
    SPACING,
    group_rows,
    operand_wires,
    product_offset,
    weight_bits,
)
from accel.rtl.parts.module import module, unused

STRIDE = 0x9E3779  # odd, so that a counter of any width comes by all of its values
LATENCY = 4


def operand_count(size, packed):
    """log2 of the operands of one multiplier in a mode: all weights of its fields by one activation."""
    return 2 * group_rows(packed) + max(size, 2)


@block
def _product(w, x, total, *, offset):
    @always_comb
    def multiply():
        total.next = w.signed() * x.signed() + offset

    return multiply


@block
def _matches(w, x, total, *, offset):
    low, high = w(0), w(1)
    x_low, x_high = x(0), x(1)

    @always_comb
    def count():
        total.next = offset
        if low == x_low and high == x_high:
            total.next = offset + 4
        elif low == x_low or high == x_high:
            total.next = offset + 2

    return count


@block
def _excluded(top, excluded, *, lowest):
    @always_comb
    def compare():
        excluded.next = top == lowest

    return compare


@module
def packing_miter(clk, operand, ok, *, number, size, modes, packed, bits, skip_lowest):
    """Whether multiplier `number` is right in the mode of `size` bits.

    operand: the weights of the fields, field 0 low, then the activation; the other bits of w and x vary with it.
    ok: p is the sum of the plain products. skip_lowest: a top weight of -2^(size - 1), which packed_range excludes, is
    ok too. Latency LATENCY cycles.
    """
    field_bits, width = max(size, 2), product_bits(packed)
    total_bits = operand_count(size, packed)
    rows = group_rows(packed)
    operand_1, operand_2, operand_3, operand_4 = [Signal(intbv(0)[total_bits:]) for _ in range(4)]
    mode = Signal(intbv(bits_code(size))[2:])
    enable, excluded = Signal(bool(1)), Signal(bool(0))
    flags = Signal(intbv(0)[FLAGS:])
    b, c = Signal(intbv(0)[32:]), Signal(intbv(product_offset(field_bits, packed))[width:])
    p, expected = [Signal(intbv(0)[width:]) for _ in range(2)]

    wires = operand_wires(field_bits, number, packed)
    order = {place: i for i, place in enumerate(wires.values())}
    w_bits = [operand(order[i]) if i in order else operand(i * 7 % total_bits) for i in range(8 * rows)]
    w = ConcatSignal(*reversed(w_bits))
    low = {8: 0, 4: 4 * (number % 2), 2: 2 * CHANNELS[number]}[field_bits]
    first_x = total_bits - field_bits
    x_bits = [
        operand(first_x + i - low) if 0 <= i - low < field_bits else operand(i * 5 % total_bits) for i in range(8)
    ]
    x = ConcatSignal(*reversed(x_bits))
    decoder = mode_flags(enable, mode, flags, modes=modes)
    operands = mode_operands(clk, enable, flags, x, b, modes=modes)
    multiplier = packed_multiplier(
        clk,
        enable,
        flags,
        flags,
        w,
        x if 1 in modes else None,
        b(8 * number + 8, 8 * number),
        c,
        p,
        number=number,
        modes=modes,
        packed=packed,
        bits=bits,
        late=False,
    )
    unused(b)

    fields, spacing, references = len(weight_bits(field_bits, number, packed)), SPACING[field_bits], []
    sums = [Signal(intbv(0)[spacing if f < fields - 1 else width - spacing * (fields - 1) :]) for f in range(fields)]
    right_x = operand_4(total_bits, first_x)
    for f, total in enumerate(sums):
        right_w = operand_4(field_bits * (f + 1), field_bits * f)
        reference = _matches if size == 1 else _product
        references.append(reference(right_w, right_x, total, offset=OFFSETS[field_bits]))
    joined = ConcatSignal(*reversed(sums)) if fields > 1 else sums[0]
    if skip_lowest:
        top = operand_4(field_bits * fields, field_bits * (fields - 1))
        references.append(_excluded(top, excluded, lowest=2 ** (field_bits - 1)))

    @always_comb
    def compare():
        expected.next = joined
        ok.next = excluded or p == expected

    @always(clk.posedge)
    def follow():
        operand_1.next = operand
        operand_2.next = operand_1
        operand_3.next = operand_2
        operand_4.next = operand_3

    return decoder, operands, multiplier, references, compare, follow


@module
def packing_check(clk, rst, checked, wrong, *, number, size, modes, packed, bits, skip_lowest):
    """A packing_miter and a counter that takes it through all operands, one a cycle.

    checked, wrong: operands compared and found wrong since the reset; the first one is compared LATENCY cycles later.
    """
    count = Signal(modbv(0)[operand_count(size, packed) :])
    live = Signal(intbv(0)[LATENCY:])
    ok = Signal(bool(0))
    miter = packing_miter(
        clk, count, ok, number=number, size=size, modes=modes, packed=packed, bits=bits, skip_lowest=skip_lowest
    )

    @always(clk.posedge)
    def follow():
        if rst:
            count.next = 0
            live.next = 0
            checked.next = 0
            wrong.next = 0
        else:
            count.next = count + STRIDE
            live.next = (live << 1 | 1) & (2**LATENCY - 1)
            if live[LATENCY - 1]:
                checked.next = checked + 1
                if not ok:
                    wrong.next = wrong + 1

    return miter, follow


@module
def packing_checks(clk, rst, checked, wrong, *, size, modes, packed, bits, skip_lowest):
    """packing_check for the four multipliers of a group; 32 bits of checked and wrong for each, multiplier 0 low."""
    counts, errors = [[Signal(intbv(0)[32:]) for _ in range(MULTIPLIERS)] for _ in range(2)]
    checks = []
    for number in range(MULTIPLIERS):
        checks.append(
            packing_check(
                clk,
                rst,
                counts[number],
                errors[number],
                number=number,
                size=size,
                modes=modes,
                packed=packed,
                bits=bits,
                skip_lowest=skip_lowest,
            )
        )
    all_counts, all_errors = ConcatSignal(*reversed(counts)), ConcatSignal(*reversed(errors))

    @always_comb
    def present():
        checked.next = all_counts
        wrong.next = all_errors

    return checks, present
