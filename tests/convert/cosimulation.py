"""Is a module in MyHDL equal to its converted text in Icarus and GHDL? Random inputs, every output."""

import random
import subprocess
from pathlib import Path

from myhdl import StopSimulation, always, block, delay, instance

from accel.hdl import convert_design

RESET_CYCLES = 4


def simulate(module, ports, outputs, cycles, seed, parameters):
    """(input vectors, output vectors) of the MyHDL simulation; a vector is {port: raw bits}."""
    rng = random.Random(seed)
    inputs = [name for name in ports if name not in outputs and name != "clk"]
    driven, seen = [], []
    clk = ports["clk"]

    @block
    def bench():
        dut = module(*ports.values(), **parameters)

        @always(delay(5))
        def tick():
            clk.next = not clk

        @instance
        def drive():
            for cycle in range(cycles):
                yield clk.negedge
                if cycle:
                    seen.append({name: _raw(ports[name]) for name in outputs})
                vector = {name: rng.getrandbits(len(ports[name]) or 1) for name in inputs}
                if "rst" in vector:
                    vector["rst"] = int(cycle < RESET_CYCLES or rng.random() < 0.05)
                for name, value in vector.items():
                    signal = ports[name]
                    if signal.min is not None and signal.min < 0 and value >> (len(signal) - 1):
                        value -= 1 << len(signal)
                    signal.next = value
                driven.append(vector)
            raise StopSimulation

        return dut, tick, drive

    top = bench()
    top.run_sim(quiet=1)
    top.quit_sim()
    return driven[:-1], seen


def _raw(signal):
    return int(signal) & ((1 << (len(signal) or 1)) - 1)


def check(module, make_ports, outputs, folder, *, hdl, cycles=300, seed=1, **parameters):
    """Convert, run the same vectors, compare; returns the ConvertedDesign."""
    ports = make_ports()
    vectors, expected = simulate(module, ports, outputs, cycles, seed, parameters)
    fresh = make_ports()
    design = convert_design(lambda: module(*fresh.values(), **parameters), hdl=hdl, out_dir=folder)
    settled = RESET_CYCLES + 4  # registers without a reset are known by then
    inputs = [port for port in design.ports if port.direction == "in" and port.name != "clk"]
    tested = [port for port in design.ports if port.direction == "out"]
    _write_vectors(folder / "inputs.txt", vectors, inputs, hdl)
    _write_vectors(folder / "outputs.txt", expected, tested, hdl)
    run = _run_verilog if hdl == "verilog" else _run_vhdl
    output = run(design, inputs, tested, len(vectors), settled, folder)
    assert "PASS" in output and "FAIL" not in output, output[-3000:]
    return design


def _write_vectors(path, vectors, ports, hdl):
    lines = []
    for vector in vectors:
        value = 0
        for port in ports:
            value = value << port.width | vector[port.name]
        width = sum(port.width for port in ports)
        lines.append(f"{value:0{width}b}" if hdl == "vhdl" else f"{value:x}")
    path.write_text("\n".join(lines) + "\n")


def _run(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def _run_verilog(design, inputs, tested, count, settled, folder):
    wires = [f"wire {'signed ' if p.signed else ''}[{p.width - 1}:0] {p.name};" for p in inputs + tested]
    in_bits, out_bits = sum(p.width for p in inputs), sum(p.width for p in tested)
    connections = ", ".join(f".{p.name}({p.name})" for p in design.ports)
    text = f"""
`timescale 1ns/1ps
module bench;
reg clk = 0;
{chr(10).join(wires)}
reg [{in_bits - 1}:0] in_words [0:{count - 1}];
reg [{out_bits - 1}:0] out_words [0:{count - 1}];
reg [{in_bits - 1}:0] now = 0;
assign {{{", ".join(p.name for p in inputs)}}} = now;
wire [{out_bits - 1}:0] got = {{{", ".join(p.name for p in tested)}}};
{design.top} dut ({connections});
integer i;
initial begin
    $readmemh("inputs.txt", in_words);
    $readmemh("outputs.txt", out_words);
    for (i = 0; i < {count}; i = i + 1) begin
        now = in_words[i];
        #5 clk = 1;
        #5 clk = 0;
        #1 if (i >= {settled} && got !== out_words[i]) begin
            $display("FAIL cycle %0d: got %h, expected %h", i, got, out_words[i]);
            $finish;
        end
    end
    $display("PASS");
    $finish;
end
endmodule
"""
    (folder / "bench.v").write_text(text)
    _run(["iverilog", "-g2005", "-s", "bench", "-o", "bench.vvp", *design.files, "bench.v"], folder)
    return _run(["vvp", "-n", "bench.vvp"], folder)


def _run_vhdl(design, inputs, tested, count, settled, folder):
    def kind(port):
        vector = "signed" if port.signed else "unsigned"
        return "std_logic" if port.is_bool else f"{vector}({port.width - 1} downto 0)"

    def fields(ports):
        offset = sum(p.width for p in ports)
        for port in ports:
            offset -= port.width
            yield port, offset

    signals = "\n".join(f"signal {p.name}: {kind(p)};" for p in inputs + tested)
    unpack = "\n".join(
        f"        {p.name} <= in_word({low});"
        if p.is_bool
        else f"        {p.name} <= {kind(p).split('(')[0]}(in_word({low + p.width - 1} downto {low}));"
        for p, low in fields(inputs)
    )
    compare = "\n".join(
        (
            f"            assert {p.name} = out_word({low}) "
            if p.is_bool
            else f"            assert std_logic_vector({p.name}) = out_word({low + p.width - 1} downto {low}) "
        )
        + f'report "FAIL {p.name}" severity failure;'
        for p, low in fields(tested)
    )
    connections = ", ".join(f"{p.name} => {p.name}" for p in design.ports)
    in_bits, out_bits = sum(p.width for p in inputs), sum(p.width for p in tested)
    text = f"""
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;
use std.textio.all;
entity bench is end entity;
architecture test of bench is
signal clk: std_logic := '0';
{signals}
begin
dut: entity work.{design.top} port map ({connections});
run: process is
    file in_file: text open read_mode is "inputs.txt";
    file out_file: text open read_mode is "outputs.txt";
    variable in_row: line;
    variable in_word: std_logic_vector({in_bits - 1} downto 0);
    variable out_word: std_logic_vector({out_bits - 1} downto 0);
begin
    for i in 0 to {count - 1} loop
        readline(in_file, in_row); read(in_row, in_word);
        readline(out_file, in_row); read(in_row, out_word);
{unpack}
        wait for 5 ns; clk <= '1'; wait for 5 ns; clk <= '0'; wait for 1 ns;
        if i >= {settled} then
{compare}
        end if;
    end loop;
    report "PASS";
    wait;
end process;
end architecture;
"""
    (folder / "bench.vhd").write_text(text)
    files = [*design.files, Path("bench.vhd")]
    _run(["ghdl", "-a", "--std=08", "--workdir=.", *files], folder)
    _run(["ghdl", "-e", "--std=08", "--workdir=.", "bench"], folder)
    return _run(["ghdl", "-r", "--std=08", "--workdir=.", "bench"], folder)
