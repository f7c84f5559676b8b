"""`@module`: a MyHDL block that keeps its own level of hierarchy in the converted Verilog or VHDL.

A module is written like a MyHDL block:

    @module
    def fifo(clk, rst, s_data, s_valid, s_ready, m_data, m_valid, m_ready, *, depth):
        \"\"\"First line: purpose. Then ports, parameters, latency.\"\"\"
        ...
        return instances()

- Positional parameters are ports: Signals (bool, intbv or ResetSignal), or None where a port is absent; or bundles
  of ports (accel.rtl.parts.bundles), given whole or port by port.
- Keyword-only parameters are elaboration parameters: None, int, bool, str, tuple or a frozen dataclass.

In simulation a module is exactly a `myhdl.block`. In conversion (accel.hdl) every call of a module becomes an
instance of a module of its own, named after the Python variable that holds it, in its own file.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from myhdl import block
from myhdl._block import _Block, _uniqueify_name, block_decorator
from myhdl._Signal import _Signal

from accel.rtl.parts import fast_myhdl
from accel.rtl.parts.bundles import Bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from typing import Any

    from myhdl import Signal

    from accel.types import StrPath

fast_myhdl.install()

_conversion: Conversion | None = None  # the running conversion (accel.hdl.elaborate.Elaboration), None in simulation


class Conversion(Protocol):
    """Takes what is called while a design is put together."""

    def instantiate(self, module: Module, ports: Sequence[Signal | None], parameters: dict[str, Hashable]) -> object:
        """A call of a module: what stands for the instance."""

    def note_memory(self, mem: list[Signal], style: str | None, preset: str) -> None:
        """A call of `memory`."""

    def note_unused(self, signal: Signal, high: int, low: int) -> None:
        """A call of `unused`."""

    def note_label(self, part: Signal, name: str) -> None:
        """A call of `named`."""


def set_conversion(conversion: Conversion | None) -> Conversion | None:
    """Route module calls to `conversion` (None: simulate). Returns what was set before."""
    global _conversion
    previous, _conversion = _conversion, conversion
    return previous


class Module(block_decorator):
    """The decorated function; a call returns a block instance, or an instance stub in conversion.

    port_names: of all ports in order, those of bundles by member. optional_ports: those that a caller may leave out.
    parameter_names: of the elaboration parameters.
    """

    def __init__(self, func: Callable[..., object]) -> None:
        super().__init__(func)
        self.bundles, self.port_names, self.optional_ports, self.parameter_names = _split_signature(func)

    def __call__(self, *args: Any, **kwargs: Any) -> _Block:
        ports = self.bind_ports(args, kwargs)
        if _conversion is not None:
            return _conversion.instantiate(self, ports, kwargs)
        name = _uniqueify_name(f"{self.func.__name__}{self.calls}")
        self.calls += 1
        arguments = self.arguments(ports)
        # The block must be made in this very frame: MyHDL finds the caller at a fixed depth of the stack.
        return _Block(self.func, self, name, self.srcfile, self.srcline, False, *arguments, **kwargs)

    def bind_ports(self, args: tuple[Signal | Bundle | None, ...], kwargs: dict[str, Any]) -> tuple[Signal | None, ...]:
        """Port values in order; ports and bundles given by name are taken out of kwargs."""
        if len(args) > len(self.bundles):
            raise TypeError(f"{self.name}: {len(args)} ports given, but it has {len(self.bundles)}")
        given = dict(zip(self.bundles, args, strict=False))
        given |= {name: kwargs.pop(name) for name in (*self.bundles, *self.port_names) if name in kwargs}
        values: dict[str, Signal | None] = {}
        for name, bundle in self.bundles.items():
            if bundle is None:
                values[name] = given.pop(name, _NOTHING)
            elif name in given:
                values |= self.open_bundle(name, bundle, given.pop(name))
            else:
                values |= {port: given.pop(port, _NOTHING) for port in bundle.port_names(name).values()}
        if given:
            raise TypeError(f"{self.name}: {', '.join(given)} given twice, in a bundle and by itself")
        for port, value in values.items():
            if value is _NOTHING:
                if port not in self.optional_ports:
                    raise TypeError(
                        f"{self.name}: port {port} is not connected; pass a Signal, or None where it is absent"
                    )
                values[port] = None
            elif value is not None and not isinstance(value, _Signal):
                raise TypeError(
                    f"{self.name}: port {port} must be a Signal or None, not "
                    f"{type(value).__name__}; elaboration parameters are keyword-only"
                )
        return tuple(values[port] for port in self.port_names)

    def open_bundle(self, name: str, bundle: type[Bundle], value: Bundle | None) -> dict[str, Signal | None]:
        """{port: Signal or None} of what was given for a bundle."""
        if value is not None and not isinstance(value, Bundle):
            raise TypeError(f"{self.name}: {name} takes {bundle.__name__}, not {type(value).__name__}")
        signals = {} if value is None else value.signals()
        strange = sorted(set(signals) - set(bundle.members))
        if strange:
            raise TypeError(f"{self.name}: {name} has no {', '.join(strange)}; it holds {', '.join(bundle.members)}")
        return {port: signals.get(member) for member, port in bundle.port_names(name).items()}

    def arguments(self, ports: Sequence[Signal | None]) -> list[Signal | Bundle | None]:
        """The function's positional arguments from its ports in order: bundles put together again."""
        values = dict(zip(self.port_names, ports, strict=True))
        return [
            values[name]
            if bundle is None
            else bundle(**{member: values[port] for member, port in bundle.port_names(name).items()})
            for name, bundle in self.bundles.items()
        ]


