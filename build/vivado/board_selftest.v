// Self-test on a board: streams one image out of a memory into the accelerator, compares every output beat with
// what the integer reference put out, and shows the result on four LEDs; again and again until it is switched off.
// The network is in the accelerator's memory images, so nothing needs to be loaded.
//
// clk_pin: the board's oscillator, a period of CLOCK_PS picoseconds; the accelerator runs at CLOCK_MULTIPLY / CLOCK_DIVIDE
// of its rate. restart_pin: a button, high restarts.
// led: 0 at least one image passed and none failed, 1 an output was wrong, 2 alive, 3 changes with every image.

`timescale 1ns/1ps

module board_selftest #(
    parameter CLOCK_PS = 10000,
    parameter CLOCK_MULTIPLY = 10,
    parameter CLOCK_DIVIDE = 20,
    parameter LANES = 8,
    parameter INPUT_BEATS = 98,
    parameter OUTPUT_BEATS = 5,
    parameter INPUT_FILE = "board_input.mem",
    parameter OUTPUT_FILE = "board_output.mem"
) (
    input wire clk_pin,
    input wire restart_pin,
    output wire [3:0] led
);

wire feedback, made_clk, core_clk, locked;
MMCME2_BASE #(
    .CLKIN1_PERIOD(CLOCK_PS / 1000.0),
    .CLKFBOUT_MULT_F(CLOCK_MULTIPLY),
    .CLKOUT0_DIVIDE_F(CLOCK_DIVIDE)
) clock (
    .CLKIN1(clk_pin),
    .CLKFBIN(feedback),
    .CLKFBOUT(feedback),
    .CLKOUT0(made_clk),
    .LOCKED(locked),
    .PWRDWN(1'b0),
    .RST(1'b0)
);
BUFG clock_buffer (.I(made_clk), .O(core_clk));

// Reset for 16 cycles after the clock has settled and after the button.
(* ASYNC_REG = "TRUE" *) reg [1:0] restart = 2'b11;
reg [3:0] reset_count = 4'd0;
reg rst = 1'b1;
always @(posedge core_clk) begin
    restart <= {restart[0], restart_pin || !locked};
    if (restart[1]) reset_count <= 4'd0;
    else if (reset_count != 4'd15) reset_count <= reset_count + 4'd1;
    rst <= reset_count != 4'd15;
end

reg [8*LANES-1:0] input_beats [0:INPUT_BEATS-1];
reg [9*LANES-1:0] output_beats [0:OUTPUT_BEATS-1];
initial begin
    $readmemh(INPUT_FILE, input_beats);
    $readmemh(OUTPUT_FILE, output_beats);
end

reg [15:0] input_index = 16'd0;
reg [8*LANES-1:0] s_data = {8*LANES{1'b0}};
reg s_valid = 1'b0;
reg s_last = 1'b0;
wire s_ready;
wire [8*LANES-1:0] m_data;
wire [LANES-1:0] m_keep;
wire m_valid;
wire m_last;

always @(posedge core_clk) begin
    if (rst) begin
        input_index <= 16'd0;
        s_valid <= 1'b0;
    end
    else if (s_ready || !s_valid) begin
        s_valid <= 1'b1;
        s_data <= input_beats[input_index];
        s_last <= input_index == INPUT_BEATS - 1;
        input_index <= input_index == INPUT_BEATS - 1 ? 16'd0 : input_index + 16'd1;
    end
end

// An output beat is compared one cycle after it arrived: keep in the high bits of the expected word, data below.
reg [15:0] output_index = 16'd0;
reg [9*LANES-1:0] expected = {9*LANES{1'b0}};
reg [9*LANES-1:0] got = {9*LANES{1'b0}};
reg compare = 1'b0;
reg image_end = 1'b0;
reg last_expected = 1'b0;
reg last_got = 1'b0;
always @(posedge core_clk) begin
    if (rst) begin
        output_index <= 16'd0;
        compare <= 1'b0;
    end
    else begin
        compare <= m_valid;
        if (m_valid) output_index <= output_index == OUTPUT_BEATS - 1 ? 16'd0 : output_index + 16'd1;
    end
    expected <= output_beats[output_index];
    got <= {m_keep, m_data};
    last_expected <= output_index == OUTPUT_BEATS - 1;
    last_got <= m_last;
end

reg passed = 1'b0;
reg failed = 1'b0;
reg image_led = 1'b0;
reg [24:0] alive = 25'd0;
wire wrong;
genvar lane;
wire [LANES-1:0] wrong_byte;
generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin: compare_bytes
        assign wrong_byte[lane] = expected[8*LANES+lane] &&
            expected[8*lane +: 8] != got[8*lane +: 8];
    end
endgenerate
assign wrong = |wrong_byte || expected[9*LANES-1:8*LANES] != got[9*LANES-1:8*LANES] || last_expected != last_got;

always @(posedge core_clk) begin
    alive <= alive + 25'd1;
    if (rst) begin
        passed <= 1'b0;
        failed <= 1'b0;
        image_end <= 1'b0;
        image_led <= 1'b0;
    end
    else begin
        if (compare && wrong) failed <= 1'b1;
        image_end <= compare && last_expected;
        if (image_end) passed <= 1'b1;
        if (image_end) image_led <= ~image_led;
    end
end

assign led = {image_led, alive[24], failed, passed && !failed};

bitloom accelerator (
    .clk(core_clk),
    .rst(rst),
    .s_axis_tdata(s_data),
    .s_axis_tvalid(s_valid),
    .s_axis_tready(s_ready),
    .s_axis_tlast(s_last),
    .m_axis_tdata(m_data),
    .m_axis_tkeep(m_keep),
    .m_axis_tvalid(m_valid),
    .m_axis_tready(1'b1),
    .m_axis_tlast(m_last),
    .host_addr(24'd0),
    .host_write(1'b0),
    .host_wdata(32'd0),
    .host_read(1'b0),
    .host_rdata()
);

endmodule
