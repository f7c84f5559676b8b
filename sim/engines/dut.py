"""What every engine offers: poke inputs, peek settled values, step the clock."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from typing import Self

    from myhdl import Signal

Block: TypeAlias = Callable[..., Any]  # a MyHDL block: its ports, then its parameters by name
Ports: TypeAlias = "Mapping[str, Signal | None]"  # None: a port that is absent
Params: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Port:
    """One port of a block: its width and how its bits read as a number."""

    name: str
    bits: int
    signed: bool
    boolean: bool
    low: int  # smallest and largest value that the Signal accepts
    high: int
    init: int

    def raw(self, value: int) -> int:
        """The value as an unsigned number of `bits` bits, checked against the range of the Signal."""
        value = int(value)
        if not self.low <= value <= self.high:
            raise ValueError(f"port {self.name}: {value} is outside {self.low}..{self.high}")
        return value & ((1 << self.bits) - 1)

    def number(self, raw: int) -> int:
        """The inverse of raw()."""
        return raw - (1 << self.bits) if self.signed and raw >> (self.bits - 1) else raw


def describe_port(name: str, signal: Signal) -> Port:
    """The Port that a Signal stands for; raises ValueError for a Signal without a width."""
    bits = len(signal)
    if not bits:
        raise ValueError(f"port {name}: the Signal has no width; use bool or an intbv with bounds")
    boolean = signal._type is bool
    low, high = (0, 1) if boolean else (signal.min, signal.max - 1)
    return Port(name, bits, low < 0, boolean, low, high, int(signal.val))


def describe_ports(ports: Ports) -> dict[str, Port]:
    """{name: Port} of the ports that are present (Signals, not None)."""
    return {name: describe_port(name, signal) for name, signal in ports.items() if signal is not None}


def ordered_ports(block: Block, ports: Ports) -> dict[str, Signal | None]:
    """The ports in the order of the block's; ValueError when the names are not the same, but for absent members."""
    names, optional = getattr(block, "port_names", None), getattr(block, "optional_ports", ())
    if names is None:  # a plain MyHDL block
        parameters = inspect.signature(getattr(block, "func", block)).parameters.values()
        names = [parameter.name for parameter in parameters if parameter.kind is not parameter.KEYWORD_ONLY]
    different = sorted((set(names) ^ set(ports)) - set(optional).intersection(names) | set(ports) - set(names))
    if different:
        raise ValueError(f"ports given and ports of the block differ in {', '.join(different)}; use None where absent")
    return {name: ports.get(name) for name in names}


class Dut:
    """A block under test. Time is counted in clock cycles.

    A cycle: `poke` inputs, `peek` what is settled (combinational outputs follow the pokes at once, registered
    outputs are those of the last edge), then `step` gives the rising edge. All engines behave alike. An input
    keeps its value until it is poked again; inputs start with the initial value of their Signal.

    cycle: number of rising edges so far. observers: functions called before every rising edge.
    """

    engine = ""

    def __init__(self, ports: Ports, clock: str = "clk") -> None:
        self.ports = describe_ports(ports)
        if clock not in self.ports:
            raise ValueError(f"the block has no clock port {clock!r}; its ports are {', '.join(self.ports)}")
        self.clock = clock
        self.cycle = 0
        self.observers: list[Callable[[], None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def poke(self, name: str, value: int) -> None:
        """Set an input for the coming clock edge."""
        if name == self.clock:
            raise ValueError(f"port {name} is the clock; use step()")
        self._write(name, self.ports[name].raw(value))

    def peek(self, name: str) -> int:
        """The settled value of a port: signed where its Signal is signed."""
        return self.ports[name].number(self._read(name))

    def step(self, cycles: int = 1) -> None:
        """Give `cycles` rising clock edges."""
        for _ in range(cycles):
            for observe in self.observers:
                observe()
            self._edge()
            self.cycle += 1

    def reset(self, cycles: int = 2, name: str = "rst") -> None:
        """Hold the synchronous reset for some cycles, then release it."""
        self.poke(name, 1)
        self.step(cycles)
        self.poke(name, 0)

    def close(self) -> None:
        """Free the engine; a second call does nothing."""

    # What an engine implements, on raw unsigned values.
    def _write(self, name: str, raw: int) -> None:
        raise NotImplementedError

    def _read(self, name: str) -> int:
        raise NotImplementedError

    def _edge(self) -> None:
        raise NotImplementedError
