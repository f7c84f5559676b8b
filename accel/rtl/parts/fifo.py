"""A FIFO whose ready, valid and level are registers."""

from myhdl import Signal, always_comb, always_seq, intbv, modbv

from accel.rtl.parts.bundles import Stream
from accel.rtl.parts.module import module
from accel.rtl.parts.ram import ram

FIFO_LATENCY = 2


@module
def fifo(clk, rst, s: Stream, m: Stream, level, flush=None, hold=None, *, depth):
    """First-in, first-out buffer of `depth` words; the first word falls through to m_data.

    s: input (data, valid, ready); ready is low in reset and where level = depth. m: output (data, valid, ready).
    level: words held, m.data included, 0 .. depth, in as many bits as `depth` takes. A sender that counts credits may
    ignore s.ready while level + its words under way <= depth.
    flush: empties the FIFO; what m.data holds stays, and is offered from then on where hold is high. None where absent.
    depth: a power of two, 2 or more.
    Latency FIFO_LATENCY (2) cycles from s to m, a word a cycle at any level, stalls only at level = depth.
    """
    if depth < 2 or depth & (depth - 1):
        raise ValueError(f"fifo: depth={depth} must be a power of two from 2")
    if len(level) != depth.bit_length():
        raise ValueError(f"fifo: depth={depth} needs a level of {depth.bit_length()} bits, not {len(level)}")
    address_bits = (depth - 1).bit_length()
    # The memory never holds more than depth - 1 words: its first word leaves for m.data as soon as that is free.
    write_at, read_at = [Signal(modbv(0)[address_bits:]) for _ in range(2)]
    write_addr, read_addr = [Signal(intbv(0)[address_bits:]) for _ in range(2)]
    held, held_next = [Signal(modbv(0)[len(level) :]) for _ in range(2)]
    ready, valid, push, pop, load = [Signal(bool(0)) for _ in range(5)]

    words = ram(clk, push, write_addr, s.data, load, read_addr, m.data, depth=depth, style="distributed")

    @always_comb
    def decide():
        push.next = s.valid and ready
        pop.next = valid and m.ready
        load.next = (write_at != read_at) and (m.ready or not valid)

    @always_comb
    def count():
        if push and not pop:
            held_next.next = held + 1
        elif pop and not push:
            held_next.next = held - 1
        else:
            held_next.next = held

    if flush is None:

        @always_seq(clk.posedge, reset=rst)
        def advance():
            held.next = held_next
            ready.next = held_next != depth
            if push:
                write_at.next = write_at + 1
            if load:
                read_at.next = read_at + 1
                valid.next = True
            elif m.ready:
                valid.next = False

    else:

        @always_seq(clk.posedge, reset=rst)
        def advance():
            held.next = held_next
            ready.next = held_next != depth
            if push:
                write_at.next = write_at + 1
            if load:
                read_at.next = read_at + 1
                valid.next = True
            elif m.ready:
                valid.next = False
            if flush:
                held.next = 0
                held.next[0] = hold
                ready.next = True
                write_at.next = 0
                read_at.next = 0
                valid.next = hold

    @always_comb
    def present():
        write_addr.next = write_at
        read_addr.next = read_at
        s.ready.next = ready
        m.valid.next = valid
        level.next = held

    return words, decide, count, advance, present
