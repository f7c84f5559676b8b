"""The int6 unpacker: host words of packed 6-bit weights become int8 words of the weight bank."""

from myhdl import Signal, always, always_comb, block, concat, intbv

from accel.rtl.parts.bundles import WeightWrite
from accel.rtl.parts.module import module

GROUP_WORDS = 3  # host words with 16 weights of 6 bits, which fill four bank words of 32 bits


@block
def _extend(narrow, wide):
    """Four 6-bit integers to four bytes."""

    @always_comb
    def extend():
        for i in range(4):
            for j in range(6):
                wide.next[8 * i + j] = narrow[6 * i + j]
            wide.next[8 * i + 6] = narrow[6 * i + 5]
            wide.next[8 * i + 7] = narrow[6 * i + 5]

    return extend


@block
def _pick_place(wrow, wpart, place, *, part_bits):
    if part_bits == 0:

        @always_comb
        def from_row():
            place.next = wrow[2:]

        return from_row
    if part_bits == 1:

        @always_comb
        def from_both():
            place.next = concat(wrow[0], wpart)

        return from_both

    @always_comb
    def from_part():
        place.next = wpart[2:]

    return from_part


@module
def int6_unpacker(clk, s: WeightWrite, m: WeightWrite, *, config):
    """Writes of the weight bank: int8 ones pass, packed ones are unpacked.

    s: host write of 32 bits, by we or packed_we. The three words of a packed group come in order at places 0, 1, 2 of
    four bank words; a write to place 3 is dropped.
    m: write of the bank. pair: the even word takes the low half of m.wdata, the next one the high half, otherwise both
    halves hold the same word.
    Latency 1 cycle, a write every cycle.
    """
    part_bits = 0 if s.wpart is None else len(s.wpart)
    place = Signal(intbv(0)[2:])
    kept = Signal(intbv(0)[16:])  # bits of the group that no bank word has taken yet
    first, second = [Signal(intbv(0)[24:]) for _ in range(2)]
    first_wide, second_wide = [Signal(intbv(0)[32:]) for _ in range(2)]
    locate = _pick_place(s.wrow, s.wpart, place, part_bits=part_bits)
    extend_first = _extend(first, first_wide)
    extend_second = _extend(second, second_wide)

    @always_comb
    def assemble():
        second.next = s.wdata[32:8]
        if place == 0:
            first.next = s.wdata[24:]
        elif place == 1:
            first.next = concat(s.wdata[16:], kept[8:])
        else:
            first.next = concat(s.wdata[8:], kept[16:])

    @always(clk.posedge)
    def take():
        m.we.next = s.we or (s.packed_we and place != GROUP_WORDS)
        m.pair.next = s.packed_we and place == 2
        m.waddr.next = s.waddr
        m.wrow.next = s.wrow
        if s.packed_we:
            if place == 0:
                kept.next = s.wdata[32:24]
            else:
                kept.next = s.wdata[32:16]
            m.wdata.next[32:] = first_wide
            if place == 2:
                m.wdata.next[64:32] = second_wide
            else:
                m.wdata.next[64:32] = first_wide
        else:
            m.wdata.next[32:] = s.wdata
            m.wdata.next[64:32] = s.wdata

    if s.wpart is None:
        return locate, extend_first, extend_second, assemble, take

    @always(clk.posedge)
    def take_part():
        m.wpart.next = s.wpart

    return locate, extend_first, extend_second, assemble, take, take_part
