"""A register slice for a valid/ready stream."""

from myhdl import Signal, always, always_comb, always_seq, intbv

from accel.rtl.parts.module import module

REGISTER_SLICE_LATENCY = 1


@module
def register_slice(clk, rst, s_data, s_valid, s_ready, m_data, m_valid, m_ready):
    """Cut all paths of a valid/ready stream: every output is a register (a skid buffer of two words).

    s_data, s_valid, s_ready: input stream; s_ready is low in reset and while two words wait.
    m_data, m_valid, m_ready: output stream; m_data holds while m_valid is high and m_ready is low.
    Latency REGISTER_SLICE_LATENCY (1) cycle, a word a cycle; one more word is taken after m_ready falls.
    """
    width = len(s_data)
    spare = Signal(intbv(0)[width:])
    ready, valid, spare_full = [Signal(bool(0)) for _ in range(3)]

    @always(clk.posedge)
    def move():
        if m_ready or not valid:
            if spare_full:
                m_data.next = spare
            else:
                m_data.next = s_data
        if ready:
            spare.next = s_data

    @always_seq(clk.posedge, reset=rst)
    def follow():
        if m_ready or not valid:
            valid.next = spare_full or (s_valid and ready)
            spare_full.next = False
            ready.next = True
        elif s_valid and ready:
            spare_full.next = True
            ready.next = False
        else:
            ready.next = not spare_full

    @always_comb
    def present():
        s_ready.next = ready
        m_valid.next = valid

    return move, follow, present
