"""A stream block for the tests of the engines: adds up what passes."""

from myhdl import ResetSignal, Signal, always, always_comb, always_seq, instances, intbv

from accel.rtl.parts.module import module


@module
def running_sum(clk, rst, s_data, s_valid, s_ready, m_data, m_valid, m_ready, overflow, *, broken_at=0):
    """Put out the sum of all items so far, modulo 2^len(m_data).

    s_*: stream of signed numbers. m_*: stream of signed sums. overflow: set by the first sum out of range.
    broken_at: a sum of this value comes out wrong (0: never); a fault for the tests of the failure report.
    Latency 1 cycle; one item a cycle; s_ready is combinational in m_ready.
    """
    bits = len(m_data)
    total = Signal(intbv(0, min=-(2**bits), max=2**bits))
    valid = Signal(bool(0))
    take = Signal(bool(0))

    @always_comb
    def accept():
        take.next = s_valid and (m_ready or not valid)
        s_ready.next = m_ready or not valid

    @always_seq(clk.posedge, reset=rst)
    def control():
        if take:
            valid.next = True
        elif m_ready:
            valid.next = False

    wide = Signal(intbv(0, min=-(2 ** (bits + 1)), max=2 ** (bits + 1)))

    @always_comb
    def add():
        wide.next = total + s_data

    @always(clk.posedge)
    def keep():
        if rst:
            total.next = 0
            overflow.next = False
        elif take:
            total.next = wide[bits:].signed()
            overflow.next = overflow or wide[bits] != wide[bits - 1]

    @always_comb
    def present():
        m_valid.next = valid
        m_data.next = total[bits:].signed()
        if broken_at != 0 and total == broken_at:
            m_data.next = 0

    return instances()


def running_sum_ports(bits=16, item_bits=8):
    """Ports of running_sum, made new on each call."""
    half, item_half = 2 ** (bits - 1), 2 ** (item_bits - 1)
    return {
        "clk": Signal(bool(0)),
        "rst": ResetSignal(0, active=1, isasync=False),
        "s_data": Signal(intbv(0, min=-item_half, max=item_half)),
        "s_valid": Signal(bool(0)),
        "s_ready": Signal(bool(0)),
        "m_data": Signal(intbv(0, min=-half, max=half)),
        "m_valid": Signal(bool(0)),
        "m_ready": Signal(bool(0)),
        "overflow": Signal(bool(0)),
    }
