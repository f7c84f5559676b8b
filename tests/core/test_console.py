"""The console command `bitloom`."""

import configparser
import subprocess
import sys

import click
import pytest

from accel import __version__, console, start
from sim import cli as sim
from tests.test_structure import ROOT


def bitloom(*arguments):
    """The console command in a process of its own, with what it has imported on stderr's last line."""
    code = (
        "import sys, atexit; sys.argv[0] = '/some/where/bitloom'; from accel.start import console\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr)); console()"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
    *said, modules = done.stderr.strip().split("\n")
    return done.returncode, done.stdout, "\n".join(said), set(modules.split())


def run(monkeypatch, capsys, *arguments, program="/some/where/bitloom"):
    """(exit code, stdout, stderr) inside this process."""
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    with pytest.raises(SystemExit) as left:
        start.console()
    return (left.value.code, *capsys.readouterr())


def texts(command):
    inner = getattr(command, "commands", {}).values()
    return {command: (command.help, command.epilog)} | {key: text for one in inner for key, text in texts(one).items()}


@pytest.fixture(autouse=True)
def _same_help_afterwards():
    """The console command changes the help of the commands that it starts."""
    kept = {}
    for module, _ in console.PROGRAMS.values():
        kept |= texts(sys.modules[module].main) if module in sys.modules else {}
    yield
    for command, (text, epilog) in kept.items():
        command.help, command.epilog = text, epilog


def test_the_help_lists_the_programs_and_imports_none_of_them():
    code, out, err, modules = bitloom("--help")
    assert code == 0 and not err
    assert "bitloom quant ptq --model lenet5" in out and out.startswith("Usage: bitloom ")
    assert all(f"  {name} " in out for name in console.PROGRAMS)
    assert not modules & {"torch", "quant", "sim", "accel.convert"}


def test_converting_imports_no_torch():
    code, out, err, modules = bitloom("convert", "--model", "no-such-model", "--out", "build/out/none")
    assert code == 2 and err.startswith("error: ") and "no-such-model" in err
    assert "accel.convert" in modules and not modules & {"torch", "quant", "sim"}


@pytest.mark.parametrize("path", [("quant",), ("quant", "ptq"), ("convert",), ("sim",), ("sim", "run")])
def test_help_names_the_way_it_was_started(path, monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, *path, "--help")
    assert code == 0 and f"Usage: bitloom {' '.join(path)} [OPTIONS]" in out
    assert "bitloom " + path[0] in out.partition("xample")[2] and "python -m" not in out


def test_messages_name_the_way_it_was_started(monkeypatch, capsys):
    for program, spelling in (("bitloom", "bitloom quant ptq"), ("x/bitloom.exe", "bitloom quant ptq")):
        code, _, err = run(monkeypatch, capsys, "quant", "export", "--model", "lenet5", program=program)
        assert code == 2 and f"quantize it first with {spelling} --model lenet5" in err
    monkeypatch.setattr(sys, "argv", ["quant/__main__.py"])
    assert start.spelled("run python -m accel.convert") == "run python -m accel.convert"
    monkeypatch.setattr(sys, "argv", ["bin/bitloom"])
    assert start.spelled("`python -m accel.convert --fit`") == "`bitloom convert --fit`"
    assert start.spelled("python -m benchmarks, python -m simple") == "python -m benchmarks, python -m simple"


def test_exit_codes_are_those_of_the_programs(monkeypatch, capsys):
    for result, code in ((0, 0), (1, 1), (None, 0)):
        monkeypatch.setattr(sim.run, "callback", lambda result=result, **_: result)
        assert run(monkeypatch, capsys, "sim", "run", "--model", "lenet5-int8")[0] == code
    code, _, err = run(monkeypatch, capsys, "simulate")
    assert code == 2 and "No such command 'simulate'" in err
    code, out, _ = run(monkeypatch, capsys, "--version")
    assert code == 0 and out == f"bitloom, version {__version__}\n"


def test_a_missing_package_is_said_in_one_sentence(monkeypatch, capsys):
    monkeypatch.setitem(console.PROGRAMS, "other", ("no_such_package.main", "Nothing."))
    code, _, err = run(monkeypatch, capsys, "other")
    assert (
        code == 2 and err == "error: the Python package no_such_package is missing; run: pip install no_such_package\n"
    )


def test_the_installation_makes_the_command():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    name, _, place = setup["options.entry_points"]["console_scripts"].strip().partition(" = ")
    assert name == start.CONSOLE and place == "accel.start:console" and callable(start.console)
    assert isinstance(console.main, click.Group)
