"""A VHDL entity with std_logic_vector ports around a converted top, for mixed-language projects and IP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel.hdl.vhdl import COMMENT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from accel.hdl.ports import Port


def vhdl_shell(name: str, core: str, ports: Iterable[Port]) -> str:
    """Text of entity `name` around entity `core`: same ports, every vector a std_logic_vector."""
    declarations, signals, connections, assignments = [], [], [], []
    for port in ports:
        kind = "std_logic" if port.is_bool else f"std_logic_vector({port.width - 1} downto 0)"
        declarations.append(f"        {port.name}: {port.direction} {kind}")
        if port.is_bool:
            connections.append(f"        {port.name} => {port.name}")
            continue
        vector = "signed" if port.signed else "unsigned"
        inner = f"core_{port.name}"
        signals.append(f"signal {inner}: {vector}({port.width - 1} downto 0);")
        connections.append(f"        {port.name} => {inner}")
        assignments.append(
            f"{inner} <= {vector}({port.name});"
            if port.direction == "in"
            else f"{port.name} <= std_logic_vector({inner});"
        )
    return "\n".join(
        (
            f"{COMMENT} {core} with std_logic_vector ports.",
            "",
            "library ieee;",
            "use ieee.std_logic_1164.all;",
            "use ieee.numeric_std.all;",
            "",
            f"entity {name} is",
            "    port (",
            ";\n".join(declarations),
            "    );",
            f"end entity {name};",
            "",
            f"architecture shell of {name} is",
            *signals,
            "begin",
            *assignments,
            f"core: entity work.{core}",
            "    port map (",
            ",\n".join(connections),
            "    );",
            "end architecture shell;",
            "",
        )
    )
