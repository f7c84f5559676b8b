"""The activations of a lane, channel by channel, as the multipliers of a mixed build take them."""

from myhdl import ConcatSignal, Signal, always, always_comb, block, intbv

from accel.rtl.array.mode_flags import BINARY, FOUR, WIDE
from accel.rtl.array.packing import CHANNELS, MULTIPLIERS
from accel.rtl.parts.module import module, unused


def _widened(x, low, bits):
    """The signed channel of `bits` bits at bit `low` as a byte."""
    return ConcatSignal(*[x(low + bits - 1)] * (8 - bits), x(low + bits, low))


@block
def _activation(clk, enable, wide, four, binary, x, nibble, crumb, b):
    @always(clk.posedge)
    def choose():
        if enable:
            if wide:
                b.next = x
            elif four:
                b.next = nibble
            elif binary:
                b.next = 254
            else:
                b.next = crumb

    return choose


@module
def mode_operands(clk, enable, flags, x, b, *, modes):
    """The activation of one lane, as the four multipliers of a group take it.

    flags: mode of x, see mac_cell. x: one byte of 1, 2, 4 or 8 channels. b: four signed bytes, multiplier 0 low: the
    int8 activation, or each multiplier's own channel (packing.CHANNELS), or -2 in binary layers.
    Latency 1 enabled cycle.
    """
    operands = [Signal(intbv(0)[8:]) for _ in range(MULTIPLIERS)]
    nibbles = [_widened(x, 4 * (i % 2), 4) for i in range(MULTIPLIERS)]
    crumbs = [_widened(x, 2 * channel, 2) for channel in CHANNELS] if modes[-1] < 4 else nibbles
    unused(flags)
    choices = [
        _activation(clk, enable, flags(WIDE), flags(FOUR), flags(BINARY), x, nibble, crumb, operand)
        for nibble, crumb, operand in zip(nibbles, crumbs, operands, strict=True)
    ]
    joined = ConcatSignal(*reversed(operands))

    @always_comb
    def present():
        b.next = joined

    return choices, present
