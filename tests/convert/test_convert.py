"""The conversion command: what it writes, that it runs, and that bad input leaves nothing behind."""

import contextlib
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

import accel
from accel import model_dir
from accel.cli import run_cli
from accel.compile.place import smallest_depth
from accel.config import HardwareConfig
from accel.convert import main
from accel.hdl.accelerator import convert_accelerator
from accel.ir import Graph, InputEncoding
from accel.rtl.array.mac_array import mac_array_latency
from accel.rtl.output.pool import POOL_LATENCY
from accel.rtl.parts.fifo import FIFO_LATENCY
from sim.cases import graphs as networks
from sim.engines.verilator_build import lint
from tests.convert.test_vivado import called, run_script

ROOT = Path(accel.__file__).parents[1]
SMALL = ("--build", "4x4")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small network: a padded convolution, a pool, a dense layer with raw outputs."""
    rng = np.random.default_rng(5)
    source = networks.tensor(rng, 7, 6, 3)
    first = networks.conv(rng, "conv1", "input", source, 6, (3, 3), pads=(1, 1, 1, 1))
    pool = networks.maxpool("pool1", "conv1", first.output, (2, 2))
    last = networks.dense(rng, "fc1", "pool1", pool.output, 5, raw=True)
    graph = Graph("small", source, InputEncoding(), (first, pool, last))
    path = tmp_path_factory.mktemp("models") / "small"
    model_dir.save(graph, path)
    return path


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def convert(*arguments):
    """The command inside this process: run_cli's exit code and what it printed."""
    stdout, stderr = io.StringIO(), io.StringIO()
    words = ["accel.convert", *(str(argument) for argument in arguments)]
    with mock.patch.object(sys, "argv", words), contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        try:
            run_cli(main, "python -m accel.convert")
        except SystemExit as leave:
            code = leave.code
    return Done(code, stdout.getvalue(), stderr.getvalue())


