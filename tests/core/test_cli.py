"""Shared command pieces: exit codes, one error line, JSON."""

import json
import subprocess
import sys

import click
import numpy as np
import pytest

from accel import cli
from accel.errors import BitloomError, FitError


def run(body, *arguments):
    @click.command()
    @click.option("--count", type=int, default=1)
    @cli.json_option
    def command(count, as_json):
        return body(count, as_json)

    old = sys.argv
    sys.argv = ["prog", *arguments]
    try:
        with pytest.raises(SystemExit) as caught:
            cli.run_cli(command, "prog")
    finally:
        sys.argv = old
    return caught.value.code


def raising(error):
    def body(count, as_json):
        raise error

    return body


@pytest.mark.parametrize(
    ("body", "arguments", "code", "message"),
    [
        (lambda count, as_json: None, [], 0, ""),
        (lambda count, as_json: cli.EXIT_MISMATCH, [], 1, ""),
        (raising(FitError("conv1: too big")), [], 2, "error: conv1: too big\n"),
        (lambda count, as_json: None, ["--count", "x"], 2, "Invalid value"),
        (lambda count, as_json: None, ["--nonsense"], 2, "No such option"),
        (raising(KeyboardInterrupt()), [], 130, "error: interrupted\n"),
        (lambda count, as_json: None, ["--help"], 0, ""),
    ],
)
def test_exit_codes(capsys, body, arguments, code, message):
    assert run(body, *arguments) == code
    captured = capsys.readouterr()
    assert message in captured.err
    if not message:
        assert captured.err == ""


def test_a_bug_is_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        run(raising(ZeroDivisionError()))


def test_handle_errors_decorates_a_command_body(capsys):
    @cli.handle_errors
    def body():
        raise BitloomError("no")

    with pytest.raises(SystemExit) as caught:
        body()
    assert caught.value.code == 2 and capsys.readouterr().err == "error: no\n"


def test_json_is_one_object_on_stdout(capsys):
    values = {"a": np.int64(3), "b": [np.float64(0.5)], "c": "[x]"}
    assert run(lambda count, as_json: cli.report(values, as_json, "T"), "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"a": 3, "b": [0.5], "c": "[x]"} and captured.out.count("\n") == 1
    with pytest.raises(ValueError, match="JSON"):
        cli.print_json({"a": float("nan")})


def test_table_shows_every_cell(capsys):
    cli.report({"cycles_per_image": 12345, "rate": 0.25, "name": "[bold]x", "done": True}, False, "Figures")
    out = capsys.readouterr().out
    for text in ("Figures", "cycles per image", "12,345", "0.25", "[bold]x", "yes"):
        assert text in out


def test_progress_is_silent_without_a_terminal(capsys):
    with cli.progress() as bar:
        task = bar.add_task("work", total=2)
        bar.advance(task)
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == ""


def test_a_closed_pipe_prints_no_traceback():
    script = (
        "from accel import cli\nimport click\n@click.command()\ndef main():\n"
        "    for i in range(100000):\n        click.echo('x' * 100)\ncli.run_cli(main)\n"
    )
    result = subprocess.run(
        f'{sys.executable} -c "{script}" | head -n 1', shell=True, capture_output=True, text=True, check=False
    )
    assert result.stdout == "x" * 100 + "\n" and result.stderr == ""


@click.command()
@click.option("--number", type=int)
@click.option("--text")
def quoting(number, text):
    raise FitError(f"model {text}: is unknown")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--number", "9" * 5000 + "x"], "Error: Invalid value for '--number': '9999"),
        (["--text", "a\nb\x1b[2J"], "error: model a\\nb\\x1b[2J: is unknown"),
        (["--text", "a\0b"], "error: argument 'a\\x00b': holds a NUL or half a character"),
        (["--text", "\ud800"], "error: argument '\\ud800': holds a NUL or half a character"),
    ],
    ids=["long", "lines", "nul", "surrogate"],
)
def test_whatever_is_quoted_an_error_is_one_short_line(arguments, said, capsys):
    with pytest.raises(SystemExit) as leave:
        cli.run_cli(quoting, "quoting", arguments)
    last = capsys.readouterr().err.splitlines()[-1]
    assert leave.value.code == 2 and last.startswith(said) and len(last) < 400


def test_what_the_system_refuses_is_one_sentence(capsys):
    @click.command()
    def opening():
        open("/no/such/folder/file")

    with pytest.raises(SystemExit) as leave:
        cli.run_cli(opening, "opening", [])
    assert leave.value.code == 2
    assert capsys.readouterr().err == "error: '/no/such/folder/file': No such file or directory\n"
