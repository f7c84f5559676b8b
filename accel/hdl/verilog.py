"""Verilog text: instances, module headers, memory attributes, tidying of what MyHDL prints."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

from myhdl.conversion import _toVerilog
from myhdl.conversion._toVerilog import _intRepr

from accel.hdl.constants import Constant, declare_constants
from accel.hdl.errors import ConversionError
from accel.hdl.ports import Memory, Port
from accel.hdl.slices import NamedSlice
from accel.hdl.tidy import WIDTH, tidy
from accel.hdl.widths import fit_constants, write_widths

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myhdl import Signal
    from myhdl.conversion._toVerilog import _ToVerilogConvertor

    from accel.hdl.ports import DrivenPort
    from accel.hdl.stub import InstanceStub

EXTENSION = ".v"
COMMENT = "//"
LANGUAGE = "Verilog"
DECLARATIONS = re.compile(r"(?:\s*\n|(?:reg|wire|localparam)\b[^;]*;\n)*")


def converter() -> _ToVerilogConvertor:
    """MyHDL's converter with the options of this project."""
    tool = _toVerilog.toVerilog
    tool.no_myhdl_header, tool.no_testbench, tool.timescale = True, True, "1ns/1ps"
    tool.initial_values, tool.header = False, ""
    return tool


def write_instance(stub: InstanceStub) -> str:
    """Text of an instance; the module name is the child's token until all names are known."""
    files = ", ".join(f'.{name.upper()}_FILE("{file}")' for name, file in stub.child_files.items())
    connections = []
    for port, signal, constant in stub.connections():
        actual = literal(constant, port) if constant is not None else signal._name
        connections.append(f".{port.name}({actual})")
    head = f"{stub.child.token} #({files}) {stub.name}" if files else f"{stub.child.token} {stub.name}"
    text = textwrap.fill(
        ", ".join(connections),
        WIDTH,
        initial_indent="    ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return f"\n{head} (\n{text}\n);\n"


def literal(value: int, port: Port) -> str:
    if port.is_bool:
        return f"1'b{value}"
    if port.signed:
        return f"-{port.width}'sd{-value}" if value < 0 else f"{port.width}'sd{value}"
    return f"{port.width}'d{value}"


def split_module(text: str) -> str:
    """The body of MyHDL's module: what stands between the port declarations and endmodule."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("module "))
    start = next(i for i in range(start, len(lines)) if lines[i].startswith(");")) + 1
    while not lines[start].strip():
        start += 1
    while lines[start].strip():  # the port declarations, up to a blank line
        start += 1
    end = max(i for i, line in enumerate(lines) if line.startswith("endmodule"))
    return "\n".join(lines[start:end])


def finish_body(
    body: str,
    ports: list[Port],
    *,
    constants: list[Constant],
    slices: list[NamedSlice],
    memories: dict[str, Memory],
    unused: list[tuple[str, int, int, int]],
) -> str:
    """Tidy the text, write widths out; declare named numbers and slices, add memory attributes and contents.

    unused: (signal, width, high, low) of bits that are left unread on purpose.
    """
    body = tidy(body)
    signals = [*ports, *(Port(part.name, "in", part.width, False, part.is_bool) for part in slices)]
    numbers = {constant.name: _intRepr(constant.value).strip("()") for constant in constants}
    numbers = fit_constants(body, signals, numbers)
    body = write_widths(body, signals, numbers)
    body = _declare_slices(slices, body)
    numbers = {name: _padded(number) for name, number in numbers.items()}
    body = declare_constants(constants, body, lambda c: f"localparam {c.name} = {numbers[c.name]};", COMMENT)
    body = re.sub(r"always @\((?!posedge|negedge)[^)]*\)", "always @*", body)
    body = _join_concatenations(body)
    for name, (style, preset) in memories.items():
        declaration = re.search(rf"^reg .*\b{name} \[0:\d+\];$", body, re.MULTILINE)
        if declaration is None:
            raise ConversionError(
                f"memory {name}: only a list of Signals that a clocked process writes can have a style or a preset"
            )
        text = declaration[0]
        if style:
            text = f'(* ram_style = "{style}" *)\n{text}'
        if preset:
            text += f"\ninitial $readmemh({name.upper()}_FILE, {name});"
        body = body.replace(declaration[0], text)
    wires: dict[str, list[str]] = {}
    for name, width, high, low in unused:
        bits = name if width == high - low else f"{name}[{high - 1}:{low}]"
        wires.setdefault(name, []).append(bits)
    for name, parts in wires.items():
        body += f"\nwire {name}_unused = &{{1'b0, {', '.join(parts)}}};\n"
    return body


def _padded(number: str) -> str:
    """A hexadecimal number with all its digits."""
    match = re.fullmatch(r"(\d+)'h([0-9a-f]+)", number)
    return f"{match[1]}'h{match[2].zfill(-(-int(match[1]) // 4))}" if match else number


def _declare_slices(slices: list[NamedSlice], body: str) -> str:
    """Wires for the slices that the text uses, behind the declarations of the signals."""
    lines = [
        f"wire{'' if part.is_bool else f' [{part.width - 1}:0]'} {part.name} = {tidy(part.source)};"
        for part in slices
        if re.search(rf"\b{part.name}\b", body)
    ]
    if not lines:
        return body
    declared = DECLARATIONS.match(body)
    begin = declared.end() if declared else 0
    return "\n".join([body[:begin], *lines, "", body[begin:]])


PART = re.compile(r"assign (\w+)\[(\d+)(?::(\d+))?\] = (.*);$")


def _join_concatenations(body: str) -> str:
    """MyHDL writes a concatenation part by part: one statement says the same."""
    result, parts, target = [], [], None
    for line in [*body.splitlines(), ""]:
        match = PART.match(line)
        if target is not None and (match is None or match[1] != target):
            joined = textwrap.fill(", ".join(parts), 100, break_long_words=False, break_on_hyphens=False)
            indented = joined.replace("\n", "\n    ")
            result.append(f"assign {target} = {{{indented}}};")
            parts, target = [], None
        if match is None:
            result.append(line)
            continue
        target, high, low, value = match[1], int(match[2]), int(match[3] or match[2]), match[4]
        parts.append(value if not value.startswith("'") else f"{high - low + 1}{value}")
    return "\n".join(result[:-1])


def name_states(signal: Signal) -> dict[str, str]:
    """Let MyHDL print the states of an enum Signal by name; returns {name: code}."""
    codes = {}
    for name in signal._init._type._names:
        state = f"{signal._name}_{name}".upper()
        item = getattr(signal._init._type, name)
        codes[state] = item._toVerilog()
        item._toVerilog = lambda dontcare=False, state=state: state
    return codes


def forget_states(signal: Signal) -> None:
    for name in signal._init._type._names:
        del getattr(signal._init._type, name)._toVerilog


def declare_states(states: Mapping[str, str], body: str) -> str:
    """Declarations of the states that the text uses, in front of it."""
    used = [
        f"localparam [{int(code.split(chr(39))[0]) - 1}:0] {name} = {code};"
        for name, code in states.items()
        if re.search(rf"\b{name}\b", body)
    ]
    return "\n".join([*used, body])


def assemble(comment: str, token: str, ports: list[DrivenPort], memories: Mapping[str, Memory], body: str) -> str:
    """One module as text."""
    files = [f'parameter {name.upper()}_FILE = "{file}"' for name, (_, file) in memories.items() if file]
    head = f"module {token}"
    if files:
        head += " #(\n    " + ",\n    ".join(files) + "\n)"
    lines = []
    for port, driven in ports:
        kind = "output reg" if driven == "reg" else "output wire" if port.direction == "out" else "input wire"
        signed = " signed" if port.signed else ""
        width = "" if port.is_bool else f" [{port.width - 1}:0]"
        lines.append(f"    {kind}{signed}{width} {port.name}")
    head += " (\n" + ",\n".join(lines) + "\n);"
    return f"{comment}\n`timescale 1ns/1ps\n\n{head}\n\n{body}\n\nendmodule\n"


def extra_files() -> dict[str, str]:
    return {}
