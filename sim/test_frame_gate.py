"""The gate at s_axis: a source that never pauses its images, aborts and errors at any moment, one image at a time."""

import functools
from collections import deque

from accel.rtl.feed.frame_gate import frame_gate
from sim.cases.bench import BlockCase, across, run_case
from sim.pipeline import flag, poke, reset, word

DATA = 16


def ports(marked):
    return {
        "clk": flag(),
        "rst": reset(),
        "stop": flag(),
        "renew": flag(),
        "enabled": flag(),
        "failed": flag(),
        "accepted": flag(),
        "s_data": word(DATA),
        "s_valid": flag(),
        "s_ready": flag(),
        "m_data": word(DATA),
        "m_valid": flag(),
        "m_ready": flag(),
        "s_last": flag() if marked else None,
        "m_last": flag() if marked else None,
    }


class Images:
    """A source whose images follow one another without an end."""

    def __init__(self, rng):
        self.rng, self.number, self.index, self.length = rng, -1, 0, 0
        self.renew()

    def renew(self):
        self.number, self.index, self.length = self.number + 1, 0, self.rng.choice((1, 2, 5, 15))

    @property
    def word(self):
        """(data, last)"""
        return (self.number << 4 | self.index) % 2**DATA, int(self.index == self.length - 1)

    def advance(self):
        self.index += 1
        if self.index == self.length:
            self.renew()


class Bench:
    """Drives the gate cycle by cycle and follows what may come out of it."""

    def __init__(self, dut, rng, stalls):
        self.dut, self.rng, self.marked = dut, rng, "s_last" in dut.ports
        self.images, self.passing = Images(rng), deque()
        self.pauses, self.waits = stalls.source_pauses(rng), stalls.sink_pauses(rng)
        self.offering = self.dropping = self.failed = self.stalled = False
        self.accept_in, self.whole = None, 0
        self.busy = False  # an image is in the gate or behind it and not accepted

    def cycle(self, stop=False, renew=False, fail=False, enabled=True):
        dut, images = self.dut, self.images
        self.failed |= fail
        self.offering |= not next(self.pauses)
        data, last = images.word
        ready = not next(self.waits)
        poke(
            dut,
            stop=stop,
            renew=renew,
            enabled=enabled,
            failed=self.failed,
            accepted=self.accept_in == 0,
            s_data=data,
            s_valid=self.offering,
            m_ready=ready,
        )
        if self.marked:
            poke(dut, s_last=last)
        taken = self.offering and bool(dut.peek("s_ready"))
        assert not (stop and dut.peek("s_ready")), "a beat is taken in the cycle of the abort"
        if self.accept_in == 0:
            self.accept_in, self.busy = None, False
            self.whole += 1
        elif self.accept_in:
            self.accept_in -= 1
        self._give(ready, stop)
        begun = bool(images.index) or taken
        if taken:
            self._take(data, last)
        ends = not begun or (taken and last)
        dut.step()
        if stop:
            self._stop(renew, begun and not ends)
        elif self.failed and self.marked:
            self.dropping = begun and not ends

    def _take(self, data, last):
        first = self.images.index == 0
        if not self.dropping:
            if self.marked and first:
                assert not self.busy, "an image begins before the one before it is accepted"
                self.busy = True
            self.passing.append((data, last) if self.marked else data)
        self.dropping &= not last
        self.images.advance()
        self.offering = False

    def _give(self, ready, stop):
        """A word that comes out; the one of a stalled cycle must stay."""
        dut = self.dut
        valid = bool(dut.peek("m_valid"))
        assert valid or not self.stalled
        if valid:
            word = (dut.peek("m_data"), dut.peek("m_last")) if self.marked else dut.peek("m_data")
            assert self.passing and word == self.passing[0], f"{word} came out, {list(self.passing)} may"
            if ready:
                self.passing.popleft()
                if self.marked and word[1]:
                    self.accept_in = self.rng.randint(0, 3)
        self.stalled = valid and not ready and not stop

    def _stop(self, renew, cut):
        self.passing.clear()
        self.failed, self.accept_in, self.busy, self.stalled = False, None, False, False
        self.dropping = self.marked and cut and not renew
        if renew or not self.marked:  # such a source starts anew
            self.offering = False
            if self.images.index:
                self.images.renew()


def drive(dut, rng, stalls):
    bench = Bench(dut, rng, stalls)
    for number in range(60):
        for _ in range(rng.randint(1, 40)):
            bench.cycle()
        if number % 3 == 0:
            for _ in range(rng.randint(1, 30)):
                bench.cycle(fail=True)
        for _ in range(rng.randint(1, 3)):
            bench.cycle(stop=True, renew=rng.random() < 0.3)
            for _ in range(rng.choice((0, 1, 3, 20))):
                taken = bench.images.number, bench.images.index
                bench.cycle(enabled=False)
                dropped = bench.dropping or bench.images.index == 0
                assert dropped or taken == (bench.images.number, bench.images.index), "an image begins while disabled"
    if bench.marked:
        assert bench.whole > 50
        for _ in range(200):
            bench.cycle()
        whole, number = bench.whole, bench.images.number
        for _ in range(400):
            bench.cycle()
        assert bench.whole > whole + 10 and bench.images.number - number - (bench.whole - whole) in (-1, 0, 1)


CASES = [
    BlockCase(
        f"frame_gate{name}",
        frame_gate,
        functools.partial(ports, marked),
        drive,
        stalls=("none", "sink", "both"),
        vhdl_compare=dict.fromkeys(("m_data", "m_last")[: 1 + marked], "m_valid"),
    )
    for name, marked in (("", True), ("_no_tlast", False))
]


@across(CASES)
def test_images_pass_whole(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
