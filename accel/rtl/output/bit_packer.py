"""The bit packer: groups of int8 channels become whole bytes of 8, 4, 2 or 1 bits a channel."""

from myhdl import ConcatSignal, Signal, always, always_comb, always_seq, block, concat, intbv, modbv

from accel.config import bits_code
from accel.rtl.parts.bundles import Groups
from accel.rtl.parts.module import module, unused


def _collects(config):
    """Whether a full group may be less than a byte."""
    return config.req_lanes * config.modes[-1] < 8


def bit_packer_latency(config):
    """Cycles from the group that completes a byte, or ends a pixel, to the bytes."""
    return 2 if _collects(config) else 1


@block
def _low_bits(data, count, kept, *, bits):
    """The low `bits` bits of each channel that counts, the others 0."""
    channels = len(kept) // bits

    @always_comb
    def keep():
        for i in range(channels):
            for j in range(bits):
                kept.next[bits * i + j] = data[8 * i + j] and (count > i)

    return keep


@block
def _plus_bits(data, count, plus):
    """A bit for each channel: 1 where it counts and is not negative."""
    channels = len(plus)

    @always_comb
    def look():
        for i in range(channels):
            plus.next[i] = (not data[8 * i + 7]) and (count > i)

    return look


@block
def _choose(code, count, word, other_word, other_bytes, chosen, chosen_bytes, *, number):
    """The narrow word and its bytes where code is `number`, else the others."""
    width = len(word)

    @always_comb
    def choose():
        chosen.next = other_word
        chosen_bytes.next = other_bytes
        if code == number:
            chosen.next = 0
            chosen.next[width:] = word
            if count[number:] == 0:
                chosen_bytes.next = count >> number
            else:
                chosen_bytes.next = (count >> number) + 1

    return choose


@module
def bit_packer(clk, rst, code, s: Groups, m: Groups, *, config):
    """Pack the channels of a pixel into whole bytes, low channel low, the bits behind the last channel 0.

    code: width of the channels, 0, 1, 2, 3 for 8, 4, 2, 1 bits, constant during a layer; 0 also for groups that are
    bytes already (int32 accumulators).
    s: groups of group_bytes bytes, a channel each; count: req_lanes but in the last group of a pixel; a 4- or 2-bit
    channel is in the low bits, a 1-bit channel is +1 or -1. m: the same bytes packed (data, count, valid, last).
    Groups of fewer bits than a byte are collected until a byte is full or the pixel ends.
    config: req_lanes, modes (widths that it packs), group_bytes, group_count_bits.
    Latency bit_packer_latency(config) cycles, a group every cycle, never stalls.
    """
    lanes, width, modes = config.req_lanes, 8 * config.group_bytes, config.modes
    if not config.mixed:
        raise ValueError("bit_packer: a build of one precision has bytes only")
    narrow, parts = {}, []
    low_bits = max([bits for bits in modes if bits in (4, 2)], default=0)
    if low_bits:
        kept = Signal(intbv(0)[low_bits * lanes :])
        parts.append(_low_bits(s.data, s.count, kept, bits=low_bits))
        narrow[low_bits] = kept
    if {4, 2} <= set(modes):
        crumbs = [kept(4 * i + 2, 4 * i) for i in reversed(range(lanes))]
        narrow[2] = ConcatSignal(*crumbs) if lanes > 1 else crumbs[0]
    if 1 in modes:
        narrow[1] = Signal(intbv(0)[lanes:])
        parts.append(_plus_bits(s.data, s.count, narrow[1]))
    word, size = s.data, s.count
    choices = []
    for bits in modes[1:]:
        chosen, chosen_bytes = Signal(intbv(0)[width:]), Signal(intbv(0)[len(s.count) :])
        choices.append(_choose(code, s.count, narrow[bits], word, size, chosen, chosen_bytes, number=bits_code(bits)))
        word, size = chosen, chosen_bytes

    if not _collects(config):
        unused(s.pixel_last)

        @always_seq(clk.posedge, reset=rst)
        def follow():
            m.valid.next = s.valid

        @always(clk.posedge)
        def carry():
            m.data.next = word
            m.count.next = size
            m.last.next = s.last

        return parts, choices, follow, carry

    word_1, size_1 = Signal(intbv(0)[width:]), Signal(intbv(0)[len(s.count) :])
    valid_1, pixel_last_1, last_1, ends = [Signal(bool(0)) for _ in range(4)]
    step, position, place = [Signal(modbv(0)[3:]) for _ in range(3)]  # in bits of the byte that is collected
    step_4, step_2, step_1 = [lanes * bits % 8 for bits in (4, 2, 1)]
    collected = Signal(intbv(0)[8:])
    low, merged = Signal(intbv(0)[8:]), Signal(modbv(0)[8:])

    @always_comb
    def measure():
        step.next = 0
        if code == 1:
            step.next = step_4
        elif code == 2:
            step.next = step_2
        elif code == 3:
            step.next = step_1

    @always_comb
    def advance():
        place.next = position + step
        low.next = word_1[8:]

    @always_comb
    def merge():
        ends.next = valid_1 and (pixel_last_1 or (place == 0))
        merged.next = collected | (low << position)

    @always_seq(clk.posedge, reset=rst)
    def follow():
        valid_1.next = s.valid
        m.valid.next = ends
        if ends:
            position.next = 0
            collected.next = 0
        elif valid_1:
            position.next = place
            collected.next = merged

    @always(clk.posedge)
    def carry():
        word_1.next = word
        size_1.next = size
        pixel_last_1.next = s.pixel_last
        last_1.next = s.last
        m.data.next = concat(word_1[width:8], merged)
        m.count.next = size_1
        m.last.next = last_1

    return parts, choices, measure, advance, merge, follow, carry
