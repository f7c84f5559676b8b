"""The options of all commands: a name means one thing everywhere, and older spellings go on working."""

import collections
import inspect
import re

import click
import pytest
from click.testing import CliRunner

from accel import convert
from accel.options import OldArgument, build_option, model_option, option
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


OLDER = {  # command: (older spelling with a value or two, the same in today's)
    "accel.convert": [(("--rows", "4", "--lanes", "8"), ("--build", "4x8"))],
    "sim run": [
        (("a-model",), ("--model", "a-model")),
        (("--images", "digits"), ("--data", "digits")),
        (("--rows", "4"), ("--build", "4x8")),
        (("--lanes", "4"), ("--build", "8x4")),
    ],
    "benchmarks": [(("--count", "3"), ("--cases", "3"))],
    "quant train": [(("--count", "9"), ("--train-count", "9"))],
    "quant ptq": [(("--rounding", "gemmlowp"), ("--rounding-rule", "gemmlowp"))],
    "quant qat": [
        (("--preset", "lenet5-w4a4"), ("--recipe", "lenet5-w4a4")),
        (("--scales", "lsq"), ("--scale-learning", "lsq")),
        (("--count", "9"), ("--train-count", "9")),
    ],
    "quant check": [(("--preset", "per-width"), ("--thresholds", "per-width"))],
    "quant evaluate": [(("a-model",), ("--model", "a-model"))],
    "quant compare": [(("a-model",), ("--model", "a-model"))],
    "quant export": [(("a-model",), ("--model", "a-model"))],
    "quant search": [
        (("--images", "9"), ("--search-images", "9")),
        (("--weight-bits", "8,1"), ("--weight-choices", "8,1")),
        (("--activation-bits", "8,4"), ("--activation-choices", "8,4")),
    ],
    "quant report": [(("--rows", "4"), ("--build", "4x16")), (("--lanes", "4"), ("--build", "16x4"))],
}
WORDS_OF_EVERY_HELP = {"with", "from", "that", "default", "where", "image", "images", "first"}


class Given(Exception):
    """Ends a command where its body would begin, with the values that it is given."""


def given_to(command, arguments, monkeypatch):
    """The values that the body of a command gets from these arguments and those that it requires."""

    def stop(self, **values):
        raise Given(values)

    named = "--model" if not arguments[0].startswith("--") else arguments[0]
    required = [param.opts[0] for param in shown(command) if param.required and param.opts[0] != named]
    arguments = [*arguments, *(part for name in required for part in (name, "required"))]
    body = inspect.unwrap(command.callback)
    kind = body.__annotations__["given"]  # of every command: one object for all options
    kind = body.__globals__[kind] if isinstance(kind, str) else kind
    monkeypatch.setattr(kind, "__init__", stop)
    found = CliRunner().invoke(command, arguments).exception
    assert isinstance(found, Given), found
    return found.args[0]


@pytest.mark.parametrize(("name", "old", "new"), [(name, *pair) for name, pairs in OLDER.items() for pair in pairs])
def test_every_older_spelling_still_works(name, old, new, monkeypatch):
    command = commands()[name]
    assert given_to(command, old, monkeypatch) == given_to(command, new, monkeypatch)


def test_every_older_spelling_is_tested():
    hidden = {
        (name, "MODEL" if isinstance(param, OldArgument) else param.opts[0])
        for name, command in commands().items()
        for param in command.params
        if isinstance(param, OldArgument) or getattr(param, "hidden", False)
    }
    tested = {
        (name, option if option.startswith("--") else "MODEL")
        for name, pairs in OLDER.items()
        for old, _ in pairs
        for option in old[::2]
    }
    assert hidden == tested


def words(text):
    return set(re.findall(r"[a-z]{4,}", text.lower())) - WORDS_OF_EVERY_HELP


def kind_of(type):
    """Limits and what a path may be are left to each command."""
    name = type.name.removesuffix(" range")
    return {"file": "path", "directory": "path"}.get(name, name), frozenset(getattr(type, "choices", ()))


def test_an_option_means_one_thing_in_every_command():
    """The same type and the same values; and helps that share the word which says what it is."""
    uses = collections.defaultdict(list)
    for name, command in commands().items():
        for param in shown(command):
            for spelling in (*param.opts, *param.secondary_opts):
                uses[spelling].append((name, param))
    wrong = []
    for spelling, found in uses.items():
        kinds = {kind_of(param.type) for _, param in found}
        if len(kinds) > 1 or not set.intersection(*(words(param.help or "") for _, param in found)):
            wrong.append(f"{spelling}: " + "; ".join(f"{name} ({param.help})" for name, param in found))
    assert not wrong, "\n".join(wrong)
