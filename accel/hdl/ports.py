"""Ports of a module: what a Signal looks like from outside, and a fresh Signal of the same kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from myhdl import ResetSignal, Signal, intbv, modbv
from myhdl._Signal import _Signal

from accel.hdl.errors import ConversionError

Memory: TypeAlias = tuple[str | None, str]  # style and preset file


PortKind: TypeAlias = Literal["bool", "reset", "intbv", "modbv"]


@dataclass(frozen=True)
class PortType:
    """Everything of a Signal that a block can see at elaboration."""

    kind: PortKind
    bits: int
    low: int
    high: int
    initial: int
    reset: tuple[bool, ...] = ()  # (active, isasync) of a ResetSignal

    @property
    def signed(self) -> bool:
        return self.low < 0

    @classmethod
    def of(cls, signal: Signal, where: str) -> PortType:
        initial = signal._init
        if isinstance(signal, ResetSignal):
            return cls("reset", 1, 0, 2, int(initial), (bool(signal.active), bool(signal.isasync)))
        if isinstance(initial, bool):
            return cls("bool", 1, 0, 2, int(initial))
        if isinstance(initial, intbv) and initial._nrbits:
            kind: PortKind = "modbv" if isinstance(initial, modbv) else "intbv"
            return cls(kind, initial._nrbits, initial._min, initial._max, int(initial))
        raise ConversionError(
            f"{where}: a port must be a bool or an intbv with a width, "
            f"not {type(initial).__name__}; give the Signal a width"
        )

    def signal(self) -> Signal:
        """A new Signal of this kind."""
        if self.kind == "reset":
            return ResetSignal(self.initial, active=self.reset[0], isasync=self.reset[1])
        if self.kind == "bool":
            return Signal(bool(self.initial))
        vector = modbv if self.kind == "modbv" else intbv
        return Signal(vector(self.initial, min=self.low, max=self.high))


@dataclass(frozen=True)
class Port:
    """A port of a converted module."""

    name: str
    direction: Literal["in", "out"]
    width: int
    signed: bool
    is_bool: bool  # std_logic in VHDL, no range in Verilog

    def as_dict(self) -> dict[str, str | int]:
        return {"name": self.name, "direction": self.direction, "width": self.width, "signed": self.signed}


DrivenPort: TypeAlias = tuple[Port, str | None]  # a port and how it is driven: None, "reg" or "wire"


def sources(signal: Signal) -> list[Signal]:
    """Signals that a shadow signal is made of (empty for a plain one)."""
    if hasattr(signal, "_sigargs"):
        return list(signal._sigargs)
    if hasattr(signal, "_sig"):
        return [signal._sig]
    return []


def is_shadow(signal: Signal) -> bool:
    return bool(sources(signal))


def mark_read(signal: Signal) -> None:
    """Tell MyHDL that an instance reads this signal, through all slices and concatenations."""
    signal._used = True
    signal._read = True
    if is_shadow(signal):
        signal._driven = "wire"
        for source in sources(signal):
            mark_read(source)


def is_list_of_signals(value: object) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(v, _Signal) for v in value)
