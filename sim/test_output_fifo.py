"""The FIFO in front of m_axis: tensors under stalls, flushed at any moment, with and without a closing beat."""

import functools
from collections import deque

from myhdl import Signal, intbv

from accel.rtl.output.output_fifo import output_fifo
from sim.cases.bench import BlockCase, across, run_case
from sim.pipeline import flag, poke, reset, word

DATA, KEEP, DEPTH = 16, 2, 8
CLOSING = "closing"


def ports(depth):
    def stream(prefix):
        return {
            f"{prefix}_data": word(DATA),
            f"{prefix}_keep": word(KEEP),
            f"{prefix}_last": flag(),
            f"{prefix}_valid": flag(),
            f"{prefix}_ready": flag(),
        }

    return {
        "clk": flag(),
        "rst": reset(),
        "flush": flag(),
        "closing": flag(),
        **stream("s"),
        **stream("m"),
        "level": Signal(intbv(0)[depth.bit_length() :]),
    }


class Model:
    """What the FIFO holds, and what the receiver has of a tensor."""

    def __init__(self):
        self.held, self.cut = deque(), False

    def take(self, beat):
        """The receiver takes this beat."""
        wanted = self.held.popleft()
        if wanted is CLOSING:
            assert beat[1:] == (1, 1), f"{beat} does not close the tensor"
        else:
            assert beat == wanted
        self.cut = not beat[2]

    def flush(self, offered, closing):
        """Drop what is not offered. offered: a beat is, and the receiver does not take it."""
        was_promised = len(self.held) > 1 and self.held[1] is CLOSING
        kept = [self.held[0]] if offered else []
        cut = (kept[0] is not CLOSING and not kept[0][2]) if kept else self.cut
        self.held = deque([*kept, *([CLOSING] if cut and (closing or (was_promised and offered)) else [])])


def beats(rng):
    """Endless beats of tensors."""
    while True:
        count = rng.randint(1, 9)
        for number in range(count):
            last = number == count - 1
            yield rng.getrandbits(DATA), rng.choice((1, 3)) if last else 3, int(last)


def drive(dut, rng, stalls):
    model, source, stalled, counts = Model(), beats(rng), None, {"flush": 0, "closed": 0}
    beat = next(source)
    pauses, waits = stalls.source_pauses(rng), stalls.sink_pauses(rng)
    for cycle in range(3000):
        flush, closing = rng.random() < 0.04, rng.getrandbits(1)
        send, ready = not next(pauses), not next(waits)
        poke(
            dut,
            flush=flush,
            closing=closing,
            s_data=beat[0],
            s_keep=beat[1],
            s_last=beat[2],
            s_valid=send,
            m_ready=ready,
        )
        waiting = sum(item is not CLOSING for item in model.held) or len(model.held)
        assert dut.peek("level") in (waiting, len(model.held)), f"cycle {cycle}"
        offer = (dut.peek("m_data"), dut.peek("m_keep"), dut.peek("m_last")) if dut.peek("m_valid") else None
        assert stalled is None or offer == stalled, f"cycle {cycle}: a stalled beat changed"
        if send and dut.peek("s_ready"):
            if not flush:
                model.held.append(beat)
            beat = next(source)
        if offer and ready:
            counts["closed"] += model.held[0] is CLOSING
            promised = len(model.held) > 1 and model.held[1] is CLOSING
            model.take(offer)
            if flush and promised:  # what was promised still comes
                closing = True
        stalled = offer if offer and not ready else None
        if flush:
            counts["flush"] += 1
            model.flush(stalled is not None, closing)
            while beat[2] == 0:  # the next tensor begins
                beat = next(source)
            beat = next(source)
        dut.step()
    assert counts["flush"] > 50 and counts["closed"] > 10
    poke(dut, s_valid=0, flush=0, m_ready=1)
    for _ in range(2 * DEPTH):
        if dut.peek("m_valid"):
            model.take((dut.peek("m_data"), dut.peek("m_keep"), dut.peek("m_last")))
        dut.step()
    assert not model.held and dut.peek("level") == 0


CASES = [
    BlockCase(
        "output_fifo_d8",
        output_fifo,
        functools.partial(ports, DEPTH),
        drive,
        params={"depth": DEPTH},
        stalls=("none", "sink", "both", "bursts"),
        vhdl_compare=dict.fromkeys(("m_data", "m_keep", "m_last"), "m_valid"),
    )
]


@across(CASES)
def test_tensors_are_cut(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
