"""Bus models for valid/ready streams: Source, Sink and Monitor, with seeded stalls.

A stream is a group of ports with one prefix: `s_valid`, `s_ready`, one port a field (`s_data`, `s_last`).
AXI names work too: Source(dut, "s_axis", fields=("tdata", "tlast"), valid="tvalid", ready="tready").
An item is an int for a stream with one field, else a tuple with one int a field. `ready=None`: valid-only;
`early=True`: ready is that of the next cycle.

    source = Source(dut, "s", rng=rng, pauses=stalls.source_pauses(rng))
    sink = Sink(dut, "m", pauses=stalls.sink_pauses(rng))
    source.send(*values)
    sink.expect(*values)
    transfer(dut, source, sink)          # runs until all is through, then checks that nothing is left
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random
    from typing import Unpack

    from sim.engines.dut import Dut

Item: TypeAlias = Any  # int, or a tuple of one int a field where the stream has several


def pauses(rng: Random, probability: float, burst: int = 1) -> Iterator[bool]:
    """Endless True (pause) / False; pauses last `burst` cycles on average, `probability` of all cycles."""
    if probability <= 0:
        yield from repeat(False)
    paused = rng.random() < probability
    start = min(1.0, probability / (burst * (1 - probability)))
    while True:
        yield paused
        paused = rng.random() >= 1 / burst if paused else rng.random() < start


@dataclass(frozen=True)
class Stalls:
    """How often each side of a bench pauses."""

    name: str
    source: float = 0.0
    sink: float = 0.0
    burst: int = 1

    def source_pauses(self, rng: Random) -> Iterator[bool]:
        return pauses(rng, self.source, self.burst)

    def sink_pauses(self, rng: Random) -> Iterator[bool]:
        return pauses(rng, self.sink, self.burst)

    def __str__(self) -> str:
        return self.name


STALLS = {
    stalls.name: stalls
    for stalls in (
        Stalls("none"),
        Stalls("source", source=0.5),
        Stalls("sink", sink=0.5),
        Stalls("both", source=0.3, sink=0.4),
        Stalls("bursts", source=0.4, sink=0.5, burst=6),
    )
}


class BusModel(Protocol):
    """What takes part in a clock cycle."""

    def drive(self) -> None: ...

    def sample(self) -> None: ...


class Names(TypedDict, total=False):
    """Names of a stream's ports, as Stream takes them."""

    fields: Sequence[str]
    valid: str
    ready: str | None
    early: bool


class Stream:
    """The ports of one stream and the transfers seen on it."""

    def __init__(
        self,
        dut: Dut,
        prefix: str,
        fields: Sequence[str] = ("data",),
        valid: str = "valid",
        ready: str | None = "ready",
        early: bool = False,
    ) -> None:
        self.dut = dut
        self.early, self.granted = early, True  # granted: ready of the cycle before
        self.name = prefix
        self.fields = tuple(f"{prefix}_{field}" for field in fields)
        self.valid = f"{prefix}_{valid}"
        self.ready = f"{prefix}_{ready}" if ready else None
        missing = {*self.fields, self.valid, self.ready or self.valid} - set(dut.ports)
        if missing:
            raise ValueError(f"stream {prefix}: the block has no port {', '.join(sorted(missing))}")
        self.cycles: list[int] = []  # clock cycle of each transfer

    def drive(self) -> None:
        """Poke what this model drives in the coming cycle."""

    def sample(self) -> None:
        """Look at the settled values just before the clock edge."""

    def finish(self) -> None:
        """Check that nothing is left over."""

    @property
    def done(self) -> bool:
        return True

    def _item(self) -> Item:
        values = tuple(self.dut.peek(name) for name in self.fields)
        return values[0] if len(values) == 1 else values

    def _transfers(self) -> bool:
        """Whether an item moves in this cycle; to be asked once a cycle."""
        ready = self.ready is None or bool(self.dut.peek(self.ready))
        if self.early:
            ready, self.granted = self.granted, ready
        return ready and bool(self.dut.peek(self.valid))


