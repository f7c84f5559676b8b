"""The Vivado script of every target runs under tclsh with stand-ins that know each command's options and files."""

import re
import subprocess
from pathlib import Path

import pytest

from accel.hdl import vivado
from accel.hdl.targets import TARGETS

STUB = Path(__file__).parent / "vivado_stub.tcl"
GOALS = ("project", "synth", "impl", "bitstream", "simulate")
BOARD_PORTS = "clk_pin restart_pin {led[0]} {led[1]} {led[2]} {led[3]}"
CORE_PORTS = "clk rst"


def make_project(folder, target, hdl):
    """The files of a project as accel.convert writes them, with empty sources."""
    extension = "v" if hdl == "verilog" else "vhd"
    files = {"rtl": [f"rtl/bitloom.{extension}"], "memory": ["mem/program.mem"],
             "constraint": [f"vivado/{target.constraints}"], "simulation": ["sim/tb_bitloom.v"]}
    if target.board:
        files["rtl"].append("rtl/board_selftest.v")
    texts = {name: "" for names in files.values() for name in names}
    for name in vivado.SCRIPTS:
        texts[f"vivado/{name}"] = vivado.kept_file(name)
    texts["vivado/settings.tcl"] = vivado.settings(target, "bitloom", hdl, files, {"LANES": 8} if target.board else {})
    texts[f"vivado/{target.constraints}"] = vivado.constraints(target)
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder / "vivado" / "create_project.tcl"


def run_script(script, board, *arguments):
    ports = BOARD_PORTS if board else CORE_PORTS
    return subprocess.run(["tclsh", STUB, script, ports, *arguments], capture_output=True, text=True)


def called(output, command):
    return [line[5:] for line in output.splitlines() if line.startswith(f"CALL {command} ")]


@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("hdl", ("verilog", "vhdl"))
@pytest.mark.parametrize("name", TARGETS)
def test_script_uses_known_options_and_existing_files(name, hdl, goal, tmp_path):
    target = TARGETS[name]
    script = make_project(tmp_path, target, hdl)
    done = run_script(script, target.board, goal)
    if goal == "bitstream" and not target.board:
        assert done.returncode != 0 and "has no board constraints" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert f"create_project.tcl: {goal} done" in done.stdout
    assert target.part in called(done.stdout, "create_project")[0]
    runs = [line.split()[1] for line in called(done.stdout, "wait_on_run")]
    expected = {"synth": ["synth_1"], "impl": ["synth_1", "impl_1"], "bitstream": ["synth_1", "impl_1"]}
    assert runs == expected.get(goal, [])
    for report in ("report_utilization", "report_timing_summary", "report_power"):
        assert bool(called(done.stdout, report)) == bool(runs)
    out_of_context = any("out_of_context" in line for line in called(done.stdout, "set_property"))
    assert out_of_context != target.board
    assert ("VHDL 2008" in done.stdout) == (hdl == "vhdl")


def test_memory_images_are_copied_into_the_run_folder(tmp_path):
    script = make_project(tmp_path, TARGETS["pynq-z2"], "vhdl")
    run = tmp_path / "run"
    run.mkdir()
    subprocess.run(["tclsh", script.parent / "copy_memory.tcl"], cwd=run, check=True)
    assert [path.name for path in run.iterdir()] == ["program.mem"]


@pytest.mark.parametrize(("printed", "code"), (("Note: PASS: 2 images", 0), ("FAIL: 1 of 9 output beats are wrong", 1)))
def test_a_failing_bench_fails_the_script(printed, code, tmp_path, monkeypatch):
    script = make_project(tmp_path, TARGETS["pynq-z2"], "verilog")
    monkeypatch.setenv("BENCH_PRINTS", printed)
    done = run_script(script, True, "simulate")
    assert done.returncode == code and ("did not print PASS" in done.stderr) == bool(code)


def test_a_missing_file_is_found(tmp_path):
    target = TARGETS["pynq-z2"]
    script = make_project(tmp_path, target, "verilog")
    (tmp_path / "mem" / "program.mem").unlink()
    done = run_script(script, True)
    assert done.returncode != 0 and "no such file" in done.stderr


@pytest.mark.parametrize(("change", "message"), (
    (("-norecurse -fileset", "-recurse -fileset"), "add_files: unknown option -recurse"),
    (("FLATTEN_HIERARCHY rebuilt", "FLATTEN_HIERARCHY sometimes"), "FLATTEN_HIERARCHY cannot be sometimes"),
    (("simulator_language", "simulator_lang"), "unknown property simulator_lang"),
    (("fileset sim_1", "fileset"), "update_compile_order: -fileset needs a value"),
))
def test_the_stand_ins_refuse_mistakes(change, message, tmp_path):
    script = make_project(tmp_path, TARGETS["pynq-z2"], "verilog")
    text = script.read_text()
    assert change[0] in text
    script.write_text(text.replace(*change))
    done = run_script(script, True)
    assert done.returncode != 0 and message in done.stderr


def test_an_unknown_goal_is_refused(tmp_path):
    script = make_project(tmp_path, TARGETS["pynq-z2"], "verilog")
    done = run_script(script, True, "everything")
    assert done.returncode != 0 and "goal everything is unknown" in done.stderr


def test_board_constraints_name_ports_of_the_wrapper():
    wrapper = vivado.kept_file("board_selftest.v")
    for target in TARGETS.values():
        text = vivado.constraints(target)
        ports = set(re.findall(r"get_ports \{?(\w+)", text))
        assert ports == ({"clk_pin", "restart_pin", "led"} if target.board else {"clk"})
        for port in ports if target.board else ():
            assert re.search(rf"(input|output) wire (\[3:0\] )?{port}\b", wrapper)
        if target.board:
            assert re.search(r"reg core_clk = ", wrapper) and "core_clk_reg/Q" in text


@pytest.mark.parametrize("name", TARGETS)
def test_clock_period_of_a_target(name):
    target = TARGETS[name]
    period = float(re.search(r"create_clock .*-period ([\d.]+)", vivado.constraints(target))[1])
    divide = 2 if target.board else 1
    assert 1000 / period / divide == pytest.approx(target.clock_mhz)