def run_bench(folder, *arguments):
    """What the test bench prints in Icarus."""
    script = ["sh", folder / "sim" / "run_icarus.sh", *arguments]
    done = subprocess.run(script, capture_output=True, text=True, timeout=1800)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def converted(model, tmp_path_factory):
    """(folder, JSON figures) of the small network for the default target."""
    out = tmp_path_factory.mktemp("converted") / "design"
    done = convert("--model", model, *SMALL, "--golden", 3, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


def rtl_files(out):
    return [out / name for name in (out / "vivado" / "settings.tcl").read_text().split() if name.startswith("rtl/")]


def test_json_figures(converted):
    out, figures = converted
    assert list(figures) == [
        "out",
        "top",
        "files",
        "precisions",
        "notes",
        "predicted_cycles_per_image",
        "weight_bytes",
        "dsp_estimate",
        "estimate",
    ]
    assert figures["out"] == str(out) and figures["top"] == "bitloom"
    assert figures["dsp_estimate"] == figures["estimate"]["dsps"] == 4 * 4 // 2 + 4
    found = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert figures["files"] == found


def test_manifest_describes_every_file(converted):
    out, figures = converted
    manifest = json.loads((out / "manifest.json").read_text())
    assert sorted([*manifest["files"], "manifest.json"]) == figures["files"]
    for name, entry in manifest["files"].items():
        data = (out / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    assert manifest["made_by"]["bitloom"] == accel.__version__
    assert manifest["configuration"]["rows"] == 4
    assert [layer["name"] for layer in manifest["layers"]] == ["conv1", "fc1"]
    assert all(layer["predicted_cycles"] > 0 for layer in manifest["layers"])
    assert manifest["predicted_cycles_per_image"] == figures["predicted_cycles_per_image"]
    assert manifest["cycle_limit"] > 4 * max(layer["predicted_cycles"] for layer in manifest["layers"])
    assert manifest["memories"]["weights"]["used_words"] * 4 * 4 == figures["weight_bytes"]
    assert manifest["memory_map"]["weights"]["base"] == 4 << 20
    registers = "control 0, status 1, layers 2, images 3, identity 4, cycle_limit 5, "
    assert manifest["memory_map"]["registers"]["offset"].startswith(registers)
    assert {"name": "s_axis_tdata", "direction": "in", "width": 32, "signed": False} in manifest["ports"]


def test_no_file_names_its_folder_or_a_date(converted):
    out, figures = converted
    for name in figures["files"]:
        text = (out / name).read_text()
        assert str(out.parent) not in text and "/tmp" not in text, name
        assert "Date:" not in text, name


def test_verilog_is_clean_and_documented(converted):
    out, _ = converted
    rtl = [path for path in rtl_files(out) if path.name != "board_selftest.v"]
    assert lint(rtl, "bitloom", out / "mem") == ""
    for path in rtl:
        text = path.read_text()
        assert text.startswith(f"// Bitloom {accel.__version__}: accel.rtl.") and f"module {path.stem} " in text, path


def test_latencies_are_numbers_in_the_text(converted):
    out, _ = converted
    cycles = mac_array_latency(HardwareConfig(rows=4, lanes=4))
    for name, sentence in (
        ("mac_array_4x4", f"Latency mac_array_latency(config) ({cycles}) enabled cycles"),
        ("pool_4x4", f"Latency POOL_LATENCY ({POOL_LATENCY}) cycles"),
        ("fifo_d64", f"Latency FIFO_LATENCY ({FIFO_LATENCY}) cycles"),
    ):
        assert sentence in (out / "rtl" / f"{name}.v").read_text()


@pytest.mark.parametrize(
    "options",
    (
        {"rows": 8, "lanes": 8, "acc_bits": 16},
        {"rows": 8, "lanes": 8, "multiplier": "18x18", "req_lanes": 1},
        {"rows": 16, "lanes": 16},
        {"rows": 16, "lanes": 32, "multiplier": "27x18", "weight_style": "ultra"},
    ),
    ids=lambda options: "_".join(str(value) for value in options.values()),
)
def test_builds_are_lint_clean_and_short(options, tmp_path):
    design = convert_accelerator(HardwareConfig(**options), tmp_path)
    assert lint(design.files, design.top) == ""
    assert design.line_count < (5000 if options["rows"] == 8 else 8000)


@pytest.mark.parametrize("arguments", ([], ["+load"], ["+stalls"], ["+load", "+stalls"]), ids=" ".join)
def test_bench_passes_in_icarus(converted, arguments):
    out, figures = converted
    printed = run_bench(out, *arguments)
    assert "PASS: 3 images" in printed and f"(predicted {figures['predicted_cycles_per_image']})" in printed


def test_vivado_script_runs_with_stand_ins(converted):
    out, _ = converted
    done = run_script(out / "vivado" / "create_project.tcl", True, "bitstream", "2")
    assert done.returncode == 0, done.stderr
    added = " ".join(called(done.stdout, "add_files"))
    for path in [*rtl_files(out), *(out / "mem").iterdir(), out / "sim" / "tb_bitloom.v"]:
        assert str(path) in added, path.name


def test_bench_finds_a_wrong_beat(converted, tmp_path):
    out, _ = converted
    for name in ("rtl", "mem", "sim"):
        (tmp_path / name).mkdir()
        for path in (out / name).iterdir():
            (tmp_path / name / path.name).write_bytes(path.read_bytes())
    image = tmp_path / "mem" / "golden_output.mem"
    lines = image.read_text().splitlines()
    lines[3] = f"{int(lines[3], 16) ^ 1:x}"
    image.write_text("\n".join(lines))
    printed = run_bench(tmp_path)
    assert "PASS" not in printed and "FAIL: image 0 beat 3" in printed
    assert "FAIL: 1 of 15 output beats are wrong" in printed


BOARD_BENCH = """
`timescale 1ns/1ps
module MMCME2_BASE #(parameter real CLKIN1_PERIOD = 0.0, CLKFBOUT_MULT_F = 5.0, CLKOUT0_DIVIDE_F = 1.0) (
    input wire CLKIN1, CLKFBIN, PWRDWN, RST, output wire CLKFBOUT, output reg CLKOUT0, output reg LOCKED);
assign CLKFBOUT = CLKIN1;
initial begin
    CLKOUT0 = 0;
    LOCKED = 0;
    #1000 LOCKED = 1;
end
always #(CLKIN1_PERIOD * CLKOUT0_DIVIDE_F / CLKFBOUT_MULT_F / 2) CLKOUT0 = ~CLKOUT0;
endmodule

module BUFG (input wire I, output wire O);
assign O = I;
endmodule

module board_bench;
reg clk = 0;
always #5 clk = ~clk;
wire [3:0] led;
reg restart = 0;
board_selftest #(.LANES(4), .INPUT_BEATS({inputs}), .OUTPUT_BEATS({outputs})) dut (clk, restart, led);
initial begin
    #({time}) $display("LED %b", led[1:0]);
    restart = 1; #400 restart = 0; #400 $display("LED %b", led[1:0]);
    #({time}) $display("LED %b", led[1:0]);
    $finish;
end
endmodule
"""


@pytest.mark.parametrize("wrong", (False, True))
def test_board_wrapper_shows_the_result_on_its_leds(converted, wrong, tmp_path):
    out, figures = converted
    golden = json.loads((out / "manifest.json").read_text())["golden"]
    for path in (out / "mem").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    if wrong:
        expected = tmp_path / "board_output.mem"
        lines = expected.read_text().splitlines()
        lines[1] = f"{int(lines[1], 16) ^ 256:x}"
        expected.write_text("\n".join(lines))
    (tmp_path / "bench.v").write_text(
        BOARD_BENCH.format(
            inputs=golden["input_beats"],
            outputs=golden["output_beats"],
            time=20 * (3 * figures["predicted_cycles_per_image"] + 500),
        )
    )
    subprocess.run(
        ["iverilog", "-g2005", "-s", "board_bench", "-o", "bench.vvp", *rtl_files(out), "bench.v"],
        cwd=tmp_path,
        check=True,
    )
    done = subprocess.run(["vvp", "-n", "bench.vvp"], cwd=tmp_path, capture_output=True, text=True, timeout=1800)
    leds = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("LED")]
    assert leds == (["10", "00", "10"] if wrong else ["01", "00", "01"])


def test_same_input_gives_the_same_bytes(model, converted, tmp_path):
    out, figures = converted
    again = tmp_path / "elsewhere" / "again"
    command = [sys.executable, "-m", "accel.convert", "--model", model, *SMALL, "--golden", "3", "--out", again]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, text=True, env=environment)
    assert json.loads(done.stdout)["files"] == figures["files"]
    for name in figures["files"]:
        assert (again / name).read_bytes() == (out / name).read_bytes(), name


