"""Rotates the bytes of a word: the unaligned side of the line buffer."""

from myhdl import Signal, always_comb, block, concat, intbv

from accel.rtl.parts.module import module


@block
def _rotate_step(word, select, rotated, *, bits):
    width = len(word)

    @always_comb
    def rotate():
        if select:
            rotated.next = concat(word[bits:0], word[width:bits])
        else:
            rotated.next = word

    return rotate


@module
def byte_rotator(word, amount, rotated):
    """rotated byte i = word byte (i + amount) mod lanes.

    word, rotated: lanes bytes, byte 0 low. amount: log2(lanes) bits.
    Combinational: log2(lanes) two-to-one multiplexers a bit.
    """
    width, levels = len(word), len(amount)
    stages = [word] + [Signal(intbv(0)[width:]) for _ in range(levels - 1)] + [rotated]
    steps = [_rotate_step(stages[i], amount(i), stages[i + 1], bits=8 << i) for i in range(levels)]
    return steps
