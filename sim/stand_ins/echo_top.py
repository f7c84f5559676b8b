"""A block with the accelerator's ports that computes almost nothing, for the tests of sim.accelerator."""

from myhdl import Signal, always, always_comb, always_seq, instances, intbv

from accel.descriptor import (
    REG_CONTROL,
    REG_LAYERS,
    REG_STATUS,
    REGION_COUNTERS,
    REGION_PARAMETERS,
    REGION_REGISTERS,
)
from accel.rtl.parts.module import module

ERROR_BYTE = 0xEE  # an image whose first byte is this one ends in error code 33


@module
def echo_top(
    clk,
    rst,
    s_axis_tdata,
    s_axis_tvalid,
    s_axis_tready,
    s_axis_tlast,
    m_axis_tdata,
    m_axis_tkeep,
    m_axis_tvalid,
    m_axis_tready,
    m_axis_tlast,
    host_addr,
    host_write,
    host_wdata,
    host_read,
    host_rdata,
    *,
    config,
    fault="",
):
    """Put out every beat xor parameter word 0; REG_LAYERS is the number of beats of an image less one.

    The last beat of an image keeps all but one byte. Counter 0 counts the cycles with a beat accepted.
    Latency 1 cycle from beat to beat; host reads take 2 cycles. fault: "drops valid" or "changes data" while stalled.
    """
    width = config.word_bits
    drops_valid, changes_data = fault == "drops valid", fault == "changes data"
    all_bytes = 2**config.lanes - 1
    enabled, failed, abort = (Signal(bool(0)) for _ in range(3))
    mask = Signal(intbv(0)[min(32, width) :])
    last_index, index = (Signal(intbv(0)[16:]) for _ in range(2))
    counter = Signal(intbv(0)[32:])
    valid, take, ready, ends = (Signal(bool(0)) for _ in range(4))
    word = Signal(intbv(0)[32:])

    @always_comb
    def handshake():
        ready.next = enabled and not failed and (m_axis_tready or not valid)

    @always_comb
    def accept():
        take.next = s_axis_tvalid and ready
        s_axis_tready.next = ready
        ends.next = index == last_index

    @always_seq(clk.posedge, reset=rst)
    def stream():
        if abort:
            valid.next = False
            failed.next = False
            index.next = 0
            counter.next = 0
        elif take:
            counter.next = counter + 1
            if index == 0 and s_axis_tdata[8:] == ERROR_BYTE:
                failed.next = True
            else:
                valid.next = True
            if ends:
                index.next = 0
            else:
                index.next = index + 1
        elif m_axis_tready or drops_valid:
            valid.next = False

    @always(clk.posedge)
    def data():
        if take:
            m_axis_tdata.next = s_axis_tdata ^ mask
            m_axis_tlast.next = ends
            m_axis_tkeep.next = all_bytes
            if ends:
                m_axis_tkeep.next = all_bytes // 2
        elif changes_data:
            m_axis_tdata.next = m_axis_tdata ^ 1

    @always_comb
    def present():
        m_axis_tvalid.next = valid

    @always_seq(clk.posedge, reset=rst)
    def host_writes():
        abort.next = False
        if host_write:
            if host_addr == REGION_REGISTERS * 2**20 + REG_CONTROL:
                enabled.next = host_wdata[0]
                abort.next = host_wdata[1]
            elif host_addr == REGION_REGISTERS * 2**20 + REG_LAYERS:
                last_index.next = host_wdata[16:]
            elif host_addr == REGION_PARAMETERS * 2**20:
                mask.next = host_wdata[len(mask) :]

    @always(clk.posedge)
    def host_reads():
        host_rdata.next = word
        if host_read:
            word.next = 0
            if host_addr == REGION_REGISTERS * 2**20 + REG_STATUS:
                if failed:
                    word.next = 2 + 33 * 2**8 + 3 * 2**16
            elif host_addr == REGION_COUNTERS * 2**20:
                word.next = counter

    return instances()
