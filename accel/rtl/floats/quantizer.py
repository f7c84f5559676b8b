"""The quantizer unit: a stream of float32 becomes a stream of packed integers."""

from myhdl import ConcatSignal, Signal, always_comb, always_seq, concat, intbv

from accel.rtl.floats.code_packer import CODE_PACKER_LATENCY, code_packer
from accel.rtl.floats.quantize_lane import NAN_LATENCY, QUANTIZE_LANE_LATENCY, quantize_lane
from accel.rtl.parts.bundles import Bundle, Stream
from accel.rtl.parts.delay import delay
from accel.rtl.parts.fifo import FIFO_LATENCY, fifo
from accel.rtl.parts.module import module

QUANTIZER_LATENCY = QUANTIZE_LANE_LATENCY + CODE_PACKER_LATENCY + FIFO_LATENCY
FIFO_DEPTH = 32
# From a beat to its word in the FIFO's level and from there to s_ready; each of these beats may end a word.
BEATS_IN_FLIGHT = QUANTIZE_LANE_LATENCY + CODE_PACKER_LATENCY + 2


class Quantization(Bundle):
    """How floats become integers.

    inv_scale, zero_point, code: as at quantize_lane. beats_minus1: beats of a tensor less one.
    """

    members = ("inv_scale", "zero_point", "code", "beats_minus1")
    prefix = False


@module
def quantizer(clk, rst, quantization: Quantization, clear_nan, nan_seen, s: Stream, m: Stream, m_short=None, *, lanes):
    """float32 stream -> packed INT8, INT4, INT2 or 1-bit stream, exact for every float32 (see quantize_lane).

    quantization: constant while a tensor is under way. clear_nan: a pulse clears nan_seen, which every NaN sets.
    s: `lanes` floats a beat, the first lowest; every tensor starts on a beat. m: words of the same width,
    little-endian, the first value lowest; every tensor starts with a new word; its last word is filled up with 0 behind
    the last beat. Both are data, valid, ready, last; s.last, m.last, m_short: ends of transfers, as at code_packer, or
    None.
    Latency QUANTIZER_LATENCY (14) from the beat that ends a word, a beat a cycle; stalls only where FIFO_DEPTH words
    wait for m.ready. s.ready and m.valid are registers.
    """
    pipe = Signal(intbv(0)[QUANTIZE_LANE_LATENCY:])
    lane_codes = [Signal(intbv(0)[8:]) for _ in range(lanes)]
    nans = [Signal(bool(0)) for _ in range(lanes)]
    word = Signal(intbv(0)[32 * lanes :])
    level = Signal(intbv(0)[FIFO_DEPTH.bit_length() :])
    taken, codes_valid, word_valid, word_ready, ready, seen = [Signal(bool(0)) for _ in range(6)]
    converters = [
        quantize_lane(
            clk,
            s.data(32 * lane + 32, 32 * lane),
            inv_scale=quantization.inv_scale,
            zero_point=quantization.zero_point,
            code=quantization.code,
            q=lane_codes[lane],
            nan=nans[lane],
        )
        for lane in range(lanes)
    ]
    codes = ConcatSignal(*reversed(lane_codes)) if lanes > 1 else lane_codes[0]
    any_nan = ConcatSignal(*nans) if lanes > 1 else nans[0]

    @always_seq(clk.posedge, reset=rst)
    def follow():
        pipe.next = concat(pipe[QUANTIZE_LANE_LATENCY - 1 :], taken)
        ready.next = level <= FIFO_DEPTH - BEATS_IN_FLIGHT
        if clear_nan:
            seen.next = False
        elif pipe[NAN_LATENCY - 1] and any_nan != 0:
            seen.next = True

    @always_comb
    def present():
        taken.next = s.valid and ready
        codes_valid.next = pipe[QUANTIZE_LANE_LATENCY - 1]
        s.ready.next = ready
        nan_seen.next = seen

    if s.last is None:
        packing = code_packer(
            clk,
            rst,
            Stream(codes, codes_valid),
            code=quantization.code,
            beats_minus1=quantization.beats_minus1,
            m=Stream(word, word_valid),
            lanes=lanes,
        )
        words = fifo(
            clk, rst, Stream(word, word_valid, word_ready), Stream(m.data, m.valid, m.ready), level, depth=FIFO_DEPTH
        )
        return converters, follow, present, packing, words

    beat_last, late_last = [Signal(intbv(0)[1:]) for _ in range(2)]
    codes_last, word_last, word_short = [Signal(bool(0)) for _ in range(3)]
    marked, m_word = [Signal(intbv(0)[32 * lanes + 2 :]) for _ in range(2)]
    wait_last = delay(clk, beat_last, late_last, cycles=QUANTIZE_LANE_LATENCY)
    packing = code_packer(
        clk,
        rst,
        Stream(codes, codes_valid, last=codes_last),
        code=quantization.code,
        beats_minus1=quantization.beats_minus1,
        m=Stream(word, word_valid, last=word_last),
        m_short=word_short,
        lanes=lanes,
    )
    words = fifo(
        clk, rst, Stream(marked, word_valid, word_ready), Stream(m_word, m.valid, m.ready), level, depth=FIFO_DEPTH
    )

    @always_comb
    def join():
        beat_last.next = s.last
        codes_last.next = late_last[0]
        marked.next = concat(word_short, word_last, word)

    @always_comb
    def split():
        m.data.next = m_word[32 * lanes :]
        m.last.next = m_word[32 * lanes]
        m_short.next = m_word[32 * lanes + 1]

    return converters, follow, present, wait_last, packing, words, join, split
