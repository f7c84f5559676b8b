"""The gate at s_axis: lets whole images in, and after an abort none that it has cut."""

from myhdl import ResetSignal, Signal, always, always_comb, concat, enum, intbv

from accel.rtl.parts.bundles import Stream
from accel.rtl.parts.module import module, unused
from accel.rtl.parts.register_slice import register_slice

gate_state = enum("CLOSED", "AWAIT", "INSIDE", "FULL", "DROP")


@module
def frame_gate(clk, rst, stop, renew, enabled, failed, accepted, s: Stream, m: Stream):
    """A register slice that knows where images begin.

    rst: reset, after which an image begins. stop: one cycle, the core is aborted in the next one: s.ready is low at
    once, and what is in the slice is dropped. renew: in the cycle of stop, the source starts anew with an image; else
    the rest of an image that has begun is taken and dropped. enabled: an image may come in. failed: the core has
    stopped with an error: the rest of an image that has begun is dropped, and no other is taken before a stop.
    accepted: the core has taken the last word of the image, and the transfer was as long as it; before that no beat
    of the next one is taken, so that an error of one image does not touch the next.
    s, m: streams, last on the last beat of an image. Where neither has last, nothing is dropped: the gate opens
    when the core is enabled and closes at a stop or an error.
    Latency REGISTER_SLICE_LATENCY (1) cycle, a word a cycle; s.ready is low in the cycles of rst and stop.
    """
    halt = ResetSignal(1, active=1, isasync=False)
    slice_valid, slice_ready, ready, opened = [Signal(bool(0)) for _ in range(4)]

    @always_comb
    def guard():
        halt.next = rst or stop

    @always_comb
    def enter():
        slice_valid.next = s.valid and opened

    @always_comb
    def present():
        s.ready.next = ready

    if s.last is None:
        unused(renew)
        unused(accepted)
        words = register_slice(clk, halt, Stream(s.data, slice_valid, slice_ready), Stream(m.data, m.valid, m.ready))

        @always_comb
        def take():
            ready.next = opened and slice_ready and not (rst or stop)

        @always(clk.posedge)
        def follow():
            if rst or stop or failed:
                opened.next = False
            elif enabled:
                opened.next = True

        return guard, enter, present, words, take, follow

    width = len(s.data)
    word, m_word = [Signal(intbv(0)[width + 1 :]) for _ in range(2)]
    state = Signal(gate_state.CLOSED)
    taken = Signal(bool(0))
    words = register_slice(clk, halt, Stream(word, slice_valid, slice_ready), Stream(m_word, m.valid, m.ready))

    @always_comb
    def look():
        opened.next = state == gate_state.AWAIT or state == gate_state.INSIDE

    @always_comb
    def take():
        ready.next = ((opened and slice_ready) or state == gate_state.DROP) and not (rst or stop)

    @always_comb
    def join():
        taken.next = s.valid and ready
        word.next = concat(s.last, s.data)

    @always_comb
    def split():
        m.data.next = m_word[width:]
        m.last.next = m_word[width]

    @always(clk.posedge)
    def follow():
        if rst:
            state.next = gate_state.CLOSED
        elif stop:
            if (state == gate_state.INSIDE or state == gate_state.DROP) and not renew:
                state.next = gate_state.DROP
            else:
                state.next = gate_state.CLOSED
        elif state == gate_state.CLOSED:
            if enabled and not failed:
                state.next = gate_state.AWAIT
        elif state == gate_state.FULL:
            if failed:
                state.next = gate_state.CLOSED
            elif accepted:
                state.next = gate_state.AWAIT
        elif state == gate_state.DROP:
            if taken and s.last:
                state.next = gate_state.CLOSED
        elif failed:
            if taken:
                if s.last:
                    state.next = gate_state.CLOSED
                else:
                    state.next = gate_state.DROP
            elif state == gate_state.INSIDE:
                state.next = gate_state.DROP
            else:
                state.next = gate_state.CLOSED
        elif taken:
            if s.last:
                state.next = gate_state.FULL
            else:
                state.next = gate_state.INSIDE

    return guard, enter, present, words, look, take, join, split, follow
