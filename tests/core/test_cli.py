"""Shared command pieces: exit codes, one error line, JSON, and output that is complete or absent."""

import json
import os
import subprocess
import sys

import click
import numpy as np
import pytest

from accel import cli
from accel.atomic import atomic_directory, write_file
from accel.errors import BitloomError, FitError, OutputError


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


@pytest.mark.parametrize(("body", "arguments", "code", "message"), [
    (lambda count, as_json: None, [], 0, ""),
    (lambda count, as_json: cli.EXIT_MISMATCH, [], 1, ""),
    (raising(FitError("conv1: too big")), [], 2, "error: conv1: too big\n"),
    (lambda count, as_json: None, ["--count", "x"], 2, "Invalid value"),
    (lambda count, as_json: None, ["--nonsense"], 2, "No such option"),
    (raising(KeyboardInterrupt()), [], 130, "error: interrupted\n"),
    (lambda count, as_json: None, ["--help"], 0, ""),
])
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
    script = "from accel import cli\nimport click\n@click.command()\ndef main():\n" \
             "    for i in range(100000):\n        click.echo('x' * 100)\ncli.run_cli(main)\n"
    result = subprocess.run(f"{sys.executable} -c \"{script}\" | head -n 1", shell=True, capture_output=True,
                            text=True, check=False)
    assert result.stdout == "x" * 100 + "\n" and result.stderr == ""


def test_atomic_directory_appears_when_done(tmp_path):
    goal = tmp_path / "deep" / "out"
    with atomic_directory(goal) as folder:
        (folder / "a").write_text("x")
        assert not goal.exists()
    assert (goal / "a").read_text() == "x"
    assert [path.name for path in goal.parent.iterdir()] == ["out"]
    assert os.stat(goal).st_mode & 0o077 == 0o077 & ~_umask()


def _umask():
    value = os.umask(0)
    os.umask(value)
    return value


def test_atomic_directory_leaves_nothing_behind_a_failure(tmp_path):
    goal = tmp_path / "out"
    with pytest.raises(FitError), atomic_directory(goal) as folder:
        (folder / "a").write_text("x")
        raise FitError("no")
    assert list(tmp_path.iterdir()) == []


def test_atomic_directory_replaces_only_its_own_kind(tmp_path):
    goal = tmp_path / "out"
    with atomic_directory(goal, marker="manifest") as folder:
        (folder / "manifest").write_text("1")
        (folder / "stale").write_text("1")
    with atomic_directory(goal, marker="manifest") as folder:
        (folder / "manifest").write_text("2")
    assert [path.name for path in goal.iterdir()] == ["manifest"]
    for marker in (None, "other"):
        with pytest.raises(OutputError, match="is not replaced"), atomic_directory(goal, marker=marker):
            pass
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="exists and is not a folder"), atomic_directory(tmp_path / "file"):
        pass
    (tmp_path / "link").symlink_to(goal)
    with pytest.raises(OutputError, match="exists and is not a folder"), atomic_directory(tmp_path / "link"):
        pass


def test_unwritable_places_give_one_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="choose another output folder") as caught:
        with atomic_directory(tmp_path / "file" / "out"):
            pass
    assert "\n" not in str(caught.value)
    with pytest.raises(OutputError, match="choose another output file"):
        write_file(tmp_path / "file" / "out.txt", "x")
    with pytest.raises(OutputError, match="choose another output file"):
        write_file(tmp_path, "x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_write_file_replaces_in_one_step(tmp_path):
    write_file(tmp_path / "a" / "b.txt", "one\n")
    write_file(tmp_path / "a" / "b.txt", b"two\n")
    assert (tmp_path / "a" / "b.txt").read_text() == "two\n"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]
