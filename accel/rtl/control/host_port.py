"""The host port: one 32-bit word port in front of registers, program, parameters, weights and counters."""

from myhdl import Signal, always, always_comb, always_seq, intbv

from accel.descriptor import (
    CONTROL_ABORT,
    CONTROL_CLOSE,
    CONTROL_RENEW,
    REG_CONTROL,
    REG_CYCLE_LIMIT,
    REG_IDENTITY,
    REG_IMAGES,
    REG_STATUS,
    REGION_COUNTERS,
    REGION_DESCRIPTORS,
    REGION_PARAMETERS,
    REGION_REGISTERS,
    REGION_SHIFT,
    REGION_WEIGHTS,
    REGION_WEIGHTS6,
)
from accel.rtl.parts.module import module

HOST_READ_LATENCY = 2


@module
def host_port(
    clk,
    rst,
    host_addr,
    host_write,
    host_wdata,
    host_read,
    host_rdata,
    reg_we,
    program_we,
    param_we,
    weight_we,
    offset,
    wdata,
    weight_waddr,
    weight_wrow,
    weight_wpart,
    soft_reset,
    soft_close,
    soft_renew,
    counter_address,
    status,
    images,
    cycle_limit,
    cycles,
    stalls,
    weight6_we=None,
    *,
    config,
):
    """Decodes the host's word accesses (regions and registers: accel/descriptor.py).

    host_*: address of a 32-bit word, write with data, read; a new access in every cycle. host_rdata: the word read
    HOST_READ_LATENCY cycles before. reg_we, program_we, param_we, weight_we with offset and wdata: the write one cycle
    later, offset within the region; weight_waddr, weight_wrow, weight_wpart: the same offset as word, row and part of
    the weight bank (weight_wpart is None where a row is one part); weight6_we: the same of packed int6 weights, None in
    a build without them. soft_reset: one cycle, the host asks for a soft
    reset; soft_close, soft_renew: of the same write of the control register.
    counter_address: layer whose counters come back on cycles and stalls one cycle later. status, images, cycle_limit:
    registers of the scheduler and of the watchdog.
    Writes to addresses that do not exist change nothing; reads of them give 0.
    """
    region = REGION_SHIFT
    identity = config.acc_bits << 24 | config.req_lanes << 16 | config.lanes << 8 | config.rows
    part_bits = (config.lanes // 4 - 1).bit_length()
    row_high = part_bits + (config.rows - 1).bit_length()
    word_high = row_high + config.weight_addr_bits
    program_high = config.layer_bits + 5
    param_high = config.param_index_bits + 2
    # An address exists where all bits above its memory's are those of its region.
    program_tag = REGION_DESCRIPTORS << region - program_high
    param_tag = REGION_PARAMETERS << region - param_high
    weight_tag = REGION_WEIGHTS << region - word_high
    weight6_tag = REGION_WEIGHTS6 << region - word_high
    counter_high = config.layer_bits + 2
    counter_tag = REGION_COUNTERS << region - counter_high
    offset_late = Signal(intbv(0)[region:])
    read_address = Signal(intbv(0)[24:])
    reading = Signal(bool(0))

    @always_seq(clk.posedge, reset=rst)
    def decode():
        reg_we.next = host_write and host_addr[24:region] == REGION_REGISTERS
        program_we.next = host_write and host_addr[24:program_high] == program_tag
        param_we.next = host_write and host_addr[24:param_high] == param_tag
        weight_we.next = host_write and host_addr[24:word_high] == weight_tag
        soft_reset.next = host_write and host_addr == REG_CONTROL and (host_wdata & CONTROL_ABORT) != 0
        reading.next = host_read

    @always(clk.posedge)
    def carry():
        soft_close.next = (host_wdata & CONTROL_CLOSE) != 0
        soft_renew.next = (host_wdata & CONTROL_RENEW) != 0
        offset_late.next = host_addr[region:]
        wdata.next = host_wdata
        read_address.next = host_addr

    @always_comb
    def present():
        offset.next = offset_late
        weight_waddr.next = offset_late[word_high:row_high]
        weight_wrow.next = offset_late[row_high:part_bits]

    if weight_wpart is None:
        select_part = ()
    else:

        @always_comb
        def select_part():
            weight_wpart.next = offset_late[part_bits:]

    if weight6_we is None:
        decode_packed = ()
    else:

        @always_seq(clk.posedge, reset=rst)
        def decode_packed():
            weight6_we.next = host_write and host_addr[24:word_high] == weight6_tag

    @always_comb
    def address_counters():
        counter_address.next = host_addr[counter_high:2]

    @always(clk.posedge)
    def read():
        if reading:
            host_rdata.next = 0
            if read_address[24:counter_high] == counter_tag:
                if read_address[2:] == 0:
                    host_rdata.next = cycles
                elif read_address[2:] == 1:
                    host_rdata.next = stalls
            elif read_address == REG_STATUS:
                host_rdata.next = status
            elif read_address == REG_IMAGES:
                host_rdata.next = images
            elif read_address == REG_IDENTITY:
                host_rdata.next = identity
            elif read_address == REG_CYCLE_LIMIT:
                host_rdata.next = cycle_limit

    return decode, decode_packed, carry, present, select_part, address_counters, read
