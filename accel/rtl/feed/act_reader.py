"""Reads a tensor of the activation memory as a stream of words."""

from myhdl import Signal, always, always_comb, always_seq, intbv, modbv

from accel.rtl.parts.module import module


@module
def act_reader(clk, rst, start, base, words, mem_enable, mem_address, m_valid, m_ready, *, config):
    """`words` words from `base` on; the memory's own output register is the stream's data.

    start: one cycle, begins a tensor (words = 0: nothing). mem_enable, mem_address: the memory's read port; its data
    belong to m_valid and hold until m_ready.
    Latency 2 cycles from start to the first word, then a word a cycle; waits for m_ready.
    """
    address = Signal(modbv(0)[config.act_addr_bits :])
    left = Signal(intbv(0)[16:])
    fetch, holding = [Signal(bool(0)) for _ in range(2)]

    @always_comb
    def decide():
        fetch.next = left != 0 and (not holding or m_ready)

    @always_comb
    def present():
        mem_enable.next = fetch
        mem_address.next = address
        m_valid.next = holding

    @always_seq(clk.posedge, reset=rst)
    def sequence():
        if start:
            left.next = words
            holding.next = False
        elif fetch:
            left.next = left - 1
            holding.next = True
        elif m_ready:
            holding.next = False

    @always(clk.posedge)
    def walk():
        if start:
            address.next = base
        elif fetch:
            address.next = address + 1

    return decide, present, sequence, walk
