"""Output is complete or absent: failures, signals, killed runs, two runs at once."""

import fcntl
import os
import signal
import subprocess
import sys
import threading

import pytest

from accel.atomic import atomic_directory, write_file
from accel.errors import FitError, OutputError
from accel.outputs import Folder
from accel.work_folder import _TEXT, OWNER, PREFIX, work_folder
from tests.core.outputs import everything, write_model

OURS = {"a", "b"}


def output(path):
    return Folder(path, lambda goal: OURS)


def test_a_folder_appears_when_done(tmp_path):
    goal = tmp_path / "deep" / "out"
    umask = os.umask(0o027)
    try:
        with atomic_directory(output(goal)) as folder:
            (folder / "a").write_text("x")
            assert not goal.parent.exists()
        write_file(tmp_path / "file", "x")
    finally:
        os.umask(umask)
    assert everything(tmp_path) == {"deep": None, "deep/out": None, "deep/out/a": b"x", "file": b"x"}
    assert goal.stat().st_mode & 0o777 == 0o750 and (tmp_path / "file").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("error", (FitError("no"), OSError(28, "No space left on device"), KeyboardInterrupt()))
@pytest.mark.parametrize("before", (False, True))
def test_a_failure_leaves_what_was_there(tmp_path, error, before):
    if before:
        with atomic_directory(output(tmp_path / "out")) as folder:
            (folder / "a").write_text("old")
    found = everything(tmp_path)
    expected = OutputError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected), atomic_directory(output(tmp_path / "out")) as folder:
        (folder / "b").write_text("new")
        raise error
    assert everything(tmp_path) == found


@pytest.mark.parametrize("failing", (1, 2))
def test_a_failed_exchange_leaves_what_was_there(tmp_path, monkeypatch, failing):
    write_model(tmp_path / "out")
    found, calls, rename = everything(tmp_path), [], os.rename

    def fail_once(old, new):
        calls.append(new)
        if len(calls) == failing:
            raise OSError(18, "Invalid cross-device link")
        rename(old, new)

    monkeypatch.setattr("os.rename", fail_once)
    with pytest.raises(OutputError, match="cannot be written .Invalid cross-device link"):
        write_model(tmp_path / "out")
    assert everything(tmp_path) == found


def test_what_a_stranger_puts_there_during_the_work_stays(tmp_path):
    for name in ("absent", "ours"):
        with pytest.raises(OutputError, match="thesis.txt"):
            if name == "ours":
                with atomic_directory(output(tmp_path / name)) as folder:
                    (folder / "a").write_text("old")
            with atomic_directory(output(tmp_path / name)) as folder:
                (folder / "a").write_text("new")
                (tmp_path / name).mkdir(exist_ok=True)
                (tmp_path / name / "thesis.txt").write_text("years")
        assert (tmp_path / name / "thesis.txt").read_text() == "years"
    assert not list(tmp_path.glob(f"{PREFIX}*"))


def test_the_later_of_two_runs_wins_with_all_of_its_files(tmp_path):
    with atomic_directory(output(tmp_path / "out")) as first:
        (first / "a").write_text("first")
        with atomic_directory(output(tmp_path / "out")) as second:
            (second / "b").write_text("second")
        assert everything(tmp_path / "out") == {"b": b"second"}
    assert everything(tmp_path) == {"out": None, "out/a": b"first"}


def test_many_runs_at_once_leave_one_whole_folder(tmp_path):
    errors = []

    def run(number):
        try:
            with atomic_directory(output(tmp_path / "out")) as folder:
                for name in OURS:
                    (folder / name).write_text(str(number))
        except OutputError as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = everything(tmp_path)
    assert set(found) == {"out", "out/a", "out/b"} and found["out/a"] == found["out/b"]
    assert len(errors) < 12


