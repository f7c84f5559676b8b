"""The float input: the quantizer of the input stream, and beside it the range observer with the scale generator."""

from myhdl import Signal, always_comb, intbv

from accel.rtl.floats.float_registers import FloatFormats, RangeRequest
from accel.rtl.floats.quantizer import Quantization, quantizer
from accel.rtl.floats.range_observer import Observed, range_observer
from accel.rtl.floats.scale_generator import MadeScale, scale_generator
from accel.rtl.parts.bundles import Stream
from accel.rtl.parts.module import module, unused


@module
def float_input(
    clk,
    rst,
    stream_rst,
    formats: FloatFormats,
    request: RangeRequest,
    s: Stream,
    m: Stream,
    seen: Observed,
    made: MadeScale,
    m_short=None,
    *,
    lanes,
):
    """float32 stream -> packed integers; watches the range of what it takes.

    rst resets the observer and the generator, stream_rst the stream. formats: those of the input. request: see
    range_observer and scale_generator.
    s, m: streams of `lanes` floats a beat and of words as wide, see quantizer; latency and stalls are its own.
    s.last, m.last, m_short: ends of transfers, see quantizer, or None.
    """
    unused(formats.input_format, 11, 10)
    observed = Signal(bool(0))
    ready = Signal(bool(0))
    stream = quantizer(
        clk,
        stream_rst,
        Quantization(
            inv_scale=formats.input_scale,
            zero_point=formats.input_format(8, 0),
            code=formats.input_format(10, 8),
            beats_minus1=formats.beats_minus1,
        ),
        clear_nan=request.clear,
        nan_seen=seen.nan_seen,
        s=Stream(s.data, s.valid, ready, last=s.last),
        m=m,
        m_short=m_short,
        lanes=lanes,
    )
    range_nan = Signal(bool(0))
    low, high = [Signal(intbv(0)[32:]) for _ in range(2)]
    observer = range_observer(
        clk, rst, request.clear, Stream(s.data, observed), Observed(range_nan, low, high, seen.abs_max), lanes=lanes
    )
    generator = scale_generator(
        clk,
        rst,
        request.start,
        smallest=low,
        largest=high,
        code=request.code,
        symmetric=request.symmetric,
        made=made,
    )

    @always_comb
    def present():
        observed.next = s.valid and ready
        s.ready.next = ready
        seen.minimum.next = low
        seen.maximum.next = high

    return stream, observer, generator, present
