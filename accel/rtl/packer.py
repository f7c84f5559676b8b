"""The packer: groups of bytes to contiguous words."""

from myhdl import ConcatSignal, Signal, always, always_comb, always_seq, intbv, modbv

from accel.rtl.byte_rotator import byte_rotator
from accel.rtl.hierarchy import module

PACKER_LATENCY = 2


@module
def packer(clk, rst, start, s_data, s_count, s_valid, s_last, m_data, m_keep, m_valid, m_last, *, config):
    """Joins groups of 1 .. group_bytes bytes to words of lanes bytes, without gaps, low bytes first.

    start: one cycle, before the first group of a layer: whatever is left of an older one is forgotten.
    s_data, s_count, s_valid: a group and its valid bytes; s_last: the layer's last group.
    m_data, m_valid: a word. m_last: the layer's last word; m_keep: a bit for each of its valid bytes, all ones before.
    Latency PACKER_LATENCY cycles from the group that completes a word; the last group may complete two, then the last
    word follows one cycle later. A group a cycle, but nothing directly behind the last one; never stalls.
    """
    lanes, lane_bits = config.lanes, config.lane_bits
    padding = lanes - config.group_bytes
    count_bits = min(lane_bits, config.group_count_bits)
    filled, distance = [Signal(modbv(0)[lane_bits:]) for _ in range(2)]  # bytes in the open word, and its negative
    filled_1 = Signal(intbv(0)[lane_bits:])
    total, total_1 = [Signal(modbv(0)[lane_bits + 1:]) for _ in range(2)]
    valid_1, last_1, flush = [Signal(bool(0)) for _ in range(3)]
    rotated, rotated_1, joined, opened = [Signal(intbv(0)[config.word_bits:]) for _ in range(4)]
    taken, flags = [Signal(intbv(0)[lanes:]) for _ in range(2)]
    widened = ConcatSignal("0" * (8 * padding), s_data) if padding else s_data
    place = byte_rotator(widened, distance, rotated)

    @always_comb
    def measure():
        total.next = filled + s_count

    @always_comb
    def join():
        for j in range(lanes):
            for b in range(8):
                if filled_1 > j:
                    joined.next[8 * j + b] = opened[8 * j + b]
                else:
                    joined.next[8 * j + b] = rotated_1[8 * j + b]

    @always_comb
    def mark():
        for j in range(lanes):
            taken.next[j] = total_1 > j
            flags.next[j] = filled_1 > j

    @always_seq(clk.posedge, reset=rst)
    def sequence():
        valid_1.next = s_valid
        last_1.next = s_last
        flush.next = valid_1 and last_1 and total_1 > lanes
        if start or (s_valid and s_last):
            filled.next = 0
            distance.next = 0
        elif s_valid:
            filled.next = total[lane_bits:]
            distance.next = distance - s_count[count_bits:]
        m_valid.next = flush or (valid_1 and (last_1 or total_1 >= lanes))
        m_last.next = flush or (valid_1 and last_1 and total_1 <= lanes)

    @always(clk.posedge)
    def move():
        rotated_1.next = rotated
        if s_valid:
            filled_1.next = filled
        elif valid_1:
            filled_1.next = total_1[lane_bits:]  # what a flush keeps
        total_1.next = total
        m_data.next = joined
        if flush:
            m_data.next = opened
            m_keep.next = flags
        else:
            m_keep.next = taken
        if valid_1:
            if total_1 >= lanes:
                opened.next = rotated_1
            else:
                opened.next = joined

    return place, measure, join, mark, sequence, move
