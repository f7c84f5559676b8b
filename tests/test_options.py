"""The options of all commands: a name means one thing everywhere, and older spellings go on working."""

import click
from click.testing import CliRunner

from accel import convert
from accel.options import build_option, model_option, option
from benchmarks import __main__ as benchmarks
from quant.cli.main import main as quant
from sim.cli import main as sim

PROGRAMS = {"accel.convert": convert.main, "quant": quant, "sim": sim, "benchmarks": benchmarks.main}


def commands(programs=PROGRAMS):
    """{name: click.Command} of every command that does something."""
    found = {}
    for name, program in programs.items():
        if isinstance(program, click.Group):
            found |= commands({f"{name} {own}": command for own, command in program.commands.items()})
        else:
            found[name] = program
    return found


def shown(command):
    return [param for param in command.params if isinstance(param, click.Option) and not param.hidden]


def parsed(declared, *arguments):
    """What the body of a command with these options is given."""
    given = {}
    result = CliRunner().invoke(declared(lambda **values: given.update(values)), arguments)
    return given if result.exit_code == 0 else result.output.strip().splitlines()[-1]


def renamed(**attributes):
    return lambda body: click.command()(option("--new-name", "value", old="--old-name", **attributes)(body))


def test_an_older_spelling_gives_the_same_value():
    command = renamed(type=int, default=3)
    assert parsed(command) == {"value": 3}
    for spelling in ("--new-name", "--old-name"):
        assert parsed(command, spelling, "4") == {"value": 4}
    assert parsed(command, "--old-name", "4", "--new-name", "4") == {"value": 4}
    assert parsed(command, "--old-name", "4", "--new-name", "5") == (
        "Error: --old-name is an older spelling of --new-name and they have two values; give --new-name alone"
    )
    assert parsed(command, "--old-name", "x") == "Error: Invalid value for '--new-name': 'x' is not a valid integer."
    assert parsed(renamed(required=True), "--old-name", "x") == {"value": "x"}
    assert parsed(renamed(required=True)) == "Error: Missing option '--new-name'."
    assert "old" not in CliRunner().invoke(command(lambda value: None), ["--help"]).output


def test_a_model_may_stand_without_its_option():
    def command(body):
        return click.command()(model_option(positional=True, required=True)(body))

    assert parsed(command, "--model", "a") == parsed(command, "a") == parsed(command, "a", "--model", "a")
    assert parsed(command, "a", "--model", "b") == (
        "Error: MODEL is an older spelling of --model and they have two values; give --model alone"
    )
    assert parsed(command) == "Error: Missing option '--model'."
    assert parsed(command, "a", "b") == "Error: Got unexpected extra argument (b)"
    assert "[OPTIONS]\n" in CliRunner().invoke(command(lambda model: None), ["--help"]).output


def test_a_build_is_rows_by_lanes():
    def command(body):
        return click.command()(build_option("Size.", (8, None))(body))

    assert parsed(command) == {"build": (8, None)}
    assert parsed(command, "--build", "4x16") == parsed(command, "--rows", "4", "--lanes", "16") == {"build": (4, 16)}
    assert parsed(command, "--lanes", "4") == {"build": (8, 4)}
    assert parsed(command, "--build", "4x16", "--rows", "4") == {"build": (4, 16)}
    assert parsed(command, "--build", "4x16", "--rows", "8") == (
        "Error: --rows and --lanes are an older spelling of --build and they have two values; give --build alone"
    )
    for text in ("8", "8x", "8x8x8", "-8x8", "8X8", "٣x8", "9" * 5000 + "x8", ""):
        assert "must be ROWSxLANES such as 8x8" in parsed(command, "--build", text)
