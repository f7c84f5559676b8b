"""The two-dimensional MAC array: rows accumulators, a word of lanes bytes multiplied into each every cycle."""

from myhdl import ConcatSignal, Signal, always, always_comb, always_seq, block, concat, intbv, modbv

from accel.config import SHIFT_ADD
from accel.fixedpoint import qrange
from accel.rtl.array.approximate_pair import APPROXIMATE_LATENCY, approximate_pair
from accel.rtl.array.mac_cell import MAC_CELL_LATENCY, NARROW_BITS
from accel.rtl.array.mac_pair import FIELD_BITS, MAC_PAIR_LATENCY, PAIR_OFFSET, mac_pair
from accel.rtl.array.mixed_products import mixed_products
from accel.rtl.array.packing import OFFSETS
from accel.rtl.array.shift_add_pair import SHIFT_ADD_LATENCY, shift_add_pair
from accel.rtl.parts.bundles import Tile, TileWord
from accel.rtl.parts.module import module, unused


def mac_array_latency(config):
    """Enabled cycles from an operand word to the accumulator that contains it."""
    return _cell_latency(config) + _tree_levels(config.lanes) + 1


def word_offset(config, bits=8):
    """Constant that every word adds to every accumulator in the mode of `bits`; the compiler folds it into the bias."""
    if bits == 8:
        return config.lanes // 2 * PAIR_OFFSET
    channel_bits = max(bits, 2)  # a binary layer computes on int2's fields
    return config.lanes * (8 // channel_bits) * OFFSETS[channel_bits]


def packed_range(config, bits, row):
    """(lowest, highest) weight that row `row` of the array multiplies exactly in the mode of `bits`."""
    low, high = qrange(bits)
    if bits == 4 and config.packs_rows and config.multiplier == "25x18" and row % 4 == 3:
        low += 1
    return low, high


def _cell_latency(config):
    if config.mixed:
        return MAC_CELL_LATENCY
    if config.multiplier == SHIFT_ADD:
        return SHIFT_ADD_LATENCY
    return APPROXIMATE_LATENCY if config.approximate else MAC_PAIR_LATENCY


def _tree_levels(lanes):
    return (lanes // 2).bit_length() - 1


@block
def _adder(clk, enable, a, b, total):
    @always(clk.posedge)
    def add():
        if enable:
            total.next = a + b

    return add


@block
def _joining_adder(clk, enable, a, b, narrow_a, narrow_b, total):
    @always(clk.posedge)
    def add():
        if enable:
            total.next = (a | narrow_a) + (b | narrow_b)

    return add


@module
def row_accumulator(clk, enable, fields, narrow, valid, first, acc, *, terms, acc_bits):
    """Registered adder tree over one row's fields and the accumulator behind it.

    fields: `terms` unsigned 16-bit fields, field 0 in the low bits; terms is a power of two. narrow: None, or `terms`
    sums of NARROW_BITS of the narrow modes: of a field and its narrow sum one is 0.
    valid, first: aligned with the sum, log2(terms) enabled cycles after their fields; first starts a new accumulation.
    acc: the running sum modulo 2^acc_bits.
    Widths: level k of the tree holds sums of 2^k fields in 16 + k bits, so no level overflows.
    Latency log2(terms) + 1 enabled cycles, one word a cycle, holds while enable is low.
    """
    sums, adders = [], []  # sums[k]: the signals of level k + 1
    level = [fields(FIELD_BITS * (i + 1), FIELD_BITS * i) for i in range(terms)]
    while len(level) > 1:
        width = FIELD_BITS + len(sums) + 1
        sums.append([Signal(intbv(0)[width:]) for _ in range(len(level) // 2)])
        for i, total in enumerate(sums[-1]):
            if narrow is not None and len(sums) == 1:
                low, middle, high = [NARROW_BITS * (2 * i + k) for k in range(3)]
                adders.append(
                    _joining_adder(
                        clk, enable, level[2 * i], level[2 * i + 1], narrow(middle, low), narrow(high, middle), total
                    )
                )
            else:
                adders.append(_adder(clk, enable, level[2 * i], level[2 * i + 1], total))
        level = sums[-1]
    total = level[0]
    if width > acc_bits:  # the sum counts modulo 2^acc_bits
        unused(total, width, acc_bits)
        total = total(acc_bits, 0)
    previous, running = [Signal(modbv(0)[acc_bits:]) for _ in range(2)]

    @always_comb
    def select():
        if first:
            previous.next = 0
        else:
            previous.next = running

    @always(clk.posedge)
    def accumulate():
        if enable and valid:
            running.next = previous + total

    @always_comb
    def present():
        acc.next = running

    return adders, select, accumulate, present


@module
def mac_array(clk, rst, enable, mode, x, w, s: TileWord, result: Tile, *, config):
    """rows x lanes bytes of multiply-accumulate: one word of activations against one word of weights a cycle.

    mode: 0, 1, 2, 3 for int8, int4, int2, binary, with every word; None in a build of int8 only.
    x: lanes bytes of activations. w: rows x lanes bytes of weights, row 0 lane 0 in the low byte. A byte holds 1, 2, 4
    or 8 channels, the lowest in the low bits; see packed_range for the weights that are exact.
    s: valid: the word counts; first, last; tag: two bits that travel with the last word.
    With config.approximate the products are those of accel.fixedpoint.approximate_product, of weights of 6 bits.
    With config.multiplier shift_add the weights are codes (shift_codes), with the value of their weight.
    result.data: rows accumulators of acc_bits, row 0 low: sum of dot(x, w[row]) + word_offset(config, bits) over the
    tile's words, modulo 2^acc_bits; binary: twice the number of equal bits in place of dot.
    result.valid, result.tag: the tile is complete; both hold while enable is low. result.coming: valid of the next
    cycle if this one is enabled.
    The consumer takes a result in the enabled cycle in which result.valid is high: the next tile may overwrite it.
    Latency mac_array_latency(config) enabled cycles, one word a cycle; everything holds while enable is low.
    """
    rows, lanes = config.rows, config.lanes
    terms, pair_bits = lanes // 2, 16
    packed = config.multiplier != "18x18"
    last_stage = mac_array_latency(config) - 1
    valid_pipe, first_pipe, last_pipe = [Signal(intbv(0)[last_stage:]) for _ in range(3)]
    tag_pipe = Signal(intbv(0)[2 * last_stage :])
    sum_valid, sum_first, completes = [Signal(bool(0)) for _ in range(3)]
    accumulators = [Signal(intbv(0)[config.acc_bits :]) for _ in range(rows)]
    cells, row_fields, row_narrow, row_sums = [], [], [None] * rows, []
    if config.mixed:
        wide_sums, narrow_sums = [Signal(intbv(0)[bits * terms * rows :]) for bits in (FIELD_BITS, NARROW_BITS)]
        cells.append(mixed_products(clk, enable, mode, x, w, wide_sums, narrow_sums, config=config))
        row_fields, row_narrow = [
            [sums(bits * terms * (row + 1), bits * terms * row) for row in range(rows)]
            for sums, bits in ((wide_sums, FIELD_BITS), (narrow_sums, NARROW_BITS))
        ]
    else:
        pair_sums = [[Signal(intbv(0)[2 * FIELD_BITS :]) for _ in range(terms)] for _ in range(rows // 2)]
        for pair, totals in enumerate(pair_sums):
            cells.append([])
            for term, total in enumerate(totals):
                low, high = [(2 * pair + half) * 8 * lanes + term * pair_bits for half in range(2)]
                operands = (
                    x((term + 1) * pair_bits, term * pair_bits),
                    w(low + pair_bits, low),
                    w(high + pair_bits, high),
                )
                if config.multiplier == SHIFT_ADD:
                    cells[-1].append(shift_add_pair(clk, enable, *operands, total))
                elif config.approximate:
                    cells[-1].append(approximate_pair(clk, enable, *operands, total))
                else:
                    cells[-1].append(mac_pair(clk, enable, *operands, total, packed=packed))
            for half in range(2):
                parts = [total(FIELD_BITS * (half + 1), FIELD_BITS * half) for total in totals]
                row_fields.append(ConcatSignal(*reversed(parts)))
    for fields, narrow, accumulator in zip(row_fields, row_narrow, accumulators, strict=True):
        row_sums.append(
            row_accumulator(
                clk, enable, fields, narrow, sum_valid, sum_first, accumulator, terms=terms, acc_bits=config.acc_bits
            )
        )
    joined = ConcatSignal(*reversed(accumulators))

    @always_seq(clk.posedge, reset=rst)
    def follow():
        if enable:
            valid_pipe.next = concat(valid_pipe[last_stage - 1 : 0], s.valid)
            last_pipe.next = concat(last_pipe[last_stage - 1 : 0], s.last)
            result.valid.next = completes

    @always(clk.posedge)
    def carry():
        if enable:
            first_pipe.next = concat(first_pipe[last_stage - 1 : 0], s.first)
            tag_pipe.next = concat(tag_pipe[2 * last_stage - 2 : 0], s.tag)
            result.tag.next = tag_pipe[2 * last_stage : 2 * last_stage - 2]

    @always_comb
    def foresee():
        completes.next = valid_pipe[last_stage - 1] and last_pipe[last_stage - 1]

    @always_comb
    def present():
        result.coming.next = completes
        sum_valid.next = valid_pipe[last_stage - 1]
        sum_first.next = first_pipe[last_stage - 1]
        result.data.next = joined

    return cells, row_sums, follow, carry, foresee, present