class Source(Stream):
    """Drives a stream. An offered item stays until it is taken; before that the fields carry garbage."""

    def __init__(
        self,
        dut: Dut,
        prefix: str,
        *,
        rng: Random | None = None,
        pauses: Iterator[bool] | None = None,
        **names: Unpack[Names],
    ) -> None:
        super().__init__(dut, prefix, **names)
        self.rng = rng
        self.pauses = pauses or repeat(False)
        self.queue: deque[Item] = deque()
        self.offering = False
        dut.poke(self.valid, 0)

    def send(self, *items: Item) -> None:
        """Append items to what is still to be sent."""
        self.queue.extend(items)

    def drive(self) -> None:
        paused = next(self.pauses)
        if not self.offering:
            self.offering = bool(self.queue) and not paused
            self.dut.poke(self.valid, self.offering)
            if self.offering:
                item = self.queue[0]
                for name, value in zip(self.fields, item if len(self.fields) > 1 else (item,), strict=True):
                    self.dut.poke(name, value)
            elif self.rng:
                for name in self.fields:
                    port = self.dut.ports[name]
                    self.dut.poke(name, self.rng.randint(port.low, port.high))

    def sample(self) -> None:
        moves = self._transfers()
        if self.offering and moves:
            self.cycles.append(self.dut.cycle)
            self.queue.popleft()
            self.offering = False

    @property
    def done(self) -> bool:
        return not self.queue

    def finish(self) -> None:
        if self.queue:
            raise AssertionError(f"{self.name}: {len(self.queue)} items were never taken")


class Monitor(Stream):
    """Watches a stream: records transfers, compares them, checks that a stalled item is stable."""

    def __init__(self, dut: Dut, prefix: str, **names: Unpack[Names]) -> None:
        super().__init__(dut, prefix, **names)
        self.received: list[Item] = []
        self.expected: list[Item] | None = None
        self._held: Item | None = None

    def expect(self, *items: Item) -> None:
        """Append items that must arrive, in this order."""
        self.expected = [*(self.expected or []), *items]

    def sample(self) -> None:
        valid = bool(self.dut.peek(self.valid))
        item = self._item() if valid else None
        if self._held is not None and item != self._held:
            got = "valid fell" if not valid else f"got {item}"
            raise AssertionError(f"{self.name}: cycle {self.dut.cycle}: stalled item {self._held} must stay, {got}")
        moves = self._transfers()
        self._held = item if valid and not moves and self.ready else None
        if moves:
            self._check(len(self.received), item)
            self.received.append(item)
            self.cycles.append(self.dut.cycle)

    def _check(self, index: int, item: Item) -> None:
        if self.expected is None:
            return
        if index >= len(self.expected):
            raise AssertionError(f"{self.name}: cycle {self.dut.cycle}: item {index} = {item} was not expected")
        if item != self.expected[index]:
            where = f"{self.name}: cycle {self.dut.cycle}: item {index}"
            raise AssertionError(f"{where}: expected {self.expected[index]}, got {item}")

    @property
    def done(self) -> bool:
        return self.expected is None or len(self.received) >= len(self.expected)

    def finish(self) -> None:
        if self._held is not None:
            raise AssertionError(f"{self.name}: item {self._held} is still offered at the end")
        if self.expected is not None and not self.done:
            raise AssertionError(f"{self.name}: only {len(self.received)} of {len(self.expected)} items arrived")


class Sink(Monitor):
    """A Monitor that also drives ready."""

    def __init__(self, dut: Dut, prefix: str, *, pauses: Iterator[bool] | None = None, **names: Unpack[Names]) -> None:
        super().__init__(dut, prefix, **names)
        self.pauses = pauses or repeat(False)
        if self.ready is None:
            raise ValueError(f"sink {prefix}: a stream without ready takes a Monitor")
        self.driven = self.ready

    def drive(self) -> None:
        self.dut.poke(self.driven, not next(self.pauses))


def run_until(dut: Dut, models: Sequence[Stream], done: Callable[[], bool], limit: int = 20000) -> None:
    """Run clock cycles with these bus models until done() is true; AssertionError after `limit` cycles."""
    for _ in range(limit):
        if done():
            return
        run_cycles(dut, models, 1)
    states = ", ".join(f"{model.name} {len(model.cycles)} transfers" for model in models)
    raise AssertionError(f"not done after {limit} cycles ({states})")


def run_cycles(dut: Dut, models: Sequence[BusModel], cycles: int) -> None:
    """Run a number of clock cycles with these bus models."""
    for _ in range(cycles):
        for model in models:
            model.drive()
        for model in models:
            model.sample()
        dut.step()


def transfer(dut: Dut, *models: Stream, limit: int = 20000, quiet: int = 8) -> None:
    """Run until every model is done and `quiet` cycles more; nothing may follow, all queues must be empty."""
    run_until(dut, models, lambda: all(model.done for model in models), limit)
    run_cycles(dut, models, quiet)
    for model in models:
        model.finish()
