"""The operand unpacker: narrow activations of a fetched word widened to the width that the array computes in."""

from myhdl import Signal, always_comb, intbv

from accel.rtl.array.weight_unpacker import expand
from accel.rtl.parts.module import module


@module
def operand_unpacker(clk, enable, stored, tail, keep, shift, form, operand, *, config):
    """The low lanes >> shift bytes of a word spread over all lanes.

    stored: the fetched word; its bytes above those are neighbours that nobody asked for. tail: it is the last word of a
    kernel row, so only the lanes of `keep` count and the others become 0; tail and keep are None in a build without
    1-bit weights, where such a lane meets zero weights. shift, form, keep: from the precision controller. operand:
    lanes bytes of the compute width.
    Latency UNPACK_LATENCY enabled cycles, a word a cycle, holds while enable is low.
    """
    lanes, width = config.lanes, config.word_bits
    spread, halves, quarters, eighths = [Signal(intbv(0)[width:]) for _ in range(4)]
    blank = None if keep is None else Signal(intbv(0)[width:])
    widen = expand(clk, enable, spread, spread, spread, spread, form, blank, operand, lanes=lanes)

    @always_comb
    def place():
        halves.next = 0
        quarters.next = 0
        eighths.next = 0
        for lane in range(lanes):
            for i in range(4):
                halves.next[8 * lane + i] = stored[4 * lane + i]
            for j in range(2):
                quarters.next[8 * lane + j] = stored[2 * lane + j]
            eighths.next[8 * lane] = stored[lane]

    @always_comb
    def select():
        if shift == 0:
            spread.next = stored
        elif shift == 1:
            spread.next = halves
        elif shift == 2:
            spread.next = quarters
        else:
            spread.next = eighths

    if keep is None:
        return widen, place, select

    @always_comb
    def mask():
        for lane in range(lanes):
            for i in range(8):
                blank.next[8 * lane + i] = tail and not keep[lane]

    return widen, place, select, mask
