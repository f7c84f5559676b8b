"""Eight (or four) rows by two lanes of multiply-add in any precision: the cell of a mixed build's MAC array."""

from myhdl import ConcatSignal, Signal, always, always_comb, block, intbv

from accel.rtl.array.mode_flags import CRUMBS, FOUR, TO_NARROW, TO_WIDE, WIDE
from accel.rtl.array.packed_multiplier import gather, held, packed_multiplier, pick, product_bits, scatter
from accel.rtl.array.packing import MULTIPLIERS, group_rows, product_offset, product_place
from accel.rtl.parts.bundles import Bundle
from accel.rtl.parts.delay import register
from accel.rtl.parts.module import module, unused

WIDE_BITS, NARROW_BITS = 16, 9  # of a row's sum over the two lanes: int8; the narrow modes
MAC_CELL_LATENCY = 8


class StageFlags(Bundle):
    """The decoded mode (mode_flags) of the words that came 0, 1, 2, 4 and 6 enabled cycles ago."""

    members = ("after_0", "after_1", "after_2", "after_4", "after_6")


class _Fields(Bundle):
    """A row's products in one lane: two of int4 (even, odd), or four of int2."""

    members = ("even", "odd", "first", "second", "third", "fourth")


@block
def _carried(wide, force, p, c):
    """c: the first lane's sums in int8, else `force` in every bit."""
    ones = 2 ** len(c) - 1

    @always_comb
    def choose():
        if wide:
            c.next = p
        elif force:
            c.next = ones
        else:
            c.next = 0

    return choose


@block
def _addend(clk, enable, flags, p, c, *, modes, packed):
    """What the second lane's multiplier adds: the first lane's sums in int8, offsets in narrow modes."""
    bits = [size for size in (4, 2) if size in modes or (size == 2 and modes[-1] == 1)]
    four, crumbs = product_offset(bits[0], packed), product_offset(bits[-1], packed)
    same = [place for place in range(len(p)) if not (four ^ crumbs) >> place & 1]
    value = Signal(intbv(0)[len(same) :])
    groups = [(value, same)]
    parts = [held(clk, enable, flags(TO_NARROW), gather(p, same), value, constant=pick(four, same), flip=0)]
    for force, ones in ((FOUR, four & ~crumbs), (CRUMBS, crumbs & ~four)):
        places = [place for place in range(len(p)) if ones >> place & 1]
        if places:
            data, value = [Signal(intbv(0)[len(places) :]) for _ in range(2)]
            parts.append(_carried(flags(WIDE), flags(force), gather(p, places), data))
            parts.append(held(clk, enable, Signal(bool(0)), data, value, constant=0, flip=0))
            groups.append((value, places))
    joined = scatter(len(p), 0, *groups)

    @always_comb
    def present():
        c.next = joined

    return parts, present


@block
def _narrow_sum(clk, enable, four, clear, fields, total):
    """Sum of a row's channels in one lane: two products of int4 or four of int2; 0 in int8."""
    one, two = [Signal(intbv(0)[7:]) for _ in range(2)]

    @always_comb
    def choose():
        if four:
            one.next = fields.even
            two.next = fields.odd
        else:
            one.next = fields.first + fields.second
            two.next = fields.third + fields.fourth

    @always(clk.posedge)
    def add():
        if clear:
            total.next = 0
        elif enable:
            total.next = one + two

    return choose, add


@block
def _pair_sum(clk, enable, early, late, total):
    early_1, early_2 = [Signal(intbv(0)[8:]) for _ in range(2)]

    @always(clk.posedge)
    def add():
        if enable:
            early_1.next = early
            early_2.next = early_1
            total.next = early_2 + late

    return add


