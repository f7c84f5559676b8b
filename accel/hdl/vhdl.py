"""VHDL-2008 text: instances, entity headers, memory attributes, tidying of what MyHDL prints."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import myhdl
from myhdl.conversion import _toVHDL
from myhdl.conversion._toVHDLPackage import _package

from accel.hdl import indices
from accel.hdl.constants import INTEGER_LIMIT, Constant, declare_constants
from accel.hdl.errors import ConversionError
from accel.hdl.ports import Memory, Port
from accel.hdl.slices import NamedSlice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myhdl import Signal
    from myhdl.conversion._toVHDL import _ToVHDLConvertor

    from accel.hdl.ports import DrivenPort
    from accel.hdl.stub import InstanceStub

EXTENSION = ".vhd"
COMMENT = "--"
LANGUAGE = "VHDL"
PACKAGE_NAME = f"pck_myhdl_{_toVHDL._shortversion}"

READ_MEMORY = """\
impure function read_{name}(file_name: string) return t_array_{name} is
    file source: std.textio.text open read_mode is file_name;
    variable row: std.textio.line;
    variable word: std_logic_vector({bits}-1 downto 0);
    variable result: t_array_{name} := (others => (others => '0'));
begin
    for i in result'range loop
        exit when endfile(source);
        readline(source, row);
        hread(row, word);
        result(i) := {kind}(word);
    end loop;
    return result;
end function;
"""


def converter() -> _ToVHDLConvertor:
    """MyHDL's converter with the options of this project."""
    tool = _toVHDL.toVHDL
    tool.no_myhdl_header, tool.no_myhdl_package = True, True
    tool.initial_values, tool.header = False, ""
    return tool


def write_instance(stub: InstanceStub) -> str:
    """Text of an instance; the entity name is the child's token until all names are known."""
    files = ", ".join(f'{name}_file => "{file}"' for name, file in stub.child_files.items())
    lines = []
    for port, signal, constant in stub.connections():
        if constant is not None:
            actual = literal(constant, port)
        else:
            actual = signal._name
            if hasattr(signal, "_left") and signal._right is not None and _is_signed(signal._sig):
                actual = f"unsigned({actual})"  # a slice of a signed vector is unsigned in MyHDL only
        lines.append(f"        {port.name} => {actual}")
    text = f"\n{stub.name}: entity work.{stub.child.token}\n"
    if files:
        text += f"    generic map ({files})\n"
    return text + "    port map (\n" + ",\n".join(lines) + "\n    );\n"


def _is_signed(signal: Signal) -> bool:
    return signal._min is not None and signal._min < 0


def literal(value: int, port: Port) -> str:
    if port.is_bool:
        return f"'{value}'"
    return f'"{literal_bits(value, port.width)}"'


def literal_bits(value: int, bits: int) -> str:
    """A value in two's complement, as the bits of a VHDL literal."""
    return format(value & ((1 << bits) - 1), f"0{bits}b")


