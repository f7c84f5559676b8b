"""VHDL text of the bench of one block case (see record.py for the trace that it reads)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.vunit.record import hex_digits

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from sim.engines.dut import Port

TEMPLATE = """\
-- Replays the recorded cycles of block case {name} and compares every output in every cycle.
-- An output counts from its first defined value on, because data registers have no reset; those named
-- ...valid and ...ready, and data with a qualifier, count at once.
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;
use std.textio.all;

library vunit_lib;
context vunit_lib.vunit_context;

entity tb_{name} is
    generic (runner_cfg: string; trace_file: string);
end entity tb_{name};

architecture bench of tb_{name} is
    signal {clock}: std_logic := '0';
{signals}
begin
    dut: entity work.{top}
        port map (
{port_map}
        );

    replay: process
        file bench_trace: text;
        variable bench_row: line;
        variable bench_cycle: natural := 0;
        variable bench_compared: std_logic_vector({compared_top} downto 0);
        variable bench_loaded: boolean_vector(0 to {last_output}) := {strict};
{variables}

        procedure compare(port_name: string; index: natural; expected, got: std_logic_vector) is
        begin
            if bench_compared(index) = '0' or (is_x(got) and not bench_loaded(index)) then
                return;
            end if;
            bench_loaded(index) := true;
            if got /= expected then
                error("{name}: cycle " & integer'image(bench_cycle) & ": port " & port_name & ": expected "
                      & to_hstring(expected) & ", got " & to_hstring(got) & " = " & to_string(got));
            end if;
        end procedure compare;
    begin
        test_runner_setup(runner, runner_cfg);
        file_open(bench_trace, trace_file, read_mode);
        while not endfile(bench_trace) loop
            readline(bench_trace, bench_row);
            hread(bench_row, bench_compared);
{read_inputs}
            wait for 4 ns;
{read_outputs}
            {clock} <= '1';
            wait for 5 ns;
            {clock} <= '0';
            wait for 1 ns;
            bench_cycle := bench_cycle + 1;
        end loop;
{report_unloaded}
        info("{name}: " & integer'image(bench_cycle) & " cycles replayed");
        test_runner_cleanup(runner);
    end process replay;
end architecture bench;
"""


def bench_text(
    name: str,
    top: str,
    ports: Mapping[str, Port],
    directions: Mapping[str, str],
    qualified: Collection[str] = (),
    clock: str = "clk",
) -> str:
    """The bench of a converted block; `ports` as recorded, `qualified`: the outputs with a qualifier."""
    inputs = [port for port in ports.values() if directions.get(port.name) == "input" and port.name != clock]
    outputs = [port for port in ports.values() if directions.get(port.name) == "output"]
    signals, variables, read_inputs, read_outputs = [], [], [], []
    for port in (*inputs, *outputs):
        variables.append(f"variable {port.name}_word: {_vector(port.bits)};")
    for port in inputs:
        start = "'0'" if port.boolean else "(others => '0')"
        signals.append(f"signal {port.name}: {_type(port)} := {start};")
        word = f"{port.name}_word(0)" if port.boolean else f"{port.name}_word({port.bits - 1} downto 0)"
        value = word if port.boolean else f"{'signed' if port.signed else 'unsigned'}({word})"
        read_inputs += [f"hread(bench_row, {port.name}_word);", f"{port.name} <= {value};"]
    for index, port in enumerate(outputs):
        signals.append(f"signal {port.name}: {_type(port)};")
        got = f'"" & {port.name}' if port.boolean else f"std_logic_vector({port.name})"
        expected = f"{port.name}_word({port.bits - 1} downto 0)"
        read_outputs += [
            f"hread(bench_row, {port.name}_word);",
            f'compare("{port.name}", {index}, {expected}, {got});',
        ]
    report_unloaded = [
        f'if not bench_loaded({index}) then info("{name}: {port.name} was never compared"); end if;'
        for index, port in enumerate(outputs)
    ]
    connected = [clock] if clock in directions else []
    connected += [port.name for port in (*inputs, *outputs)]
    return TEMPLATE.format(
        name=name,
        top=top,
        clock=clock,
        signals=_indent(signals, 4),
        variables=_indent(variables, 8),
        port_map=",\n".join(f"            {port} => {port}" for port in connected),
        last_output=len(outputs) - 1,
        report_unloaded=_indent(report_unloaded, 8),
        strict=f"({', '.join(f'{i} => {_strict(port.name, qualified)}' for i, port in enumerate(outputs))})",
        compared_top=4 * hex_digits(len(outputs)) - 1,
        read_inputs=_indent(read_inputs, 12),
        read_outputs=_indent(read_outputs, 12),
    )


def _strict(name: str, qualified: Collection[str]) -> str:
    return "true" if name in qualified or name.endswith(("valid", "ready")) else "false"


def _type(port: Port) -> str:
    if port.boolean:
        return "std_logic"
    return f"{'signed' if port.signed else 'unsigned'}({port.bits - 1} downto 0)"


def _vector(bits: int) -> str:
    return f"std_logic_vector({4 * hex_digits(bits) - 1} downto 0)"


def _indent(lines: Iterable[str], spaces: int) -> str:
    return "\n".join(" " * spaces + line for line in lines)
