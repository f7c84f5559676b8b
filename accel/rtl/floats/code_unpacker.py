"""Takes words of codes or accumulators apart into beats of 32-bit values for the dequantizer."""

from myhdl import ConcatSignal, Signal, always, always_comb, always_seq, block, intbv, modbv

from accel.rtl.parts.bundles import Stream
from accel.rtl.parts.module import module

CODE_UNPACKER_LATENCY = 2


@module
def value_widener(clk, raw, code, element, octet, nibble, crumb, sign, value):
    """value = the element of the width in use, in 32 bits two's complement.

    raw, code: as at code_unpacker. element: 32 bits, octet: 8, nibble: 4, crumb: 2, two's complement; sign: the bit
    that stands for -1 or +1. Latency 1, a value a cycle, no stall.
    """
    wide = Signal(intbv(0, min=-(2**31), max=2**31))

    @always(clk.posedge)
    def choose():
        if raw:
            wide.next = element[32:].signed()
        elif code == 0:
            wide.next = octet[8:].signed()
        elif code == 1:
            wide.next = nibble[4:].signed()
        elif code == 2:
            wide.next = crumb[2:].signed()
        elif sign:
            wide.next = 1
        else:
            wide.next = -1

    @always_comb
    def present():
        value.next = wide[32:]

    return choose, present


@block
def _any_of(bits, found, *, places):
    """found: one of the bits at these places is set."""
    if len(places) == 1:
        only = bits(places[0])

        @always_comb
        def take():
            found.next = only

        return take

    chosen = ConcatSignal(*[bits(place) for place in places])

    @always_comb
    def look():
        found.next = chosen != 0

    return look


@module
def code_unpacker(clk, rst, raw, code, launch_ok, s: Stream, m: Stream, *, lanes):
    """Beats of `lanes` values from words of packed codes, or of accumulators with raw, the lowest first.

    raw, code: int32 elements, or 8, 4, 2, 1 bits (code 0, 1, 2, 3); constant while a tensor is under way.
    launch_ok: a beat may leave in this cycle. s: words of 32 * lanes bits (data, valid, ready, keep, last), whole
    elements from the lowest on; s.ready follows launch_ok within the cycle.
    m: beats of lanes x 32 bits two's complement (data, valid, keep, last); keep: a bit for each lane that counts; last:
    the tensor's last beat.
    Latency CODE_UNPACKER_LATENCY (2), a beat a cycle, a word in as many cycles as it fills beats.
    """
    width, data_bytes = 32 * lanes, 4 * lanes
    count_bits = data_bytes.bit_length()
    held, shifted = [Signal(intbv(0)[width:]) for _ in range(2)]
    ends = Signal(intbv(0)[data_bytes:])
    remaining, arriving = [Signal(modbv(0)[width.bit_length() :]) for _ in range(2)]
    parts = [Signal(intbv(0)[32:]) for _ in range(lanes)]
    holding, held_last, ending, launch, load = [Signal(bool(0)) for _ in range(5)]
    wideners = [
        value_widener(
            clk,
            raw,
            code,
            held(32 * i + 32, 32 * i),
            held(8 * i + 8, 8 * i),
            held(4 * i + 4, 4 * i),
            held(2 * i + 2, 2 * i),
            held(i),
            parts[i],
        )
        for i in range(lanes)
    ]
    # The bytes kept: keep has no gaps, so it ends at one place; each bit of the count is an OR over places.
    count_parts = [Signal(bool(0)) for _ in range(count_bits)]
    counters = [
        _any_of(ends, count_parts[j], places=tuple(i for i in range(data_bytes) if (i + 1) >> j & 1))
        for j in range(count_bits)
    ]
    count = ConcatSignal(*reversed(count_parts))
    joined = ConcatSignal(*reversed(parts)) if lanes > 1 else parts[0]
    low_8, low_4, low_2, low_1 = 8 * lanes, 4 * lanes, 2 * lanes, lanes

    @always_comb
    def find_end():
        for i in range(data_bytes - 1):
            ends.next[i] = s.keep[i] and not s.keep[i + 1]
        ends.next[data_bytes - 1] = s.keep[data_bytes - 1]

    @always_comb
    def convert():
        arriving.next = count
        if raw:
            arriving.next = count >> 2
        elif code == 1:
            arriving.next = count << 1
        elif code == 2:
            arriving.next = count << 2
        elif code == 3:
            arriving.next = count << 3

    @always_comb
    def control():
        ending.next = remaining <= lanes
        launch.next = holding and launch_ok

    @always_comb
    def accept():
        load.next = not holding or (launch and ending)

    @always_comb
    def move():
        shifted.next = 0
        if code == 0:
            shifted.next[width - low_8 :] = held[:low_8]
        elif code == 1:
            shifted.next[width - low_4 :] = held[:low_4]
        elif code == 2:
            shifted.next[width - low_2 :] = held[:low_2]
        else:
            shifted.next[width - low_1 :] = held[:low_1]

    @always(clk.posedge)
    def hold():
        if load:
            held.next = s.data
            held_last.next = s.last
        elif launch:
            held.next = shifted

    @always_seq(clk.posedge, reset=rst)
    def follow():
        m.valid.next = launch
        if load:
            holding.next = s.valid
            remaining.next = arriving
        elif launch:
            remaining.next = remaining - lanes

    @always(clk.posedge)
    def mark():
        m.last.next = held_last and ending
        for i in range(lanes):
            m.keep.next[i] = remaining > i

    @always_comb
    def present():
        s.ready.next = load
        m.data.next = joined

    return wideners, counters, find_end, convert, control, accept, move, hold, follow, mark, present
