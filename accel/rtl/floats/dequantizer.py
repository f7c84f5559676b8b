"""The dequantizer unit: a stream of packed integers or accumulators becomes a stream of float32."""

from myhdl import ConcatSignal, Signal, always_comb, always_seq, concat, intbv

from accel.rtl.floats.code_unpacker import CODE_UNPACKER_LATENCY, code_unpacker
from accel.rtl.floats.dequantize_lane import DEQUANTIZE_LANE_LATENCY, dequantize_lane
from accel.rtl.output.output_fifo import output_fifo
from accel.rtl.parts.bundles import Stream
from accel.rtl.parts.delay import delay
from accel.rtl.parts.fifo import FIFO_LATENCY
from accel.rtl.parts.module import module

DEQUANTIZER_LATENCY = CODE_UNPACKER_LATENCY + DEQUANTIZE_LANE_LATENCY + FIFO_LATENCY
FIFO_DEPTH = 32
# From launch_ok to the beat in the FIFO's level and from there to launch_ok.
BEATS_IN_FLIGHT = DEQUANTIZE_LANE_LATENCY + 4


@module
def dequantizer(clk, rst, flush, closing, scale, zero_point, raw, code, s: Stream, m: Stream, *, lanes):
    """Packed INT8, INT4, INT2, 1-bit or int32 stream -> float32 stream: scale * (q - zero_point), see dequantize_lane.

    rst, flush, closing: as at output_fifo; flush drops what is under way.
    scale, zero_point: as at dequantize_lane. raw: elements are int32, else of 8, 4, 2, 1 bits by code 0, 1, 2, 3. All
    constant while a tensor is under way.
    s: words of 32 * lanes bits, little-endian, the first element lowest; m: `lanes` floats a beat, the first lowest;
    both data, valid, ready, keep, last. The elements of every kept byte come out, those that fill up a pixel's bytes
    included.
    Latency DEQUANTIZER_LATENCY (18), a beat a cycle, stalls only where FIFO_DEPTH beats wait for m.ready.
    """
    values, floats = [Signal(intbv(0)[32 * lanes :]) for _ in range(2)]
    kept, late_kept, m_kept = [Signal(intbv(0)[lanes:]) for _ in range(3)]
    last, valid, late_last, late_valid, launch_ok, beat_ready = [Signal(bool(0)) for _ in range(6)]
    lane_floats = [Signal(intbv(0)[32:]) for _ in range(lanes)]
    marks, late_marks = [Signal(intbv(0)[lanes + 1 :]) for _ in range(2)]
    pipe = Signal(intbv(0)[DEQUANTIZE_LANE_LATENCY:])
    level = Signal(intbv(0)[FIFO_DEPTH.bit_length() :])
    unpack = code_unpacker(
        clk,
        flush,
        raw=raw,
        code=code,
        launch_ok=launch_ok,
        s=s,
        m=Stream(values, valid, keep=kept, last=last),
        lanes=lanes,
    )
    converters = [
        dequantize_lane(clk, values(32 * i + 32, 32 * i), scale, zero_point, lane_floats[i]) for i in range(lanes)
    ]
    joined = ConcatSignal(*reversed(lane_floats)) if lanes > 1 else lane_floats[0]
    wait_marks = delay(clk, marks, late_marks, cycles=DEQUANTIZE_LANE_LATENCY)

    @always_seq(clk.posedge, reset=flush)
    def follow():
        pipe.next = concat(pipe[DEQUANTIZE_LANE_LATENCY - 1 :], valid)
        launch_ok.next = level <= FIFO_DEPTH - BEATS_IN_FLIGHT

    @always_comb
    def collect():
        marks.next = concat(last, kept)
        late_valid.next = pipe[DEQUANTIZE_LANE_LATENCY - 1]
        late_last.next = late_marks[lanes]
        late_kept.next = late_marks[lanes:]

    beats = output_fifo(
        clk,
        rst,
        flush,
        closing,
        Stream(joined, late_valid, beat_ready, late_kept, late_last),
        Stream(m.data, m.valid, m.ready, m_kept, m.last),
        level,
        depth=FIFO_DEPTH,
    )

    @always_comb
    def present():
        for i in range(4 * lanes):
            m.keep.next[i] = m_kept[i // 4]

    return unpack, converters, wait_marks, follow, collect, beats, present
