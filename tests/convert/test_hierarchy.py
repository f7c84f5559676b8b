"""Conversion keeps the hierarchy and the behaviour, in both languages."""

import pytest
from myhdl._block import _Block

import accel
from accel.hdl import convert_design
from accel.hdl.tidy import tidy
from sim.engines.verilator_build import lint
from tests.convert import blocks
from tests.convert.cosimulation import check

HDLS = ("verilog", "vhdl")


@pytest.mark.parametrize("seed", (1, 2))
@pytest.mark.parametrize("hdl", HDLS)
def test_nested_modules_behave_as_in_python(hdl, seed, tmp_path):
    outputs = ("q", "wide")
    design = check(blocks.datapath, blocks.datapath_ports, outputs, tmp_path, hdl=hdl, seed=seed, lanes=4)
    assert [module.name for module in design.modules] == [
        "delay_line_d2_x8s",
        "accumulate_a8s_overflow",
        "accumulate_a8s",
        "lane_signed_bias4s",
        "delay_line_d2_x8",
        "accumulate_a8_overflow",
        "accumulate_a8",
        "lane",
        "lane_signed_bias8s",
        "delay_line_d1",
        "datapath",
    ]
    assert [(name, child.name) for name, child in design.modules[-1].instances] == [
        ("cells_0", "lane_signed_bias4s"),
        ("cells_1", "lane"),
        ("cells_2", "lane_signed_bias8s"),
        ("cells_3", "lane"),
        ("spare_line", "delay_line_d1"),
        ("check_line", "delay_line_d1"),
    ]
    if hdl == "verilog":
        assert lint(design.files, design.top) == ""


@pytest.mark.parametrize("hdl", HDLS)
def test_an_array_that_instances_drive(hdl, tmp_path):
    design = check(blocks.reduce_array, blocks.reduce_array_ports, ("total",), tmp_path, hdl=hdl)
    assert [m.name for m in design.modules[:-1]] == [f"delay_line_d{i}" for i in (1, 2, 3, 4)]
    if hdl == "verilog":
        assert lint(design.files, design.top) == ""


@pytest.mark.parametrize("hdl", HDLS)
def test_memories_start_with_the_contents_of_their_files(hdl, tmp_path):
    images = (tmp_path / "low.hex", tmp_path / "high.hex")
    for number, image in enumerate(images):
        image.write_text("".join(f"{(37 * i + 500 * number) % 1024:03x}\n" for i in range(16)))
    design = check(
        blocks.tables,
        blocks.tables_ports,
        ("low", "high"),
        tmp_path,
        hdl=hdl,
        images=tuple(str(image) for image in images),
    )
    assert [module.kind for module in design.modules] == ["table", "tables"]  # one text, two files
    assert design.memory_files == ["high.hex", "low.hex"]
    assert "ram_style" in design.modules[0].text and str(tmp_path) not in design.modules[0].text
    if hdl == "verilog":
        assert lint(design.files, design.top) == ""


@pytest.mark.parametrize("hdl", HDLS)
def test_states_keep_their_names(hdl, tmp_path):
    design = check(blocks.traffic_light, blocks.traffic_light_ports, ("lamps",), tmp_path, hdl=hdl)
    text = design.modules[0].text
    if hdl == "verilog":
        assert "localparam [1:0] STATE_YELLOW = 2'b10;" in text and "STATE_RED: begin" in text
        assert lint(design.files, design.top) == ""
    else:
        assert "state <= YELLOW;" in text


def test_tidying_keeps_the_meaning():
    assert tidy("    x <= ((a + b) - 1);") == "    x <= (a + b) - 1;"
    assert tidy("    x <= ((a) - (b));") == "    x <= (a) - (b);"
    assert tidy("    x <= (a) - (b);") == "    x <= (a) - (b);"
    assert tidy("    x <= (a <= (b));") == "    x <= (a <= (b));"
    assert tidy("if ((a) || (b)) begin") == "if ((a) || (b)) begin"
    assert tidy("end else if ((a || (b))) begin") == "end else if (a || (b)) begin"
    assert tidy("assign y = x[((7 + 1) - 8)];") == "assign y = x[0];"
    assert tidy("assign y = x - (3 - 4);") == "assign y = x - (3 - 4);"
    assert tidy("if (a) begin\n    x <= 1;\nend") == "if (a) x <= 1;"
    with_else = "if (a) begin\n    x <= 1;\nend else if (b) begin\n    x <= 0;\nend else begin\n    x <= 2;\nend"
    assert tidy(with_else) == "if (a) x <= 1;\nelse if (b) x <= 0;\nelse x <= 2;"
    two = "if (a) begin\n    x <= 1;\nend else begin\n    x <= 0;\n    y <= 0;\nend"
    assert tidy(two) == two
    nested = "if (a) begin\n    if (b) begin\n        x <= 1;\n    end\nend else begin\n    x <= 0;\nend"
    assert tidy(nested) == "if (a) begin\n    if (b) x <= 1;\nend else begin\n    x <= 0;\nend"
    item = "case (a)\n    'h0: begin\n        x = 1;\n    end\n    default: begin\n        x = 0;\n    end\nendcase"
    assert tidy(item) == "case (a)\n    'h0: x = 1;\n    default: x = 0;\nendcase"
    assert tidy("reg a;\nwire [3:0] b;\nreg c;\nreg [3:0] m [0:7];") == "reg a, c;\nwire [3:0] b;\nreg [3:0] m [0:7];"
    assert tidy("y = x[(3 + 2)-1:0];") == "y = x[4:0];"


def test_module_text(tmp_path):
    ports = blocks.reduce_array_ports()
    design = convert_design(lambda: blocks.reduce_array(*ports.values()), "verilog", tmp_path, "sum_of_lines")
    assert design.top == "sum_of_lines"
    assert [port.as_dict() for port in design.ports] == [
        {"name": "clk", "direction": "in", "width": 1, "signed": False},
        {"name": "x", "direction": "in", "width": 32, "signed": False},
        {"name": "total", "direction": "out", "width": 10, "signed": False},
    ]
    assert (
        (tmp_path / "delay_line_d2.v").read_text()
        == f"""\
// Bitloom {accel.__version__}: tests.convert.blocks.delay_line
// parameters: depth=2
//
// y is x, `depth` cycles later.
//
// x, y: same width.
// Latency: depth cycles.

`timescale 1ns/1ps

module delay_line_d2 (
    input wire clk,
    input wire [7:0] x,
    output wire [7:0] y
);

localparam DEPTH = 2;

reg [7:0] stages [0:1];

always @(posedge clk) begin: shift
    integer i;
    stages[0] <= x;
    for (i=1; i<DEPTH; i=i+1) begin
        stages[i] <= stages[(i - 1)];
    end
end

assign y = stages[DEPTH - 1];

endmodule
"""
    )


def test_simulation_is_not_disturbed_by_a_conversion(tmp_path):
    ports = blocks.reduce_array_ports()
    design = convert_design(lambda: blocks.reduce_array(*ports.values()), "verilog", tmp_path)
    assert all(signal._name is None and not signal._driven for signal in ports.values())
    assert design.line_count < 200
    instance = blocks.reduce_array(*ports.values())
    assert isinstance(instance, _Block) and len(instance.subs) == 6