@module
def mac_cell(
    clk,
    enable,
    flags: StageFlags,
    x,
    w,
    b,
    offset,
    wide_sums,
    narrow_sums,
    *,
    modes,
    packed,
    bits,
):
    """Dot products of two lanes for eight rows (four where not packed), offset binary, in the mode of the word.

    flags: decoded mode (mode_flags) of the words that came 0, 1, 2, 4 and 6 enabled cycles ago.
    x: two activation bytes, lane 0 low, lane 1's one cycle late; None unless 1 is a mode. w: two bytes of every row,
    row 0 low. b: the two lanes' mode_operands, lane 1's one cycle late. offset: the mode's product offset, three
    enabled cycles behind the word.
    wide_sums: WIDE_BITS for every row, the int8 sum, 0 in other modes. narrow_sums: NARROW_BITS for every row, the sum
    of the narrow modes, 0 in int8. Offsets: packing.OFFSETS for every product.
    In int8 lane 1's multipliers add lane 0's sums, so lane 1 runs two stages behind lane 0.
    Latency MAC_CELL_LATENCY enabled cycles, a word a cycle, holds while enable is low.
    """
    rows, width = group_rows(packed), product_bits(packed)
    w_0, w_1 = [
        ConcatSignal(*[w(16 * row + 8 * lane + 8, 16 * row + 8 * lane) for row in reversed(range(rows))])
        for lane in range(2)
    ]
    w_late = Signal(intbv(0)[8 * rows :])
    first, second, carried = [[Signal(intbv(0)[width:]) for _ in range(MULTIPLIERS)] for _ in range(3)]
    w_delay = register(clk, enable, w_1, w_late)
    multipliers, addends, sums = [], [], []
    unused(flags.after_4)
    unused(flags.after_6)
    for products in () if packed else (*first, *second):
        unused(products, width, WIDE_BITS)
    x_bytes = (x(8, 0), x(16, 8)) if 1 in modes else (None, None)
    for i in range(MULTIPLIERS):
        multipliers.append(
            packed_multiplier(
                clk,
                enable,
                flags.after_0,
                flags.after_1,
                w_0,
                x_bytes[0],
                b(8 * i + 8, 8 * i),
                offset,
                first[i],
                number=i,
                modes=modes,
                packed=packed,
                bits=bits,
                late=False,
            )
        )
        addends.append(_addend(clk, enable, flags.after_4, first[i], carried[i], modes=modes, packed=packed))
        multipliers.append(
            packed_multiplier(
                clk,
                enable,
                flags.after_1,
                flags.after_2,
                w_late,
                x_bytes[1],
                b(8 * i + 40, 8 * i + 32),
                carried[i],
                second[i],
                number=i,
                modes=modes,
                packed=packed,
                bits=bits,
                late=True,
            )
        )
    wide_out, wide_early = [[Signal(intbv(0)[WIDE_BITS:]) for _ in range(rows)] for _ in range(2)]
    narrow_out = [Signal(intbv(0)[NARROW_BITS:]) for _ in range(rows)]
    lane_sums = [Signal(intbv(0)[8:]) for _ in range(2 * rows)]
    for row in range(rows):
        for lane, (products, late) in enumerate(((first, flags.after_4), (second, flags.after_6))):
            fields = []
            for size in (4, 2):
                for channel in range(8 // size):
                    if size in modes or (size == 2 and modes[-1] == 1):
                        i, at = product_place(size, row, channel, packed)
                        fields.append(products[i](at + (7 if size == 4 else 3), at))
                    else:
                        fields.append(Signal(intbv(0)[3:]))
            four = late(FOUR) if modes[-1] < 4 else Signal(bool(1))
            sums.append(_narrow_sum(clk, enable, four, late(TO_WIDE), _Fields(*fields), lane_sums[2 * row + lane]))
        sums.append(_pair_sum(clk, enable, lane_sums[2 * row], lane_sums[2 * row + 1], narrow_out[row]))
        i, at = product_place(8, row, 0, packed)
        sums.append(
            held(
                clk,
                enable,
                flags.after_6(TO_NARROW),
                second[i](at + WIDE_BITS, at),
                wide_early[row],
                constant=0,
                flip=0,
            )
        )
        sums.append(register(clk, enable, wide_early[row], wide_out[row]))
    all_wide, all_narrow = ConcatSignal(*reversed(wide_out)), ConcatSignal(*reversed(narrow_out))

    @always_comb
    def present():
        wide_sums.next = all_wide
        narrow_sums.next = all_narrow

    return w_delay, multipliers, addends, sums, present
