"""The self-checking VHDL test bench of an accelerator that was converted to VHDL with its memory images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel.descriptor import CONTROL_ABORT, CONTROL_ENABLE
from accel.hdl.vhdl import literal_bits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from accel.compile.program import Program
    from accel.hdl.golden import Golden

RUN_GHDL = """\
#!/bin/sh
# Runs the test bench in GHDL, from the folder of the memory images.
# +load loads the program through the host port, +stalls adds random stalls.
set -e
options=""
for name in "$@"; do options="$options -g${{name#+}}=1"; done
cd "$(dirname "$0")/../mem"
work=../sim/work
mkdir -p $work
ghdl -a --std=08 --workdir=$work {sources} ../sim/tb_{top}.vhd
ghdl -e --std=08 --workdir=$work -o $work/tb_{top} tb_{top}
ghdl -r --std=08 --workdir=$work tb_{top} $options
"""


def run_script(top: str, rtl_files: Iterable[str]) -> str:
    """Shell script that runs the bench in GHDL."""
    return RUN_GHDL.format(top=top, sources=" ".join(f"../rtl/{name}" for name in rtl_files))


def testbench(top: str, program: Program, golden: Golden, *, preset: bool) -> str:
    """VHDL-2008: streams the golden images in, compares every beat, reports PASS or FAIL."""
    lanes = program.config.lanes
    return TEMPLATE.format(
        top=top,
        data=8 * lanes - 1,
        keep=lanes - 1,
        word=9 * lanes,
        images=golden.images,
        input_beats=len(golden.inputs),
        output_beats=len(golden.outputs),
        image_beats=golden.input_beats,
        host_writes=len(program.host_writes()),
        predicted=program.predicted_cycles,
        load=0 if preset else 1,
        abort=literal_bits(CONTROL_ABORT, 32),
        enable=literal_bits(CONTROL_ENABLE, 32),
        padded_word=4 * -(-(9 * lanes + 1) // 4) - 1,
        limit=4 * golden.images * max(program.predicted_cycles, 1000) + 100_000 + 4 * len(program.host_writes()),
        graph=program.graph_name,
        layers=literal_bits(len(program.layers) - 1, 32),
        cycle_limit=literal_bits(program.cycle_limit, 32),
    )


TEMPLATE = """\
-- Self-checking test bench of {top}: streams {images} images of {graph} and compares every output beat
-- with the integer reference. VHDL-2008, for GHDL (sim/run_ghdl.sh) and the Vivado simulator.
-- load      1: load the program through the host port instead of using the memory images
-- stalls    1: withhold input beats and output readiness at random

library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;
use ieee.math_real.all;
use std.textio.all;

entity tb_{top} is
    generic (
        load: natural := {load};
        stalls: natural := 0
    );
end entity tb_{top};

architecture test of tb_{top} is

constant predicted_cycles: integer := {predicted};
signal clk: std_logic := '0';
signal rst: std_logic := '1';
signal done: boolean := false;
signal running: boolean := false;
signal cycle: integer := 0;
signal first_cycle: integer := 0;
signal withheld: integer := 0;
signal s_data: std_logic_vector({data} downto 0) := (others => '0');
signal s_valid, s_last: std_logic := '0';
signal s_ready: std_logic;
signal m_data: std_logic_vector({data} downto 0);
signal m_keep: std_logic_vector({keep} downto 0);
signal m_valid, m_last: std_logic;
signal m_ready: std_logic := '0';
signal host_addr: std_logic_vector(23 downto 0) := (others => '0');
signal host_wdata: std_logic_vector(31 downto 0) := (others => '0');
signal host_write: std_logic := '0';
signal host_rdata: std_logic_vector(31 downto 0);

begin

clk <= not clk after 5 ns when not done else '0';

dut: entity work.{top}
    port map (
        clk => clk, rst => rst, s_axis_tdata => s_data, s_axis_tvalid => s_valid, s_axis_tready => s_ready,
        s_axis_tlast => s_last, m_axis_tdata => m_data, m_axis_tkeep => m_keep, m_axis_tvalid => m_valid,
        m_axis_tready => m_ready, m_axis_tlast => m_last, host_addr => host_addr, host_write => host_write,
        host_wdata => host_wdata, host_read => '0', host_rdata => host_rdata
    );

