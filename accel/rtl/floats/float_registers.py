"""The registers of the float streams: formats that the host writes, observed ranges and scales that it reads."""

from myhdl import Signal, always, always_comb, always_seq, intbv

from accel.descriptor import (
    OBSERVER_CLEAR,
    OBSERVER_START,
    OBSERVER_SYMMETRIC,
    REG_ABS_MAX,
    REG_INPUT_BEATS,
    REG_INPUT_FORMAT,
    REG_INPUT_SCALE,
    REG_INV_SCALE,
    REG_MAXIMUM,
    REG_MINIMUM,
    REG_OBSERVER,
    REG_OUTPUT_FORMAT,
    REG_OUTPUT_SCALE,
    REG_SCALE,
)
from accel.rtl.floats.range_observer import Observed
from accel.rtl.floats.scale_generator import MadeScale
from accel.rtl.parts.bundles import Bundle, Host, HostWrite
from accel.rtl.parts.module import module, unused

FORMAT_BITS, BEATS_BITS = 11, 28
NO_FLOATS = (0, 0, 0, 0, 0)


class FloatFormats(Bundle):
    """Formats of the float streams, as the host wrote them.

    input_scale: float32 bits of 1 / scale. input_format: zero point in bits 7:0, width code in bits 9:8. beats_minus1:
    beats of an input tensor less one. output_scale: float32 bits of the scale. output_format: as input_format; bit 10:
    int32 accumulators.
    """

    members = ("input_scale", "input_format", "beats_minus1", "output_scale", "output_format")
    prefix = False


class RangeRequest(Bundle):
    """What the host asks of the observed range.

    clear: one cycle, forget it and the NaN flag. start: one cycle, make its scale. code, symmetric: for this width,
    symmetric or affine; they hold.
    """

    members = ("clear", "start", "code", "symmetric")
    prefix = False


@module
def float_registers(
    clk,
    rst,
    reg: HostWrite,
    host: Host,
    formats: FloatFormats,
    request: RangeRequest,
    observed: Observed,
    made: MadeScale,
    *,
    initial=NO_FLOATS,
):
    """Registers REG_INPUT_SCALE .. REG_INV_SCALE of the address map (accel/descriptor.py).

    reg: writes as the host port decodes them. host: addr and read of the host; rdata: the word read two cycles before,
    0 where the register is none of these.
    formats: what the host wrote; from reset on `initial`. request: what a write of REG_OBSERVER asks for.
    observed, made: read by the host; those of absent blocks are not driven and read 0.
    """
    unused(reg.wdata)
    first_input, first_format, first_beats, first_output, last_format = initial
    input_scale_now = Signal(intbv(first_input)[32:])
    input_format_now = Signal(intbv(first_format)[FORMAT_BITS:])
    beats_now = Signal(intbv(first_beats)[BEATS_BITS:])
    output_scale_now = Signal(intbv(first_output)[32:])
    output_format_now = Signal(intbv(last_format)[FORMAT_BITS:])
    code_now = Signal(intbv(0)[2:])
    address = Signal(intbv(0)[24:])
    reading, starting, symmetric_now = [Signal(bool(0)) for _ in range(3)]

    @always_seq(clk.posedge, reset=rst)
    def write():
        reading.next = host.read
        request.clear.next = reg.we and reg.address == REG_OBSERVER and (reg.wdata & OBSERVER_CLEAR) != 0
        starting.next = reg.we and reg.address == REG_OBSERVER and (reg.wdata & OBSERVER_START) != 0
        if reg.we:
            if reg.address == REG_INPUT_SCALE:
                input_scale_now.next = reg.wdata
            elif reg.address == REG_INPUT_FORMAT:
                input_format_now.next = reg.wdata[FORMAT_BITS:]
            elif reg.address == REG_INPUT_BEATS:
                beats_now.next = reg.wdata[BEATS_BITS:]
            elif reg.address == REG_OUTPUT_SCALE:
                output_scale_now.next = reg.wdata
            elif reg.address == REG_OUTPUT_FORMAT:
                output_format_now.next = reg.wdata[FORMAT_BITS:]
            elif reg.address == REG_OBSERVER:
                code_now.next = reg.wdata[10:8]
                symmetric_now.next = (reg.wdata & OBSERVER_SYMMETRIC) != 0

    @always(clk.posedge)
    def carry():
        address.next = host.addr

    @always(clk.posedge)
    def read():
        if reading:
            host.rdata.next = 0
            if address == REG_INPUT_SCALE:
                host.rdata.next = input_scale_now
            elif address == REG_INPUT_FORMAT:
                host.rdata.next = input_format_now
            elif address == REG_INPUT_BEATS:
                host.rdata.next = beats_now
            elif address == REG_OUTPUT_SCALE:
                host.rdata.next = output_scale_now
            elif address == REG_OUTPUT_FORMAT:
                host.rdata.next = output_format_now
            elif address == REG_OBSERVER:
                host.rdata.next[0] = observed.nan_seen
                host.rdata.next[1] = made.busy or starting
                host.rdata.next[2] = made.invalid
                host.rdata.next[16:8] = made.zero_point
            elif address == REG_MINIMUM:
                host.rdata.next = observed.minimum
            elif address == REG_MAXIMUM:
                host.rdata.next = observed.maximum
            elif address == REG_ABS_MAX:
                host.rdata.next = observed.abs_max
            elif address == REG_SCALE:
                host.rdata.next = made.scale
            elif address == REG_INV_SCALE:
                host.rdata.next = made.inv_scale

    @always_comb
    def present():
        formats.input_scale.next = input_scale_now
        formats.input_format.next = input_format_now
        formats.beats_minus1.next = beats_now
        formats.output_scale.next = output_scale_now
        formats.output_format.next = output_format_now
        request.code.next = code_now
        request.symmetric.next = symmetric_now
        request.start.next = starting

    return write, carry, read, present
