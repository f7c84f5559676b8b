"""The quantizer unit: a stream of float32 becomes a stream of packed integers."""

from myhdl import ConcatSignal, Signal, always_comb, always_seq, concat, intbv

from accel.rtl.floats.code_packer import CODE_PACKER_LATENCY, code_packer
from accel.rtl.floats.quantize_lane import NAN_LATENCY, QUANTIZE_LANE_LATENCY, quantize_lane
from accel.rtl.parts.bundles import Stream
from accel.rtl.parts.delay import delay
from accel.rtl.parts.fifo import FIFO_LATENCY, fifo
from accel.rtl.parts.module import module

QUANTIZER_LATENCY = QUANTIZE_LANE_LATENCY + CODE_PACKER_LATENCY + FIFO_LATENCY
FIFO_DEPTH = 32
# From a beat to its word in the FIFO's level and from there to s_ready; each of these beats may end a word.
BEATS_IN_FLIGHT = QUANTIZE_LANE_LATENCY + CODE_PACKER_LATENCY + 2


@module
def quantizer(
    clk,
    rst,
    inv_scale,
    zero_point,
    code,
    beats_minus1,
    clear_nan,
    nan_seen,
    s_data,
    s_valid,
    s_ready,
    s_last,
    m_data,
    m_valid,
    m_ready,
    m_last=None,
    m_short=None,
    *,
    lanes,
):
    """float32 stream -> packed INT8, INT4, INT2 or 1-bit stream, exact for every float32 (see quantize_lane).

    inv_scale, zero_point, code: as at quantize_lane. beats_minus1: beats of a tensor less one. All constant while a
    tensor is under way. clear_nan: a pulse clears nan_seen, which every NaN sets.
    s_data, s_valid, s_ready: `lanes` floats a beat, the first lowest; every tensor starts on a beat.
    m_data, m_valid, m_ready: words of the same width, little-endian, the first value lowest; every tensor starts with
    a new word; its last word is filled up with 0 behind the last beat.
    s_last, m_last, m_short: ends of transfers, as at code_packer, or None.
    Latency QUANTIZER_LATENCY (14) from the beat that ends a word, a beat a cycle; stalls only where FIFO_DEPTH words
    wait for m_ready. s_ready and m_valid are registers.
    """
    pipe = Signal(intbv(0)[QUANTIZE_LANE_LATENCY:])
    lane_codes = [Signal(intbv(0)[8:]) for _ in range(lanes)]
    nans = [Signal(bool(0)) for _ in range(lanes)]
    word = Signal(intbv(0)[32 * lanes :])
    level = Signal(intbv(0)[FIFO_DEPTH.bit_length() :])
    taken, codes_valid, word_valid, word_ready, ready, seen = [Signal(bool(0)) for _ in range(6)]
    converters = [
        quantize_lane(clk, s_data(32 * lane + 32, 32 * lane), inv_scale, zero_point, code, lane_codes[lane], nans[lane])
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
        taken.next = s_valid and ready
        codes_valid.next = pipe[QUANTIZE_LANE_LATENCY - 1]
        s_ready.next = ready
        nan_seen.next = seen

    if s_last is None:
        packing = code_packer(clk, rst, codes, codes_valid, None, code, beats_minus1, word, word_valid, lanes=lanes)
        words = fifo(
            clk, rst, Stream(word, word_valid, word_ready), Stream(m_data, m_valid, m_ready), level, depth=FIFO_DEPTH
        )
        return converters, follow, present, packing, words

    beat_last, late_last = [Signal(intbv(0)[1:]) for _ in range(2)]
    codes_last, word_last, word_short = [Signal(bool(0)) for _ in range(3)]
    marked, m_word = [Signal(intbv(0)[32 * lanes + 2 :]) for _ in range(2)]
    wait_last = delay(clk, beat_last, late_last, cycles=QUANTIZE_LANE_LATENCY)
    packing = code_packer(
        clk,
        rst,
        codes,
        codes_valid,
        codes_last,
        code,
        beats_minus1,
        word,
        word_valid,
        word_last,
        word_short,
        lanes=lanes,
    )
    words = fifo(
        clk, rst, Stream(marked, word_valid, word_ready), Stream(m_word, m_valid, m_ready), level, depth=FIFO_DEPTH
    )

    @always_comb
    def join():
        beat_last.next = s_last
        codes_last.next = late_last[0]
        marked.next = concat(word_short, word_last, word)

    @always_comb
    def split():
        m_data.next = m_word[32 * lanes :]
        m_last.next = m_word[32 * lanes]
        m_short.next = m_word[32 * lanes + 1]

    return converters, follow, present, wait_last, packing, words, join, split
