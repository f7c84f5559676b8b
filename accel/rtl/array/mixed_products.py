"""All multipliers of a mixed build's MAC array: words of activations and weights in, sums over two lanes out."""

from myhdl import ConcatSignal, Signal, always, always_comb, block, intbv

from accel.rtl.array.mac_cell import NARROW_BITS, WIDE_BITS, StageFlags, mac_cell
from accel.rtl.array.mode_flags import FLAGS, FOUR, WIDE, mode_flags
from accel.rtl.array.mode_operands import mode_operands
from accel.rtl.array.packed_multiplier import operand_bits, product_bits
from accel.rtl.array.packing import MULTIPLIERS, group_rows, product_offset
from accel.rtl.parts.delay import register
from accel.rtl.parts.module import module

STAGES = (0, 1, 2, 4, 6)  # that look at the mode of their word


@block
def _offset(clk, enable, wide, four, offset, *, eight, nibbles, crumbs):
    @always(clk.posedge)
    def choose():
        if enable:
            if wide:
                offset.next = eight
            elif four:
                offset.next = nibbles
            else:
                offset.next = crumbs

    return choose


@module
def mixed_products(clk, enable, mode, x, w, wide_sums, narrow_sums, *, config):
    """Products of one word of activations with one word of weights for all rows, summed over pairs of lanes.

    mode: 0, 1, 2, 3 for int8, int4, int2, binary; it may change with every word. x: lanes bytes. w: rows x lanes bytes,
    row 0 lane 0 low. A byte holds 1, 2, 4 or 8 channels, the lowest in the low bits.
    wide_sums: for every row and pair of lanes WIDE_BITS, row 0 and lanes 0, 1 low; 0 in the narrow modes. narrow_sums:
    NARROW_BITS likewise, 0 in int8. Offset binary, see mac_array.word_offset; binary: 2 * matches.
    Latency mac_cell.MAC_CELL_LATENCY enabled cycles, a word a cycle, holds while enable is low.
    """
    rows, lanes, modes = config.rows, config.lanes, config.modes
    packed = config.packs_rows
    height, bits = group_rows(packed), operand_bits(config.multiplier, packed)
    stages = [mode] + [Signal(intbv(0)[2:]) for _ in range(STAGES[-1])]
    delays = [register(clk, enable, early, late) for early, late in zip(stages, stages[1:], strict=False)]
    flags = [Signal(intbv(0)[FLAGS:]) for _ in STAGES]
    decoders = [mode_flags(enable, stages[at], vector, modes=modes) for at, vector in zip(STAGES, flags, strict=True)]
    offset = Signal(intbv(0)[product_bits(packed) :])
    crumbs = product_offset(2 if modes[-1] < 4 else 4, packed)
    offsets = _offset(
        clk,
        enable,
        flags[2](WIDE),
        flags[2](FOUR),
        offset,
        eight=product_offset(8, packed),
        nibbles=product_offset(4, packed) if 4 in modes else crumbs,
        crumbs=crumbs,
    )
    late_x = [Signal(intbv(0)[8:]) for _ in range(lanes // 2)]
    operands = [Signal(intbv(0)[8 * MULTIPLIERS :]) for _ in range(lanes)]
    activations, cells, wide, narrow = [], [], [], []
    for pair in range(lanes // 2):
        delays.append(register(clk, enable, x(16 * pair + 16, 16 * pair + 8), late_x[pair]))
        early = x(16 * pair + 8, 16 * pair)
        activations.append(mode_operands(clk, enable, flags[0], early, operands[2 * pair], modes=modes))
        activations.append(mode_operands(clk, enable, flags[1], late_x[pair], operands[2 * pair + 1], modes=modes))
    pair_x = [ConcatSignal(late_x[pair], x(16 * pair + 8, 16 * pair)) for pair in range(lanes // 2)]
    pair_b = [ConcatSignal(operands[2 * pair + 1], operands[2 * pair]) for pair in range(lanes // 2)]
    for group in range(rows // height):
        for pair in range(lanes // 2):
            places = [8 * lanes * (group * height + row) + 16 * pair for row in range(height)]
            weights = ConcatSignal(*[w(place + 16, place) for place in reversed(places)])
            wide.append(Signal(intbv(0)[WIDE_BITS * height :]))
            narrow.append(Signal(intbv(0)[NARROW_BITS * height :]))
            cells.append(
                mac_cell(
                    clk,
                    enable,
                    StageFlags(*flags),
                    pair_x[pair] if 1 in modes else None,
                    weights,
                    pair_b[pair],
                    offset,
                    wide[-1],
                    narrow[-1],
                    modes=modes,
                    packed=packed,
                    bits=bits,
                )
            )

    def joined(sums, size):
        parts = [
            sums[row // height * lanes // 2 + pair](size * (row % height + 1), size * (row % height))
            for row in range(rows)
            for pair in range(lanes // 2)
        ]
        return ConcatSignal(*reversed(parts))

    all_wide, all_narrow = joined(wide, WIDE_BITS), joined(narrow, NARROW_BITS)

    @always_comb
    def present():
        wide_sums.next = all_wide
        narrow_sums.next = all_narrow

    return delays, decoders, offsets, activations, cells, present
