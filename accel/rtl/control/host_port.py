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
from accel.rtl.control.scheduler import Readings
from accel.rtl.parts.bundles import Bundle, Host, WeightWrite
from accel.rtl.parts.module import module

HOST_READ_LATENCY = 2


class HostStrobes(Bundle):
    """A write of the host, one cycle behind it.

    reg_we, program_we, param_we: it is one of registers, program, parameters. offset: inside the region.
    wdata: 32 bits.
    """

    members = ("reg_we", "program_we", "param_we", "offset", "wdata")
    prefix = False


class SoftReset(Bundle):
    """What a write of the control register asks for. reset: one cycle. close, renew: of the same write."""

    members = ("reset", "close", "renew")


@module
def host_port(
    clk,
    rst,
    host: Host,
    strobes: HostStrobes,
    weight: WeightWrite,
    soft: SoftReset,
    counter_address,
    readings: Readings,
    *,
    config,
):
    """Decodes the host's word accesses (regions and registers: accel/descriptor.py).

    host: a new access in every cycle; rdata: the word read HOST_READ_LATENCY cycles before. strobes, weight: the write
    one cycle later; the weights' data is strobes.wdata, packed_we is absent in a build without int6. soft: the host
    asks for a soft reset. counter_address: layer whose counters come back on readings.cycles and stalls one cycle
    later.
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
        strobes.reg_we.next = host.write and host.addr[24:region] == REGION_REGISTERS
        strobes.program_we.next = host.write and host.addr[24:program_high] == program_tag
        strobes.param_we.next = host.write and host.addr[24:param_high] == param_tag
        weight.we.next = host.write and host.addr[24:word_high] == weight_tag
        soft.reset.next = host.write and host.addr == REG_CONTROL and (host.wdata & CONTROL_ABORT) != 0
        reading.next = host.read

    @always(clk.posedge)
    def carry():
        soft.close.next = (host.wdata & CONTROL_CLOSE) != 0
        soft.renew.next = (host.wdata & CONTROL_RENEW) != 0
        offset_late.next = host.addr[region:]
        strobes.wdata.next = host.wdata
        read_address.next = host.addr

    @always_comb
    def present():
        strobes.offset.next = offset_late
        weight.waddr.next = offset_late[word_high:row_high]
        weight.wrow.next = offset_late[row_high:part_bits]

    if weight.wpart is None:
        select_part = ()
    else:

        @always_comb
        def select_part():
            weight.wpart.next = offset_late[part_bits:]

    if weight.packed_we is None:
        decode_packed = ()
    else:

        @always_seq(clk.posedge, reset=rst)
        def decode_packed():
            weight.packed_we.next = host.write and host.addr[24:word_high] == weight6_tag

    @always_comb
    def address_counters():
        counter_address.next = host.addr[counter_high:2]

    @always(clk.posedge)
    def read():
        if reading:
            host.rdata.next = 0
            if read_address[24:counter_high] == counter_tag:
                if read_address[2:] == 0:
                    host.rdata.next = readings.cycles
                elif read_address[2:] == 1:
                    host.rdata.next = readings.stalls
            elif read_address == REG_STATUS:
                host.rdata.next = readings.status
            elif read_address == REG_IMAGES:
                host.rdata.next = readings.images
            elif read_address == REG_IDENTITY:
                host.rdata.next = identity
            elif read_address == REG_CYCLE_LIMIT:
                host.rdata.next = readings.cycle_limit

    return decode, decode_packed, carry, present, select_part, address_counters, read
