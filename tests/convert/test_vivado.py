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
    files = {
        "rtl": [f"rtl/bitloom.{extension}"],
        "memory": ["mem/program.mem"],
        "constraint": [f"vivado/{target.constraints}"],
        "simulation": [f"sim/tb_bitloom.{extension}"],
    }
    if target.board:
        files["rtl"].append("rtl/board_selftest.v")
    texts = {name: "" for names in files.values() for name in names}
    for name in vivado.SCRIPTS:
        texts[f"vivado/{name}"] = vivado.kept_file(name)
    generics = vivado.clock_generics(target) if target.board else {}
    texts["vivado/settings.tcl"] = vivado.settings(target, "bitloom", hdl, files, generics)
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
    expected = {"synth": ["synth_1"], "impl": ["synth_1", "impl_1"], "bitstream": ["synth_1", "impl_1", "impl_1"]}
    assert runs == expected.get(goal, [])
    for report in ("report_utilization", "report_timing_summary", "report_power"):
        assert bool(called(done.stdout, report)) == bool(runs)
    out_of_context = any("out_of_context" in line for line in called(done.stdout, "set_property"))
    assert out_of_context != target.board
    steps = [line for line in called(done.stdout, "launch_runs") if "write_bitstream" in line]
    assert len(steps) == (goal == "bitstream")


@pytest.mark.parametrize("fileset", ("sources_1", "sim_1"))
def test_vhdl_of_every_fileset_is_read_as_2008(fileset, tmp_path):
    script = make_project(tmp_path, TARGETS["pynq-z2"], "vhdl")
    text = script.read_text()
    line = f"set_property file_type {{VHDL 2008}} [get_files -of_objects [get_filesets {fileset}] *.vhd]"
    assert text.count(line) == 1
    script.write_text(text.replace(line, ""))
    done = run_script(script, True, "simulate")
    assert done.returncode != 0 and f"in {fileset} is not read as VHDL 2008" in done.stderr


@pytest.mark.parametrize(
    ("slack", "value", "code"),
    (("SETUP_SLACK", "-0.204", 1), ("HOLD_SLACK", "-0.004", 1), ("SETUP_SLACK", "", 1), ("SETUP_SLACK", "0.000", 0)),
)
@pytest.mark.parametrize("goal", ("impl", "bitstream"))
def test_a_missed_clock_ends_with_an_error_behind_the_reports(goal, slack, value, code, tmp_path, monkeypatch):
    script = make_project(tmp_path, TARGETS["pynq-z2"], "verilog")
    monkeypatch.setenv(slack, value)
    done = run_script(script, True, goal)
    assert bool(done.returncode) == bool(code) and ("the clock is missed" in done.stderr) == bool(code)
    reports = [line.split("/")[-1] for line in called(done.stdout, "report_power")]
    assert reports == ["synth_power.rpt", "impl_power.rpt"]
    assert ("write_bitstream" in done.stdout) == (goal == "bitstream" and not code)


@pytest.mark.parametrize(
    ("hdl", "options"),
    (
        ("verilog", "xsim.simulate.xsim.more_options -value {-testplusarg load -testplusarg stalls}"),
        ("vhdl", "xsim.elaborate.xelab.more_options -value {-generic_top load=1 -generic_top stalls=1}"),
    ),
)
def test_options_of_the_bench_are_passed_on(hdl, options, tmp_path):
    script = make_project(tmp_path, TARGETS["pynq-z2"], hdl)
    done = run_script(script, True, "simulate", "2", "+load", "+stalls")
    assert done.returncode == 0 and options in done.stdout, done.stderr
    assert "more_options" not in run_script(script, True, "simulate").stdout


@pytest.mark.parametrize("arguments", (("impl", "+load"), ("simulate", "+loud"), ("synth", "0"), ("synth", "many")))
def test_unknown_arguments_are_refused(arguments, tmp_path):
    done = run_script(make_project(tmp_path, TARGETS["pynq-z2"], "verilog"), True, *arguments)
    assert done.returncode != 0 and f"argument {arguments[1]} is unknown" in done.stderr


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


@pytest.mark.parametrize(
    ("change", "message"),
    (
        (("-norecurse -fileset", "-recurse -fileset"), "add_files: unknown option -recurse"),
        (("FLATTEN_HIERARCHY rebuilt", "FLATTEN_HIERARCHY sometimes"), "FLATTEN_HIERARCHY cannot be sometimes"),
        (("simulator_language", "simulator_lang"), "unknown property simulator_lang"),
        (("fileset sim_1", "fileset"), "update_compile_order: -fileset needs a value"),
    ),
)
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
        ports = set(re.findall(r"get_ports \{?(\w+)", text.replace("get_ports -filter", "")))
        assert ports == ({"clk_pin", "restart_pin", "led"} if target.board else {"clk"})
        for port in ports if target.board else ():
            assert re.search(rf"(input|output) wire (\[3:0\] )?{port}\b", wrapper)


@pytest.mark.parametrize("name", TARGETS)
def test_clock_period_of_a_target(name):
    target, text = TARGETS[name], vivado.constraints(TARGETS[name])
    if not target.board:
        assert 1000 / float(re.search(r"set period ([\d.]+)", text)[1]) == pytest.approx(target.clock_mhz)
        assert "create_clock -name core_clk -period $period" in text
        return
    assert 1000 / float(re.search(r"create_clock .*-period ([\d.]+)", text)[1]) == target.oscillator_mhz
    clock = vivado.clock_generics(target)
    assert 1e6 / clock["CLOCK_PS"] == target.oscillator_mhz
    assert target.oscillator_mhz * clock["CLOCK_MULTIPLY"] / clock["CLOCK_DIVIDE"] == target.clock_mhz
    assert 600 <= target.oscillator_mhz * clock["CLOCK_MULTIPLY"] <= 1200  # the range of the manager's oscillator


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if not target.board])
def test_ports_of_a_part_have_delays_from_the_clock(name, tmp_path):
    target = TARGETS[name]
    done = run_script(make_project(tmp_path, target, "verilog"), False)
    period = 1000 / target.clock_mhz
    for command in ("set_input_delay", "set_output_delay"):
        (call,) = called(done.stdout, command)
        assert "-clock core_clk" in call and float(call.split()[3]) == pytest.approx(period / 5)
