"""The watchdog: ends a layer that works for longer than the host allows."""

from myhdl import Signal, always, always_comb, always_seq, intbv, modbv

from accel.descriptor import DEFAULT_CYCLE_LIMIT, REG_CYCLE_LIMIT
from accel.rtl.parts.bundles import HostWrite
from accel.rtl.parts.module import module


@module
def watchdog(
    clk,
    rst,
    reg: HostWrite,
    start,
    running,
    issuing,
    waiting,
    launch_ok,
    cycle_limit,
    expired,
    *,
    initial=DEFAULT_CYCLE_LIMIT,
):
    """expired: the running layer has worked for more than cycle_limit cycles.

    reg: host writes of the registers; cycle_limit: REG_CYCLE_LIMIT, from reset on `initial`, 0 for any number of
    cycles; a write counts from the next layer on. start, running: a layer begins, runs.
    A cycle counts unless the layer only waits for its streams: it counts where issuing, a word enters the array, and
    where neither waiting (for the source) holds nor launch_ok (room at the receiver) fails.
    Latency 2 cycles from the cycle that is too many; running off by one cycle ends it, start begins anew.
    """
    limit = Signal(intbv(initial)[32:])
    left = Signal(modbv(0)[33:])  # below 0, the highest bit, once the layer has worked for too long
    works, limited = [Signal(bool(0)) for _ in range(2)]  # limited: the running layer has a limit

    @always_seq(clk.posedge, reset=rst)
    def write():
        if reg.we and reg.address == REG_CYCLE_LIMIT:
            limit.next = reg.wdata
        expired.next = running and left[32] and limited and not start

    @always_comb
    def judge():
        works.next = running and (issuing or (launch_ok and not waiting))

    @always(clk.posedge)
    def count():
        if start:
            left.next = limit
            limited.next = limit != 0
        elif works:
            left.next = left - 1

    @always_comb
    def present():
        cycle_limit.next = limit

    return write, judge, count, present
