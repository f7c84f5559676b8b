"""The FIFO in front of m_axis: an abort empties it without breaking a rule of AXI4-Stream."""

from myhdl import Signal, always_comb, always_seq, concat, intbv

from accel.rtl.parts.bundles import Stream
from accel.rtl.parts.fifo import fifo
from accel.rtl.parts.module import module


@module
def output_fifo(clk, rst, flush, closing, s: Stream, m: Stream, level, *, depth):
    """FIFO of output beats; a beat that m.valid has offered stays until m.ready takes it, also over a flush.

    s: input, m: output (data, valid, ready, keep, last); level, depth: as at fifo. flush: drops the beats that are not
    offered yet. closing: in the cycle of flush, a tensor that it cuts shall end: behind the beats that were offered
    comes one with m.last that keeps one byte and has no meaning. A tensor is cut where the receiver has taken, or is
    offered, some of it but not its last beat.
    Latency FIFO_LATENCY (2) cycles, a beat a cycle.
    """
    data_bits, keep_bits = len(m.data), len(m.keep)
    word, oldest = [Signal(intbv(0)[data_bits + keep_bits + 1 :]) for _ in range(2)]
    # begun: the receiver has a part of a tensor. promised: the offered beat is the cut tensor's last, one with m.last
    # must follow. ending: that one is offered.
    valid, ready, hold, last, unfinished, closes, begun, promised, ending = [Signal(bool(0)) for _ in range(9)]
    beats = fifo(
        clk, rst, Stream(word, s.valid, s.ready), Stream(oldest, valid, ready), level, flush, hold, depth=depth
    )

    @always_comb
    def join():
        word.next = concat(s.last, s.keep, s.data)

    @always_comb
    def look():
        last.next = oldest[data_bits + keep_bits] or ending
        ready.next = m.ready and not promised

    @always_comb
    def judge():
        if valid:
            unfinished.next = not last
        else:
            unfinished.next = begun

    @always_comb
    def decide():
        closes.next = (closing or promised) and unfinished
        hold.next = (valid and not m.ready) or ((closing or promised) and unfinished)

    @always_seq(clk.posedge, reset=rst)
    def follow():
        if valid and m.ready:
            begun.next = not last
            promised.next = False
            ending.next = promised
        if flush:
            if valid and not m.ready:
                promised.next = closes
            else:
                promised.next = False
                ending.next = closes

    @always_comb
    def present():
        m.data.next = oldest[data_bits:]
        m.last.next = last
        m.valid.next = valid
        if ending:
            m.keep.next = 1
        else:
            m.keep.next = oldest[data_bits + keep_bits : data_bits]

    return beats, join, look, judge, decide, follow, present
