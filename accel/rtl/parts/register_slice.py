"""A register slice for a valid/ready stream."""

from myhdl import Signal, always, always_comb, always_seq, intbv

from accel.rtl.parts.bundles import Stream
from accel.rtl.parts.module import module

REGISTER_SLICE_LATENCY = 1


@module
def register_slice(clk, rst, s: Stream, m: Stream):
    """Cut all paths of a valid/ready stream: every output is a register (a skid buffer of two words).

    s: input (data, valid, ready); ready is low in reset and while two words wait. m: output (data, valid, ready).
    Latency REGISTER_SLICE_LATENCY (1) cycle, a word a cycle; one more word is taken after m.ready falls.
    """
    width = len(s.data)
    spare = Signal(intbv(0)[width:])
    ready, valid, spare_full = [Signal(bool(0)) for _ in range(3)]

    @always(clk.posedge)
    def move():
        if m.ready or not valid:
            if spare_full:
                m.data.next = spare
            else:
                m.data.next = s.data
        if ready:
            spare.next = s.data

    @always_seq(clk.posedge, reset=rst)
    def follow():
        if m.ready or not valid:
            valid.next = spare_full or (s.valid and ready)
            spare_full.next = False
            ready.next = True
        elif s.valid and ready:
            spare_full.next = True
            ready.next = False
        else:
            ready.next = not spare_full

    @always_comb
    def present():
        s.ready.next = ready
        m.valid.next = valid

    return move, follow, present
