"""The self-checking Verilog test bench of a converted accelerator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel.descriptor import CONTROL_ABORT, CONTROL_ENABLE, REG_CONTROL, REG_CYCLE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from accel.compile.program import Program
    from accel.hdl.golden import Golden

RUN_ICARUS = """\
#!/bin/sh
# Runs the test bench in Icarus Verilog; exits with 1 where it does not print PASS.
# +load loads the program through the host port, +stalls adds random stalls.
set -e
cd "$(dirname "$0")/../mem"
iverilog -g2005 -s tb_{top} -o ../sim/tb_{top}.vvp {sources} ../sim/tb_{top}.v
vvp -n ../sim/tb_{top}.vvp "$@" | tee ../sim/tb_{top}.log
grep -q '^PASS' ../sim/tb_{top}.log
"""


def run_script(top: str, rtl_files: Iterable[str]) -> str:
    """Shell script that runs the bench in Icarus, from the folder of the memory images."""
    return RUN_ICARUS.format(top=top, sources=" ".join(f"../rtl/{name}" for name in rtl_files))


def testbench(top: str, program: Program, golden: Golden, *, preset: bool) -> str:
    """Plain Verilog: streams the golden images in, compares every beat, prints PASS or FAIL."""
    lanes = program.config.lanes
    return TEMPLATE.format(
        top=top,
        lanes=lanes,
        images=golden.images,
        input_beats=len(golden.inputs),
        output_beats=len(golden.outputs),
        image_beats=golden.input_beats,
        image_outputs=golden.output_beats,
        host_writes=len(program.host_writes()),
        predicted=program.predicted_cycles,
        load=0 if preset else 1,
        limit=4 * golden.images * max(program.predicted_cycles, 1000) + 100_000 + len(program.host_writes()),
        control=f"24'h{REG_CONTROL:06x}",
        abort=f"32'd{CONTROL_ABORT}",
        enable=f"32'd{CONTROL_ENABLE}",
        layers=len(program.layers) - 1,
        cycle_limit=f"24'h{REG_CYCLE_LIMIT:06x}, 32'd{program.cycle_limit}",
        graph=program.graph_name,
    )


TEMPLATE = """\
// Self-checking test bench of {top}: streams {images} images of {graph} and compares every output beat
// with the integer reference. Plain Verilog-2005, for Icarus (sim/run_icarus.sh) and the Vivado simulator.
// +load     load the program through the host port instead of using the memory images
// +stalls   withhold input beats and output readiness at random

