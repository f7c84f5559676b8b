"""`@module`: a MyHDL block that keeps its own level of hierarchy in the converted Verilog or VHDL.

A module is written like a MyHDL block:

    @module
    def fifo(clk, rst, s_data, s_valid, s_ready, m_data, m_valid, m_ready, *, depth):
        \"\"\"First line: purpose. Then ports, parameters, latency.\"\"\"
        ...
        return instances()

- Positional parameters are ports: Signals (bool, intbv or ResetSignal), or None where a port is absent.
- Keyword-only parameters are elaboration parameters: None, int, bool, str, tuple or a frozen dataclass.

In simulation a module is exactly a `myhdl.block`. In conversion (accel.hdl) every call of a module becomes an
instance of a module of its own, named after the Python variable that holds it, in its own file.
"""

import inspect
from pathlib import Path

from myhdl import block
from myhdl._block import _Block, _uniqueify_name, block_decorator
from myhdl._Signal import _Signal

from accel.rtl.parts import fast_myhdl

fast_myhdl.install()

_conversion = None  # the running conversion (accel.hdl.elaborate.Elaboration), None in simulation


def set_conversion(conversion):
    """Route module calls to `conversion` (None: simulate). Returns what was set before."""
    global _conversion
    previous, _conversion = _conversion, conversion
    return previous


class _Module(block_decorator):
    """The decorated function; a call returns a block instance, or an instance stub in conversion."""

    def __init__(self, func):
        super().__init__(func)
        self.port_names, self.parameter_names = _split_signature(func)

    def __call__(self, *args, **kwargs):
        ports = self.bind_ports(args, kwargs)
        if _conversion is not None:
            return _conversion.instantiate(self, ports, kwargs)
        name = _uniqueify_name(f"{self.func.__name__}{self.calls}")
        self.calls += 1
        # The block must be made in this very frame: MyHDL finds the caller at a fixed depth of the stack.
        return _Block(self.func, self, name, self.srcfile, self.srcline, False, *ports, **kwargs)

    def bind_ports(self, args, kwargs):
        """Port values in order; ports given by name are taken out of kwargs."""
        if len(args) > len(self.port_names):
            raise TypeError(f"{self.name}: {len(args)} ports given, but it has {len(self.port_names)}")
        values = dict(zip(self.port_names, args, strict=False))
        for port in self.port_names[len(args) :]:
            if port in kwargs:
                values[port] = kwargs.pop(port)
            elif inspect.signature(self.func).parameters[port].default is None:
                values[port] = None
            else:
                raise TypeError(f"{self.name}: port {port} is not connected; pass a Signal, or None where it is absent")
        for port, value in values.items():
            if value is not None and not isinstance(value, _Signal):
                raise TypeError(
                    f"{self.name}: port {port} must be a Signal or None, not "
                    f"{type(value).__name__}; elaboration parameters are keyword-only"
                )
        return tuple(values[port] for port in self.port_names)


def _split_signature(func):
    ports, parameters = [], []
    for parameter in inspect.signature(func).parameters.values():
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            if parameter.default is not parameter.empty and parameter.default is not None:
                raise TypeError(
                    f"{func.__name__}: port {parameter.name} has a default; only None is "
                    "allowed, elaboration parameters are keyword-only (after *)"
                )
            ports.append(parameter.name)
        elif parameter.kind is parameter.KEYWORD_ONLY:
            parameters.append(parameter.name)
        else:
            raise TypeError(f"{func.__name__}: parameter {parameter.name} must be a port or keyword-only")
    return tuple(ports), tuple(parameters)


def module(func):
    """Decorator: `func` describes a hardware block that keeps its level of hierarchy in conversion."""
    return _Module(func)


def memory(mem, *, style=None, preset=""):
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


def unused(signal, high=None, low=0):
    """Say that bits high-1 .. low of a Signal (all of it without `high`) are left unread on purpose.

    The converted Verilog then has no unused-signal warning for them; the simulation does nothing.
    """
    if _conversion is not None:
        _conversion.note_unused(signal, len(signal) if high is None else high, low)


def read_hex_words(path, depth, bits):
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


__all__ = ["block", "memory", "module", "read_hex_words", "set_conversion", "unused"]
