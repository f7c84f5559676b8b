"""The MyHDL engine: the block's own generators, stepped from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myhdl import Simulation, _bin, _simulator, delay, traceSignals

from sim.engines.dut import Dut

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from sim.engines.dut import Block, Params, Ports

_open: list[SimulatedDut] = []  # MyHDL has one simulator per process, so at most one Dut that uses it


def bit_string(number: int) -> str:
    """The shortest two's complement digits of a number, as MyHDL writes them."""
    if number >= -1:
        return format(abs(number), "b")
    width = (~number).bit_length() + 1
    return format(number & ((1 << width) - 1), "b")


# MyHDL makes this string digit by digit at each intbv with bounds, which is a fifth of the time of a simulation.
_bin._int2bitstring = bit_string


def _heartbeat() -> Iterator[delay]:
    """Keeps MyHDL's event list from running empty, which would end the simulation."""
    while True:
        yield delay(1 << 30)


class SimulatedDut(Dut):
    """A Dut whose ports are Signals of a running MyHDL simulation (plain, or a Cosimulation)."""

    def __init__(self, ports: Ports, clock: str) -> None:
        super().__init__(ports, clock)
        while _open:
            _open[0].close()
        self.signals = {name: signal for name, signal in ports.items() if signal is not None}
        self.simulation: Any = None  # of MyHDL, from _start on
        self._dirty = False

    def _start(self, *processes: object) -> None:
        self.simulation = Simulation(*processes, _heartbeat())
        _open.append(self)
        self._dirty = True
        self._settle()  # without a first time step vvp takes the first poke and the first edge as one

    def _write(self, name: str, raw: int) -> None:
        port = self.ports[name]
        self.signals[name].next = bool(raw) if port.boolean else port.number(raw)
        self._dirty = True

    def _settle(self) -> None:
        if self._dirty:
            self.simulation.run(1, quiet=1)
            self._dirty = False

    def _read(self, name: str) -> int:
        self._settle()
        return int(self.signals[name].val) & ((1 << self.ports[name].bits) - 1)

    def _edge(self) -> None:
        clock = self.signals[self.clock]
        self._settle()
        clock.next = True
        self.simulation.run(1, quiet=1)
        clock.next = False  # takes effect together with the next pokes
        self._dirty = True

    def close(self) -> None:
        if self in _open:
            _open.remove(self)
            if not self.simulation._finished:  # an error inside the simulation has ended it
                self.simulation.quit()
            # The simulator keeps every Signal ever made and visits them all at each start.
            del _simulator._signals[:]


class MyhdlDut(SimulatedDut):
    engine = "myhdl"

    def __init__(
        self, block: Block, ports: Ports, params: Params, *, clock: str = "clk", trace: Path | None = None
    ) -> None:
        super().__init__(ports, clock)
        instance = block(**ports, **params)
        if trace:
            instance.config_sim(trace=True, directory=str(trace.parent), filename=trace.stem, tracebackup=False)
        self._start(instance)

    def close(self) -> None:
        traceSignals.directory = traceSignals.filename = None
        super().close()