# A run that says when its folder is half written, and waits.
SCRIPT = """
import sys, time
from accel.atomic import atomic_directory
from accel.outputs import Folder
with atomic_directory(Folder(sys.argv[1], lambda goal: {"a", "b"})) as folder:
    (folder / "a").write_text("half")
    print("half", flush=True)
    time.sleep(60)
"""


def half_written(goal, ignored=()):
    def ignore():  # and nothing else: a test run under nohup or in the background hands down what it ignores
        for number in (signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)

    run = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, goal], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=ignore
    )
    assert run.stdout.readline() == b"half\n"
    return run


def end(run, number):
    run.send_signal(number)
    run.communicate(timeout=600)
    return run.returncode


@pytest.mark.parametrize(
    ("number", "code"), ((signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, -signal.SIGINT))
)
def test_a_signal_leaves_no_folder(tmp_path, number, code):
    run = half_written(tmp_path / "out")
    assert len(list(tmp_path.iterdir())) == 1
    assert end(run, number) == code
    assert everything(tmp_path) == {}


def test_the_folder_of_a_killed_run_goes_with_the_next_and_that_of_a_living_run_stays(tmp_path):
    dead, living = half_written(tmp_path / "out"), half_written(tmp_path / "other", ignored=[signal.SIGHUP])
    try:
        assert end(dead, signal.SIGKILL) == -signal.SIGKILL
        assert len(list(tmp_path.iterdir())) == 2
        living.send_signal(signal.SIGHUP)  # as under nohup: it goes on
        write_model(tmp_path / "third")
        assert {path.name[:8] for path in tmp_path.iterdir()} == {"third", PREFIX[:8]}
        assert len(list(tmp_path.iterdir())) == 2
    finally:
        assert end(living, signal.SIGTERM) == 143
    assert [path.name for path in tmp_path.iterdir()] == ["third"]


def dead_folder(place, text, lock=False):
    folder = place / f"{PREFIX}12345678"
    folder.mkdir()
    (folder / "new").mkdir()
    (folder / "new" / "a").write_text("half")
    handle = None
    if text is not None:
        (folder / OWNER).write_text(text)
        handle = os.open(folder / OWNER, os.O_RDWR)
        if lock:
            fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


@pytest.mark.parametrize(
    ("text", "lock", "goes"),
    (
        (_TEXT + "out", False, True),
        (_TEXT + "out", True, False),
        ("", False, False),
        ("mine", False, False),
        (None, False, False),
    ),
)
def test_only_a_folder_with_our_text_and_no_lock_is_of_a_dead_run(tmp_path, text, lock, goes):
    handle = dead_folder(tmp_path, text, lock)
    before = everything(tmp_path)
    write_file(tmp_path / "file", "x")
    after = everything(tmp_path)
    assert after.pop("file") == b"x"
    assert after == ({} if goes else before)
    if handle is not None:
        os.close(handle)


def test_a_link_is_no_work_folder(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    dead_folder(tmp_path / "elsewhere", _TEXT + "out")
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path / "elsewhere" / f"{PREFIX}12345678")
    before = everything(tmp_path)
    write_file(tmp_path / "file", "x")
    assert everything(tmp_path) == before | {"file": b"x"}


def test_a_run_killed_between_its_two_renames_gives_the_earlier_output_back(tmp_path):
    write_model(tmp_path / "out")
    before = everything(tmp_path / "out")
    dead_folder(tmp_path, _TEXT + "out")
    (tmp_path / "out").rename(tmp_path / f"{PREFIX}12345678" / "old")
    with work_folder(tmp_path / "other"):
        pass
    assert everything(tmp_path / "out") == before and [path.name for path in tmp_path.iterdir()] == ["out"]


def test_unwritable_places_give_one_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    below = tmp_path / "file" / "out"
    with pytest.raises(OutputError, match="choose another output folder"), atomic_directory(output(below)):
        pass
    for path in (tmp_path / "file" / "out.txt", tmp_path):
        with pytest.raises(OutputError, match="choose another output file"):
            write_file(path, "x")
    assert everything(tmp_path) == {"file": b"x"}