count: process (clk) is
begin
    if rising_edge(clk) then
        cycle <= cycle + 1;
        if cycle = {limit} then
            report "FAIL: no end after {limit} cycles" severity failure;
        end if;
    end if;
end process count;

-- Takes output beats, with stalls in two cycles of three.
take: process is
    variable seed1: positive := 3;
    variable seed2: positive := 5;
    variable roll: real;
begin
    wait until rising_edge(clk);
    uniform(seed1, seed2, roll);
    m_ready <= '1' when running and (stalls = 0 or roll > 1.0 / 3.0) else '0';
end process take;

-- Loads the program where the memories start empty, then sends every input beat.
send: process is
    file beats: text open read_mode is "golden_input.mem";
    file writes: text open read_mode is "host_writes.mem";
    variable row: line;
    variable beat: std_logic_vector({data} downto 0);
    variable entry: std_logic_vector(55 downto 0);
    variable seed1: positive := 1;
    variable seed2: positive := 2;
    variable roll: real;

    procedure write_host(address: std_logic_vector(23 downto 0); value: std_logic_vector(31 downto 0)) is
    begin
        host_addr <= address;
        host_wdata <= value;
        host_write <= '1';
        wait until rising_edge(clk);
        host_write <= '0';
    end procedure;

begin
    for i in 1 to 8 loop
        wait until rising_edge(clk);
    end loop;
    rst <= '0';
    for i in 1 to 64 loop
        wait until rising_edge(clk);
    end loop;
    if load = 1 then
        write_host(x"000000", "{abort}");
        for i in 1 to 8 loop
            wait until rising_edge(clk);
        end loop;
        for i in 1 to {host_writes} loop
            readline(writes, row);
            hread(row, entry);
            write_host(entry(55 downto 32), entry(31 downto 0));
        end loop;
        write_host(x"000002", "{layers}");
        write_host(x"000005", "{cycle_limit}");
        write_host(x"000000", "{enable}");
        for i in 1 to 64 loop
            wait until rising_edge(clk);
        end loop;
    end if;
    running <= true;
    for i in 0 to {input_beats} - 1 loop
        readline(beats, row);
        hread(row, beat);
        uniform(seed1, seed2, roll);
        while stalls = 1 and roll < 1.0 / 3.0 loop
            s_valid <= '0';
            withheld <= withheld + 1;
            wait until rising_edge(clk);
            uniform(seed1, seed2, roll);
        end loop;
        s_data <= beat;
        s_valid <= '1';
        s_last <= '1' when (i + 1) mod {image_beats} = 0 else '0';
        wait until rising_edge(clk) and s_ready = '1';
        if i = 0 then
            first_cycle <= cycle;
        end if;
    end loop;
    s_valid <= '0';
    wait;
end process send;

check: process is
    file beats: text open read_mode is "golden_output.mem";
    variable row: line;
    variable padded: std_logic_vector({padded_word} downto 0);
    variable expected: std_logic_vector({word} downto 0);
    variable errors: integer := 0;
    variable first_image: integer := 0;
begin
    wait until running;
    for i in 0 to {output_beats} - 1 loop
        readline(beats, row);
        hread(row, padded);
        expected := padded({word} downto 0);
        wait until rising_edge(clk) and m_valid = '1' and m_ready = '1';
        if m_last /= expected({word}) or m_keep /= expected({word} - 1 downto {data} + 1) then
            errors := errors + 1;
        end if;
        for byte in 0 to {keep} loop
            if expected({data} + 1 + byte) = '1'
                    and m_data(8 * byte + 7 downto 8 * byte) /= expected(8 * byte + 7 downto 8 * byte) then
                errors := errors + 1;
            end if;
        end loop;
        if i = {output_beats} / {images} - 1 then
            first_image := cycle - first_cycle + 1;
        end if;
    end loop;
    assert errors = 0 report "FAIL: " & integer'image(errors) & " differences" severity failure;
    report "PASS: {images} images, {output_beats} output beats, first image " & integer'image(first_image)
        & " cycles (predicted " & integer'image(predicted_cycles) & "), input withheld in "
        & integer'image(withheld) & " cycles";
    done <= true;
    wait;
end process check;

end architecture test;
"""
