"""Packs the codes of the quantizer into words."""

from myhdl import ConcatSignal, Signal, always, always_comb, always_seq, intbv, modbv

from accel.rtl.parts.bundles import Stream
from accel.rtl.parts.module import module

CODE_PACKER_LATENCY = 2
UNITS = 32  # parts of a word: one is what a beat of 1-bit codes fills


def _narrow(codes, bits, lanes):
    """The low `bits` bits of each lane's byte, side by side, repeated to 8 * lanes bits."""
    lowest = [8 * lane for lane in reversed(range(lanes))]
    parts = [codes(low) if bits == 1 else codes(low + bits, low) for low in lowest]
    return ConcatSignal(*parts * (8 // bits))


@module
def code_packer(clk, rst, s: Stream, code, beats_minus1, m: Stream, m_short=None, *, lanes):
    """Packs beats of `lanes` codes into words of 32 * lanes bits, little-endian, the first value lowest.

    s: beats (data, valid, last) of lanes x 8 bits, of which the low 8, 4, 2, 1 count (code 0, 1, 2, 3).
    beats_minus1: beats of a tensor less one; every tensor starts with a new word, its last word is filled up with 0.
    m: whole words (data, valid, last).
    s.last: the beat is the last one of its transfer, which ends the word; m.last: the word holds such a beat, m_short:
    it came before the tensor's last one. All three None where transfers have no end.
    Latency CODE_PACKER_LATENCY (2) from the beat that ends a word, a beat a cycle, no stall.
    """
    spread = Signal(intbv(0)[8 * lanes :])
    filling = Signal(intbv(0)[UNITS * lanes :])
    position = Signal(modbv(0)[5:])  # the unit that the beat starts with
    beat = Signal(modbv(0)[len(beats_minus1) :])
    chosen = Signal(intbv(0)[UNITS:])
    first, last, complete, ends, valid_1, done, last_1 = [Signal(bool(0)) for _ in range(7)]
    codes_4, codes_2, codes_1 = [_narrow(s.data, bits, lanes) for bits in (4, 2, 1)]

    @always(clk.posedge)
    def repeat():
        if code == 0:
            spread.next = s.data
        elif code == 1:
            spread.next = codes_4
        elif code == 2:
            spread.next = codes_2
        else:
            spread.next = codes_1

    @always_comb
    def locate():
        first.next = position == 0
        complete.next = beat == beats_minus1
        if code == 0:
            ends.next = position[5:3] == 3
        elif code == 1:
            ends.next = position[5:2] == 7
        elif code == 2:
            ends.next = position[5:1] == 15
        else:
            ends.next = position == 31

    @always_comb
    def choose():
        for u in range(UNITS):
            if code == 0:
                chosen.next[u] = position[5:3] == u // 8
            elif code == 1:
                chosen.next[u] = position[5:2] == u // 4
            elif code == 2:
                chosen.next[u] = position[5:1] == u // 2
            else:
                chosen.next[u] = position == u

    @always_seq(clk.posedge, reset=rst)
    def count():
        valid_1.next = s.valid
        done.next = valid_1 and (ends or last)
        if valid_1:
            beat.next = beat + 1
            if code == 0:
                position.next = position + 8
            elif code == 1:
                position.next = position + 4
            elif code == 2:
                position.next = position + 2
            else:
                position.next = position + 1
            if last:
                beat.next = 0
                position.next = 0

    if s.last is None:

        @always_comb
        def conclude():
            last.next = complete

        mark = ()
    else:

        @always_comb
        def conclude():
            last.next = complete or last_1

        @always(clk.posedge)
        def mark():
            last_1.next = s.last
            m.last.next = last_1
            m_short.next = last_1 and not complete

    @always(clk.posedge)
    def fill():
        if valid_1:
            for i in range(UNITS * lanes):
                if chosen[i // lanes]:
                    filling.next[i] = spread[i % (8 * lanes)]
                elif first:
                    filling.next[i] = False

    @always_comb
    def present():
        m.data.next = filling
        m.valid.next = done

    return repeat, locate, choose, count, conclude, mark, fill, present
