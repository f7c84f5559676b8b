"""The packer: groups of a few bytes become a contiguous stream of words."""

from myhdl import ConcatSignal, Signal, always, always_comb, always_seq, intbv, modbv

from accel.rtl.parts.bundles import Groups, Stream
from accel.rtl.parts.byte_rotator import byte_rotator
from accel.rtl.parts.module import module

PACKER_LATENCY = 2  # from the group that fills a word to the word; the rest behind a full last word comes one later
PACKER_LAST_LATENCY = PACKER_LATENCY + 1


@module
def packer(clk, rst, s: Groups, m: Stream, *, config):
    """Join groups of 1 to group_bytes bytes into words of `lanes` bytes, without gaps.

    s: groups (data, count, valid, last); data: group_bytes bytes, byte 0 low. m: words (data, valid, keep, last); data:
    first byte low, bytes that are not kept are 0; last: the layer's last word, the only one that may be incomplete.
    There is no ready on either side.
    config: lanes, group_bytes (at most lanes), group_count_bits.
    Latency PACKER_LATENCY (2) from the group that fills a word to the word; if the last group fills a word and has
    bytes left, these follow in the next cycle (PACKER_LAST_LATENCY). A group a cycle; no group in the cycle behind
    s.last.
    """
    lanes, group_bytes, lane_bits = config.lanes, config.group_bytes, config.lane_bits
    turn_bits = group_bytes.bit_length() - 1

    # Stage 1: the group, rotated so that byte j goes to a byte position j modulo group_bytes.
    position = Signal(modbv(0)[lane_bits:])
    start = Signal(intbv(0)[lane_bits:])
    stop, sum_stop = [Signal(modbv(0)[lane_bits + 1 :]) for _ in range(2)]
    current, current_last = [Signal(bool(0)) for _ in range(2)]
    aligned = Signal(intbv(0)[8 * group_bytes :])
    # The rotator moves bytes down: seen from the top, with the bytes in reverse order, that is up.
    reverse, rotated = [Signal(intbv(0)[8 * group_bytes :]) for _ in range(2)]
    reversed_data = ConcatSignal(*[s.data(8 * i + 8, 8 * i) for i in range(group_bytes)])
    turned = ConcatSignal(*[rotated(8 * i + 8, 8 * i) for i in range(group_bytes)])
    rotator = byte_rotator(reverse, position(turn_bits, 0), rotated)

    @always_comb
    def add():
        sum_stop.next = position + s.count
        reverse.next = reversed_data

    @always_seq(clk.posedge, reset=rst)
    def place():
        current.next = s.valid
        if s.valid and s.last:
            position.next = 0
        elif s.valid:
            position.next = sum_stop[lane_bits:]

    @always(clk.posedge)
    def turn():
        aligned.next = turned
        start.next = position
        stop.next = sum_stop
        current_last.next = s.last

    # Stage 2: bytes of the current word are written; bytes behind its end wait in `held` for one cycle.
    held, first_group = [Signal(intbv(0)[8 * group_bytes :]) for _ in range(2)]
    spill, spill_last, shown, ends_word, passes_word = [Signal(bool(0)) for _ in range(5)]
    spill_stop = Signal(intbv(0)[lane_bits:])
    write = Signal(intbv(0)[lanes:])
    contents = Signal(intbv(0)[8 * lanes :])
    copies = lanes // group_bytes
    spread = ConcatSignal(*[aligned] * (copies - 1), first_group) if copies > 1 else first_group

    @always_comb
    def compare():
        ends_word.next = current and (stop >= lanes)
        passes_word.next = current and (stop > lanes)
        for i in range(lanes):
            write.next[i] = (current and (start <= i) and (stop > i)) or (spill and (spill_stop > i))

    @always_comb
    def merge():
        for i in range(group_bytes):
            for j in range(8):
                if spill and (spill_stop > i):
                    first_group.next[8 * i + j] = held[8 * i + j]
                else:
                    first_group.next[8 * i + j] = aligned[8 * i + j]

    # A word starts as zeros, so the contents have a reset though they are data.
    @always_seq(clk.posedge, reset=rst)
    def fill():
        if current or spill or shown:
            for i in range(lanes):
                if write[i]:
                    for j in range(8):
                        contents.next[8 * i + j] = spread[8 * i + j]
                elif shown:
                    for j in range(8):
                        contents.next[8 * i + j] = False

    @always(clk.posedge)
    def hold():
        held.next = aligned
        spill_stop.next = stop[lane_bits:]
        for i in range(lanes):
            m.keep.next[i] = ends_word or (current and (stop > i)) or (spill_last and (spill_stop > i))

    @always_seq(clk.posedge, reset=rst)
    def show():
        spill.next = passes_word
        spill_last.next = passes_word and current_last
        shown.next = ends_word or (current and current_last) or spill_last
        m.last.next = (current and current_last and not passes_word) or spill_last

    @always_comb
    def present():
        m.valid.next = shown
        m.data.next = contents

    return rotator, add, place, turn, compare, merge, fill, hold, show, present
