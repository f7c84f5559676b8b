"""The frame check: compares the ends of transfers on s_axis with the ends of images."""

from myhdl import Signal, always_comb, always_seq

from accel.rtl.parts.module import module


@module
def frame_check(clk, rst, s_valid, s_ready, s_last, last_word, accepted, short_input, long_input, s_short=None):
    """Watches the words that a layer takes from the input stream.

    s_valid, s_ready: a word is taken. s_last: it ends a transfer; s_short: the transfer has too few beats, though the
    word is there (float streams, else None). last_word: it is the last one that the layer wants.
    accepted, short_input, long_input: one cycle, a transfer was right, ended too early, did not end in time.
    Latency 1 cycle.
    """
    taken, ends = [Signal(bool(0)) for _ in range(2)]
    if s_short is None:

        @always_comb
        def judge():
            taken.next = s_valid and s_ready
            ends.next = last_word

    else:

        @always_comb
        def judge():
            taken.next = s_valid and s_ready
            ends.next = last_word and not (s_last and s_short)

    @always_seq(clk.posedge, reset=rst)
    def report():
        accepted.next = taken and s_last and ends
        short_input.next = taken and s_last and not ends
        long_input.next = taken and ends and not s_last

    return judge, report
