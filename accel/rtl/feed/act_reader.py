"""Reads a tensor of the activation memory as a stream of words."""

from myhdl import Signal, always, always_comb, always_seq, intbv, modbv

from accel.rtl.parts.module import module

ACT_READER_LATENCY = 3


@module
def act_reader(clk, rst, start, base, words, mem_enable, mem_address, mem_pass, m_valid, m_ready, *, config):
    """`words` words from `base` on; the stream's data is a register behind the memory.

    start: one cycle, begins a tensor (words = 0: nothing). mem_enable, mem_address: the memory's read port. mem_pass:
    the register takes what the memory has read; it belongs to m_valid and holds until m_ready.
    Latency ACT_READER_LATENCY cycles from start to the first word, then a word a cycle; waits for m_ready.
    """
    address = Signal(modbv(0)[config.act_addr_bits :])
    left = Signal(intbv(0)[16:])
    more, fetch, move, read, holding = [Signal(bool(0)) for _ in range(5)]  # more: left is not 0; read: in the memory

    @always_comb
    def decide():
        fetch.next = more and (not read or not holding or m_ready)
        move.next = not holding or m_ready

    @always_comb
    def present():
        mem_enable.next = fetch
        mem_address.next = address
        mem_pass.next = move
        m_valid.next = holding

    @always_seq(clk.posedge, reset=rst)
    def sequence():
        if start:
            left.next = words
            more.next = words != 0
            read.next = False
            holding.next = False
        else:
            if fetch:
                left.next = left - 1
                more.next = left != 1
                read.next = True
            elif move:
                read.next = False
            if move:
                holding.next = read

    @always(clk.posedge)
    def walk():
        if start:
            address.next = base
        elif fetch:
            address.next = address + 1

    return decide, present, sequence, walk
