"""The float input: the quantizer of the input stream, and beside it the range observer with the scale generator."""

from myhdl import Signal, always_comb, intbv

from accel.rtl.floats.quantizer import quantizer
from accel.rtl.floats.range_observer import range_observer
from accel.rtl.floats.scale_generator import scale_generator
from accel.rtl.parts.module import module, unused


@module
def float_input(
    clk,
    rst,
    stream_rst,
    input_scale,
    input_format,
    beats_minus1,
    clear,
    start,
    code,
    symmetric,
    s_data,
    s_valid,
    s_ready,
    s_last,
    m_data,
    m_valid,
    m_ready,
    m_last,
    nan_seen,
    minimum,
    maximum,
    abs_max,
    scale,
    inv_scale,
    zero_point,
    invalid,
    busy,
    m_short=None,
    *,
    lanes,
):
    """float32 stream -> packed integers; watches the range of what it takes.

    rst resets the observer and the generator, stream_rst the stream. input_scale, input_format (zero point in bits 7:0,
    width code in bits 9:8), beats_minus1: of the quantizer. clear forgets the range and the NaN flag, start makes the
    scale of the range for the width `code`, symmetric or affine (see range_observer and scale_generator).
    s_*, m_*: streams of `lanes` floats a beat and of words as wide, see quantizer; latency and stalls are its own.
    s_last, m_last, m_short: ends of transfers, see quantizer, or None.
    """
    unused(input_format, 11, 10)
    observed = Signal(bool(0))
    ready = Signal(bool(0))
    stream = quantizer(
        clk,
        stream_rst,
        input_scale,
        input_format(8, 0),
        input_format(10, 8),
        beats_minus1,
        clear,
        nan_seen,
        s_data,
        s_valid,
        ready,
        s_last,
        m_data,
        m_valid,
        m_ready,
        m_last,
        m_short,
        lanes=lanes,
    )
    range_nan = Signal(bool(0))
    low, high = [Signal(intbv(0)[32:]) for _ in range(2)]
    observer = range_observer(clk, rst, clear, s_data, observed, range_nan, low, high, abs_max, lanes=lanes)
    generator = scale_generator(
        clk, rst, start, low, high, code, symmetric, scale, inv_scale, zero_point, invalid, busy
    )

    @always_comb
    def present():
        observed.next = s_valid and ready
        s_ready.next = ready
        minimum.next = low
        maximum.next = high

    return stream, observer, generator, present
