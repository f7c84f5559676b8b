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
from accel.rtl.parts.module import module, unused

FORMAT_BITS, BEATS_BITS = 11, 28
NO_FLOATS = (0, 0, 0, 0, 0)


@module
def float_registers(
    clk,
    rst,
    reg_we,
    reg_address,
    reg_wdata,
    host_addr,
    host_read,
    host_rdata,
    input_scale,
    input_format,
    beats_minus1,
    output_scale,
    output_format,
    clear,
    start,
    code,
    symmetric,
    nan_seen,
    minimum,
    maximum,
    abs_max,
    scale,
    inv_scale,
    zero_point,
    invalid,
    busy,
    *,
    initial=NO_FLOATS,
):
    """Registers REG_INPUT_SCALE .. REG_INV_SCALE of the address map (accel/descriptor.py).

    reg_we, reg_address, reg_wdata: writes as the host port decodes them. host_addr, host_read: of the
    host; host_rdata: the word read two cycles before, 0 where the register is none of these.
    input_scale, input_format, beats_minus1, output_scale, output_format: what the host wrote; from reset on `initial`.
    clear, start: one cycle, what a write of REG_OBSERVER asks for; code, symmetric: of that write, they hold.
    nan_seen .. busy: read by the host; those of absent blocks are not driven and read 0.
    """
    unused(reg_wdata)
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
        reading.next = host_read
        clear.next = reg_we and reg_address == REG_OBSERVER and (reg_wdata & OBSERVER_CLEAR) != 0
        starting.next = reg_we and reg_address == REG_OBSERVER and (reg_wdata & OBSERVER_START) != 0
        if reg_we:
            if reg_address == REG_INPUT_SCALE:
                input_scale_now.next = reg_wdata
            elif reg_address == REG_INPUT_FORMAT:
                input_format_now.next = reg_wdata[FORMAT_BITS:]
            elif reg_address == REG_INPUT_BEATS:
                beats_now.next = reg_wdata[BEATS_BITS:]
            elif reg_address == REG_OUTPUT_SCALE:
                output_scale_now.next = reg_wdata
            elif reg_address == REG_OUTPUT_FORMAT:
                output_format_now.next = reg_wdata[FORMAT_BITS:]
            elif reg_address == REG_OBSERVER:
                code_now.next = reg_wdata[10:8]
                symmetric_now.next = (reg_wdata & OBSERVER_SYMMETRIC) != 0

    @always(clk.posedge)
    def carry():
        address.next = host_addr

    @always(clk.posedge)
    def read():
        if reading:
            host_rdata.next = 0
            if address == REG_INPUT_SCALE:
                host_rdata.next = input_scale_now
            elif address == REG_INPUT_FORMAT:
                host_rdata.next = input_format_now
            elif address == REG_INPUT_BEATS:
                host_rdata.next = beats_now
            elif address == REG_OUTPUT_SCALE:
                host_rdata.next = output_scale_now
            elif address == REG_OUTPUT_FORMAT:
                host_rdata.next = output_format_now
            elif address == REG_OBSERVER:
                host_rdata.next[0] = nan_seen
                host_rdata.next[1] = busy or starting
                host_rdata.next[2] = invalid
                host_rdata.next[16:8] = zero_point
            elif address == REG_MINIMUM:
                host_rdata.next = minimum
            elif address == REG_MAXIMUM:
                host_rdata.next = maximum
            elif address == REG_ABS_MAX:
                host_rdata.next = abs_max
            elif address == REG_SCALE:
                host_rdata.next = scale
            elif address == REG_INV_SCALE:
                host_rdata.next = inv_scale

    @always_comb
    def present():
        input_scale.next = input_scale_now
        input_format.next = input_format_now
        beats_minus1.next = beats_now
        output_scale.next = output_scale_now
        output_format.next = output_format_now
        code.next = code_now
        symmetric.next = symmetric_now
        start.next = starting

    return write, carry, read, present