def split_module(text: str) -> str:
    """MyHDL's architecture: declarations and statements between `architecture ... is` and the end."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("architecture "))
    end = max(i for i, line in enumerate(lines) if line.startswith("end architecture"))
    return "\n".join(lines[start + 1 : end])


def finish_body(
    body: str,
    _ports: list[Port],
    *,
    constants: list[Constant],
    slices: list[NamedSlice],
    memories: dict[str, Memory],
    unused: list[tuple[str, int, int, int]],
) -> str:
    """Tidy ranges; declare named numbers and slices, add attributes and first contents of memories."""
    body = _declare_slices(slices, indices.tidy_vhdl(body))
    body = re.sub(r"array\(0 to (\d+)-1\)", lambda m: f"array(0 to {int(m[1]) - 1})", body)
    body, bits = _large_constants(constants, body)
    body = declare_constants(constants, body, lambda c: _constant(c, bits.get(c.name, 0)), COMMENT)
    attribute_declared = False
    for name, (style, preset) in memories.items():
        declaration = f"signal {name}: t_array_{name};"
        kind = re.search(rf"type t_array_{name} is array\(0 to \d+\) of (\w+) ?\((\d+) downto 0\);", body)
        if kind is None or declaration not in body:
            raise ConversionError(
                f"memory {name}: only a list of intbv Signals that a clocked process "
                "writes can have a style or a preset"
            )
        text = declaration
        if preset:
            function = READ_MEMORY.format(name=name, bits=int(kind[2]) + 1, kind=kind[1])
            text = f"{function}signal {name}: t_array_{name} := read_{name}({name}_file);"
        if style:
            if not attribute_declared:
                text += "\nattribute ram_style: string;"
                attribute_declared = True
            text += f'\nattribute ram_style of {name}: signal is "{style}";'
        body = body.replace(declaration, text)
    return body


def _large_constants(constants: list[Constant], body: str) -> tuple[str, dict[str, int]]:
    """(The body without needless resizes, {name: bits} of the constants that are vectors)."""
    widths = {}
    for constant in constants:
        if abs(constant.value) >= INTEGER_LIMIT:
            resized = re.compile(rf"resize\({constant.name}, (\d+)\)")
            used = {int(bits) for bits in resized.findall(body)}
            widths[constant.name] = max(used, default=constant.value.bit_length() + 1)
            body = resized.sub(constant.name, body) if len(used) == 1 else body
    return body, widths


def _constant(constant: Constant, bits: int) -> str:
    """Declaration of a named number: an integer, or a vector of `bits` where it is too large for one."""
    if not bits:
        return f"constant {constant.name}: {'natural' if constant.value >= 0 else 'integer'} := {constant.value};"
    kind = "signed" if constant.value < 0 else "unsigned"
    digits = literal_bits(constant.value, bits)
    value = f'x"{int(digits, 2):0{bits // 4}x}"' if bits % 4 == 0 else f'"{digits}"'
    return f"constant {constant.name}: {kind}({bits - 1} downto 0) := {value};"


def _declare_slices(slices: list[NamedSlice], body: str) -> str:
    """Aliases of the slices that the text uses, behind the declarations of the signals."""
    lines = [
        f"alias {part.name}: {'std_logic' if part.is_bool else f'unsigned({part.width - 1} downto 0)'}"
        f" is {indices.tidy_vhdl(part.source)};\n"
        for part in slices
        if re.search(rf"\b{part.name}\b", body)
    ]
    return re.sub(r"^begin$", "".join([*lines, "\n"] * bool(lines)) + "begin", body, count=1, flags=re.MULTILINE)


def assemble(comment: str, token: str, ports: list[DrivenPort], memories: Mapping[str, Memory], body: str) -> str:
    """One entity with its architecture as text."""
    files = [f'        {name}_file: string := "{preset}"' for name, (_, preset) in memories.items() if preset]
    generic = "    generic (\n" + ";\n".join(files) + "\n    );\n" if files else ""
    lines = []
    for port, _ in ports:
        kind = "signed" if port.signed else "unsigned"
        kind = "std_logic" if port.is_bool else f"{kind}({port.width - 1} downto 0)"
        lines.append(f"        {port.name}: {port.direction} {kind}")
    return (
        f"{comment}\nlibrary ieee;\nuse ieee.std_logic_1164.all;\nuse ieee.numeric_std.all;\n"
        f"use std.textio.all;\nuse work.{PACKAGE_NAME}.all;\n\nentity {token} is\n{generic}    port (\n"
        + ";\n".join(lines)
        + f"\n    );\nend entity {token};\n\narchitecture rtl of {token} is\n\n"
        + body
        + "\n\nend architecture rtl;\n"
    )


def extra_files() -> dict[str, str]:
    """Support files by name: MyHDL's package of conversion functions."""
    header = f"-- Conversion functions of MyHDL {myhdl.__version__}.\n"
    return {f"{PACKAGE_NAME}.vhd": header + _package.strip() + "\n"}