`timescale 1ns/1ps

module tb_{top};

localparam LANES = {lanes};
localparam INPUT_BEATS = {input_beats};
localparam OUTPUT_BEATS = {output_beats};
localparam IMAGE_BEATS = {image_beats};
localparam IMAGE_OUTPUTS = {image_outputs};
localparam HOST_WRITES = {host_writes};
localparam PREDICTED_CYCLES = {predicted};
localparam CYCLE_LIMIT = {limit};

reg clk = 1'b0;
reg rst = 1'b1;
always #5 clk = ~clk;

reg [8*LANES-1:0] input_beats [0:INPUT_BEATS-1];
reg [9*LANES:0] output_beats [0:OUTPUT_BEATS-1];
reg [55:0] host_writes [0:HOST_WRITES-1];

reg [8*LANES-1:0] s_data = {{8*LANES{{1'b0}}}};
reg s_valid = 1'b0;
reg s_last = 1'b0;
wire s_ready;
wire [8*LANES-1:0] m_data;
wire [LANES-1:0] m_keep;
wire m_valid;
wire m_last;
reg m_ready = 1'b0;
reg [23:0] host_addr = 24'd0;
reg [31:0] host_wdata = 32'd0;
reg host_write = 1'b0;
wire [31:0] host_rdata;

{top} dut (
    .clk(clk),
    .rst(rst),
    .s_axis_tdata(s_data),
    .s_axis_tvalid(s_valid),
    .s_axis_tready(s_ready),
    .s_axis_tlast(s_last),
    .m_axis_tdata(m_data),
    .m_axis_tkeep(m_keep),
    .m_axis_tvalid(m_valid),
    .m_axis_tready(m_ready),
    .m_axis_tlast(m_last),
    .host_addr(host_addr),
    .host_write(host_write),
    .host_wdata(host_wdata),
    .host_read(1'b0),
    .host_rdata(host_rdata)
);

integer cycle = 0;
integer index;
integer sent = 0;
integer received = 0;
integer errors = 0;
integer first_cycle = 0;
integer last_cycle = 0;
integer first_image_cycles = 0;
integer seed = 1;
reg loading = 1'b0;
reg stalls = 1'b0;
reg running = 1'b0;
reg [9*LANES:0] expected;
reg [8*LANES-1:0] mask;
wire [9*LANES:0] got = {{m_last, m_keep, m_data & mask}};

// Bytes of the last beat that are not kept carry no meaning.
always @* begin
    expected = output_beats[received];
    for (index = 0; index < LANES; index = index + 1)
        mask[8*index +: 8] = {{8{{expected[8*LANES + index]}}}};
end

task write_host(input [23:0] address, input [31:0] data);
    begin
        host_addr <= address;
        host_wdata <= data;
        host_write <= 1'b1;
        @(posedge clk);
        host_write <= 1'b0;
    end
endtask

integer entry;
initial begin
    $readmemh("golden_input.mem", input_beats);
    $readmemh("golden_output.mem", output_beats);
    $readmemh("host_writes.mem", host_writes);
    loading = {load};
    if ($test$plusargs("load")) loading = 1'b1;
    if ($test$plusargs("stalls")) stalls = 1'b1;
    repeat (8) @(posedge clk);
    rst <= 1'b0;
    repeat (64) @(posedge clk);
    if (loading) begin
        write_host({control}, {abort});
        repeat (8) @(posedge clk);
        for (entry = 0; entry < HOST_WRITES; entry = entry + 1)
            write_host(host_writes[entry][55:32], host_writes[entry][31:0]);
        write_host(24'h000002, 32'd{layers});
        write_host({cycle_limit});
        write_host({control}, {enable});
        repeat (64) @(posedge clk);
        $display("loaded %0d words through the host port", HOST_WRITES);
    end
    running <= 1'b1;
end

always @(posedge clk) begin
    cycle <= cycle + 1;
    // input: data stays until it is taken
    if (running && (s_ready || !s_valid)) begin
        if (s_valid && sent == 1) first_cycle <= cycle;
        if (sent < INPUT_BEATS && !(stalls && $random(seed) % 3 == 0)) begin
            s_valid <= 1'b1;
            s_data <= input_beats[sent];
            s_last <= (sent + 1) % IMAGE_BEATS == 0;
            sent <= sent + 1;
        end
        else s_valid <= 1'b0;
    end
    // output
    m_ready <= running && !(stalls && $random(seed) % 3 == 0);
    if (m_valid && m_ready) begin
        if (received >= OUTPUT_BEATS) begin
            $display("FAIL: more output beats than the %0d expected", OUTPUT_BEATS);
            $finish;
        end
        else if (got !== expected) begin
            errors <= errors + 1;
            $display("FAIL: image %0d beat %0d", received / IMAGE_OUTPUTS, received % IMAGE_OUTPUTS);
            $display("    got      last=%b keep=%b data=%h", m_last, m_keep, m_data & mask);
            $display("    expected last=%b keep=%b data=%h",
                expected[9*LANES], expected[9*LANES-1:8*LANES], expected[8*LANES-1:0]);
        end
        received <= received + 1;
        last_cycle <= cycle;
        if (received == IMAGE_OUTPUTS - 1) first_image_cycles <= cycle - first_cycle + 1;
    end
    if (received == OUTPUT_BEATS && cycle > last_cycle + 200) begin
        if (errors == 0)
            $display("PASS: %0d images, %0d output beats, first image %0d cycles (predicted %0d)",
                {images}, OUTPUT_BEATS, first_image_cycles, PREDICTED_CYCLES);
        else
            $display("FAIL: %0d of %0d output beats are wrong", errors, OUTPUT_BEATS);
        $finish;
    end
    if (cycle == CYCLE_LIMIT) begin
        $display("FAIL: %0d of %0d output beats after %0d cycles", received, OUTPUT_BEATS, cycle);
        $finish;
    end
end

endmodule
"""
