"""The weight bank: a weight for every row and lane of the array in one read."""

from myhdl import ConcatSignal, Signal, always, always_comb, block, intbv

from accel.errors import FitError
from accel.rtl.parts.bundles import WeightWrite
from accel.rtl.parts.module import module
from accel.rtl.parts.ram import ram


@block
def _row_strobes(write_valid, write_row, write_part, strobes, *, row, parts):
    if parts == 1:

        @always_comb
        def select_row():
            strobes.next = write_valid and write_row == row

        return select_row

    @always_comb
    def select_part():
        strobes.next = 0
        for j in range(parts):
            if write_valid and write_row == row and write_part == j:
                strobes.next[j] = 1

    return select_part


@block
def _pair_strobes(write_valid, write_row, write_part, write_pair, strobes, *, row, parts):
    """As _row_strobes, where an odd row (of one part) or an odd part also belongs to a pair that begins before it."""
    if parts == 1:
        before = row - row % 2

        @always_comb
        def select_rows():
            strobes.next = write_valid and (write_row == row or (write_pair and write_row == before))

        return select_rows

    @always_comb
    def select_parts():
        strobes.next = 0
        for j in range(parts):
            if write_valid and write_row == row and (write_part == j or (write_pair and write_part == j - j % 2)):
                strobes.next[j] = 1

    return select_parts


@module
def weight_bank(clk, s: WeightWrite, enable, raddr, weights, *, config, presets=()):
    """weight_depth words of rows x lanes bytes: one memory a row, written 32 bits at a time, read all rows at once.

    s: write of 32-bit part wpart (lanes 4 * wpart .. 4 * wpart + 3) of row wrow in word waddr. In a build with int6
    weights wdata has 64 bits: with pair the part named, which is even, takes the low half and the one behind it (of the
    next row where a row is one part) the high half, otherwise both halves are the same. enable, raddr: read, holds
    while enable is low.
    weights: rows x lanes int8, row 0 lane 0 in the low byte. presets: a memory image for each row, or (). A row's
    memory is of the style that the configuration gives it: UltraRAM may hold some rows and block RAM the others.
    Latency 1 enabled cycle for reads, 2 cycles for writes; a read and a write every cycle.
    """
    if presets and config.weight_style == "ultra":
        raise FitError(
            "weight bank: UltraRAM cannot be preset; load the weights at run time or leave weight_style=ultra out"
        )
    rows, parts = config.rows, config.lanes // 4
    write_valid = Signal(bool(0))
    write_address, write_row = Signal(intbv(0)[len(s.waddr) :]), Signal(intbv(0)[len(s.wrow) :])
    write_part = None if parts == 1 else Signal(intbv(0)[len(s.wpart) :])
    write_data = Signal(intbv(0)[len(s.wdata) :])
    words = [Signal(intbv(0)[config.word_bits :]) for _ in range(rows)]
    strobes = [Signal(intbv(0)[parts:] if parts > 1 else bool(0)) for _ in range(rows)]
    if s.pair is None:
        row_data = [ConcatSignal(*[write_data] * parts) if parts > 1 else write_data] * rows
    elif parts == 1:
        row_data = [write_data(32 * (row % 2) + 32, 32 * (row % 2)) for row in range(rows)]
    else:
        row_data = [ConcatSignal(*[write_data] * (parts // 2)) if parts > 2 else write_data] * rows

    @always(clk.posedge)
    def take():
        write_valid.next = s.we
        write_address.next = s.waddr
        write_row.next = s.wrow
        write_data.next = s.wdata

    if parts == 1:
        take_part = ()
    else:

        @always(clk.posedge)
        def take_part():
            write_part.next = s.wpart

    if s.pair is None:
        take_pair = ()
        decoders = [
            _row_strobes(write_valid, write_row, write_part, strobes[row], row=row, parts=parts) for row in range(rows)
        ]
    else:
        write_pair = Signal(bool(0))

        @always(clk.posedge)
        def take_pair():
            write_pair.next = s.pair

        decoders = [
            _pair_strobes(write_valid, write_row, write_part, write_pair, strobes[row], row=row, parts=parts)
            for row in range(rows)
        ]
    memories = [
        ram(
            clk,
            strobes[row],
            write_address,
            row_data[row],
            enable,
            raddr,
            words[row],
            depth=config.weight_depth,
            part_bits=32 if parts > 1 else 0,
            preset=presets[row] if presets else "",
            style=config.weight_row_style(row),
        )
        for row in range(rows)
    ]
    joined = ConcatSignal(*reversed(words))

    @always_comb
    def present():
        weights.next = joined

    return take, take_part, take_pair, decoders, memories, present