def test_vhdl_passes_its_bench_in_ghdl(model, tmp_path):
    out = tmp_path / "design"
    done = convert("--model", model, *SMALL, "--hdl", "vhdl", "--out", out)
    assert done.returncode == 0, done.stderr
    files = [path for path in rtl_files(out) if path.suffix == ".vhd"]
    assert (out / "rtl" / "bitloom_core.vhd") in files and files[-1].name == "bitloom.vhd"
    cycles = []
    for arguments in ([], ["+load", "+stalls"]):
        script = ["sh", out / "sim" / "run_ghdl.sh", *arguments]
        run = subprocess.run(script, capture_output=True, text=True, timeout=1800)
        assert run.returncode == 0 and "PASS: 2 images" in run.stdout, run.stdout + run.stderr
        cycles.append(int(re.search(r"first image (\d+) cycles", run.stdout)[1]))
        withheld = int(re.search(r"withheld in (\d+) cycles", run.stdout)[1])
        assert (withheld > 5) == ("+stalls" in arguments)
    assert cycles[0] <= cycles[1]


def test_without_presets_the_host_loads(model, tmp_path):
    out = tmp_path / "design"
    done = convert("--model", model, *SMALL, "--target", "ultra96v2", "--no-preset", "--fit", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((out / "manifest.json").read_text())
    weights = manifest["memories"]["weights"]
    assert weights["words"] == smallest_depth("weight_depth", weights["used_words"]) < HardwareConfig().weight_depth
    assert manifest["estimate"] == json.loads(done.stdout)["estimate"]
    assert not (out / "mem" / "program.mem").exists()
    assert "set out_of_context 1" in (out / "vivado" / "settings.tcl").read_text()
    assert "PASS: 2 images" in run_bench(out)


def test_an_earlier_output_is_replaced_and_other_folders_are_not(model, tmp_path):
    out = tmp_path / "design"
    arguments = ("--model", model, *SMALL, "--golden", 1, "--out", out)
    assert convert(*arguments).returncode == 0
    assert convert(*arguments).returncode == 0
    (out / "rtl" / "mine.v").write_text("module mine; endmodule\n")
    done = convert(*arguments)
    assert done.returncode == 2 and "it holds rtl/mine.v" in done.stderr and (out / "rtl" / "mine.v").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        (("--target", "basys9"), "target 'basys9' is unknown; choose one of arty-a7-35t"),
        (("--model", "no-such-model"), "is neither a model directory nor a model that ships"),
        (("--build", "16x16"), "needs 144 multipliers, but xc7a35ticsg324-1L has 90"),
        (("--build", "6x4"), "rows=6 must be a power of two"),
        (("--build", "0x4"), "rows=0 must be a power of two"),
        (("--build", "4x0"), "lanes=0 must be a power of two"),
        (("--option", "weight_depth=16"), "weight_depth is 16; raise weight_depth to"),
        (("--option", "weight_depth=many"), "option weight_depth: 'many' is not an integer"),
        (("--option", "depth=3"), "option 'depth=3': must be NAME=VALUE with a NAME of"),
        (("--model", "lenet5-int8", "--option", "line_depth=16"), "raise line_depth to"),
        (("--target", "zcu104", "--preset"), "UltraRAM starts empty"),
        (("--no-preset",), "the board's self-test needs the network in the memory images"),
        (("--golden", "0"), "golden"),
        (("--hdl", "edif"), "edif"),
    ),
)
def test_bad_input_gives_one_sentence_and_no_output(model, arguments, message, tmp_path):
    out = tmp_path / "design"
    done = convert("--model", model, *SMALL, *arguments, "--out", out)
    assert done.returncode == 2 and message in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_model_leaves_no_output(model, tmp_path):
    copy = tmp_path / "small"
    copy.mkdir()
    for path in model.iterdir():
        copy.joinpath(path.name).write_bytes(path.read_bytes())
    binary = next(copy.glob("*.bin"))
    binary.write_bytes(binary.read_bytes()[:-1])
    done = convert("--model", copy, *SMALL, "--out", tmp_path / "design")
    assert done.returncode == 2 and done.stderr.startswith("error: ") and not (tmp_path / "design").exists()


def test_an_unwritable_output_is_refused(model, tmp_path):
    done = convert("--model", model, *SMALL, "--out", "")
    assert done.returncode == 2 and "choose another output folder" in done.stderr
    blocker = tmp_path / "file"
    blocker.write_text("")
    done = convert("--model", model, *SMALL, "--out", blocker / "design")
    assert done.returncode == 2 and str(blocker) in done.stderr and "Traceback" not in done.stderr


def test_help_has_an_example():
    done = convert("--help")
    assert done.returncode == 0 and "python -m accel.convert --model my-model" in done.stdout