_NOTHING = object()


def _split_signature(
    func: Callable[..., object],
) -> tuple[dict[str, type[Bundle] | None], tuple[str, ...], set[str], tuple[str, ...]]:
    """({positional parameter: its Bundle class or None}, names of all ports, of the optional ones, of parameters)."""
    bundles: dict[str, type[Bundle] | None] = {}
    ports: list[str] = []
    optional: set[str] = set()
    parameters: list[str] = []
    for parameter in inspect.signature(func).parameters.values():
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            if parameter.default is not parameter.empty and parameter.default is not None:
                raise TypeError(
                    f"{func.__name__}: port {parameter.name} has a default; only None is "
                    "allowed, elaboration parameters are keyword-only (after *)"
                )
            kind = parameter.annotation
            bundle = kind if isinstance(kind, type) and issubclass(kind, Bundle) else None
            bundles[parameter.name] = bundle
            names = [parameter.name] if bundle is None else bundle.port_names(parameter.name).values()
            ports += names
            if bundle is not None or parameter.default is None:
                optional.update(names)
        elif parameter.kind is parameter.KEYWORD_ONLY:
            parameters.append(parameter.name)
        else:
            raise TypeError(f"{func.__name__}: parameter {parameter.name} must be a port or keyword-only")
    if len(set(ports)) < len(ports):
        raise TypeError(f"{func.__name__}: two ports have one name among {', '.join(ports)}")
    return bundles, tuple(ports), optional, tuple(parameters)


def module(func: Callable[..., object]) -> Module:
    """Decorator: `func` describes a hardware block that keeps its level of hierarchy in conversion."""
    return Module(func)


def memory(mem: list[Signal], *, style: str | None = None, preset: StrPath = "") -> None:
    """Give a memory (a list of Signals) its implementation style and its first contents.

    style: "block", "distributed", "ultra" or "registers": the attribute ram_style in the converted text.
    preset: a $readmemh file (one hexadecimal word a line). The simulation loads it at once, the converted
    module loads the file of the same name from the tool's working folder. "" leaves the memory as it is.
    """
    if style not in (None, "block", "distributed", "ultra", "registers"):
        raise ValueError(f"memory: style {style!r} is unknown; choose block, distributed, ultra or registers")
    if _conversion is not None:
        _conversion.note_memory(mem, style, Path(preset).name if preset else "")
    elif preset:
        for signal, word in zip(mem, read_hex_words(preset, len(mem), len(mem[0])), strict=False):
            if signal.min is not None and signal.min < 0 and word >> (len(signal) - 1):
                word -= 1 << len(signal)
            for value in (signal._init, signal._val, signal._next):
                value._val = word


def unused(signal: Signal, high: int | None = None, low: int = 0) -> None:
    """Say that bits high-1 .. low of a Signal (all of it without `high`) are left unread on purpose.

    The converted Verilog then has no unused-signal warning for them; the simulation does nothing.
    """
    if _conversion is not None:
        _conversion.note_unused(signal, len(signal) if high is None else high, low)


def named(part: Signal, name: str) -> Signal:
    """`part`, a slice of a Signal, which the converted text gives the name of the Signal and this one behind it."""
    if _conversion is not None:
        _conversion.note_label(part, name)
    return part


def read_hex_words(path: StrPath, depth: int, bits: int) -> list[int]:
    """Words of a $readmemh file: hexadecimal, comments and blank lines allowed, no addresses."""
    words = []
    for number, line in enumerate(Path(path).read_text().splitlines(), start=1):
        for text in line.split("//")[0].split():
            word = int(text.replace("_", ""), 16)
            if word >> bits:
                raise ValueError(f"{path}:{number}: {text} does not fit {bits} bits")
            words.append(word)
    if len(words) > depth:
        raise ValueError(f"{path}: {len(words)} words, but the memory holds {depth}")
    return words


__all__ = ["block", "memory", "module", "named", "read_hex_words", "set_conversion", "unused"]
