"""The hostile benchmark: it sees every kind of fault, repeats itself, and a few hundred of its cases hold."""

import os
import signal

import numpy as np
import pytest

from accel.errors import ModelError
from benchmarks import hostile, hostile_models, hostile_options
from benchmarks.forked import outcomes


def fault(index):
    """A case of every kind."""
    if index == 1:
        raise ModelError("name: rule, value; remedy")
    if index == 2:
        raise KeyError("x")
    if index == 3:
        raise ModelError("two\nlines")
    if index == 4:
        np.ones(2**28)
    if index == 5:
        while True:
            pass
    if index == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    if index == 7:
        signal.pause()


def test_every_kind_of_fault_is_seen_and_the_next_case_runs():
    kinds = [outcome.kind for outcome in outcomes(fault, range(9), seconds=0.2, wait=2, memory=2**30)]
    assert kinds == ["accepted", "refused", "traceback", "message", "memory", "hang", "died", "hang", "accepted"]


@pytest.mark.parametrize(("kind", "count"), [("models", 120), ("files", 120)])
def test_damaged_files_end_in_a_result_or_a_sentence(kind, count, tmp_path):
    found = hostile.run_kind(kind, range(count), 1, tmp_path / kind)
    assert not found["failing"]
    assert found["counts"]["refused"] > count // 4 and sum(found["counts"].values()) == count


def test_a_case_is_made_by_seed_and_index(tmp_path):
    def files(number):
        hostile_models.damaged_model(np.random.default_rng([3, 0, number]), tmp_path / "model")
        return {
            path.name: path.read_bytes()
            for path in (tmp_path / "model").iterdir()
            if path.is_file() and not path.is_symlink()
        }

    assert files(5) == files(5) and files(5) != files(6)
    commands = [str(hostile_options.bad_arguments(np.random.default_rng([3, 2, number]))) for number in (1, 1, 2)]
    assert commands[0] == commands[1] != commands[2]


CHEAP = (("accel.convert", ()), ("sim.cli", ("run",)), ("quant.cli.main", ("export",)))


def test_bad_options_end_in_code_2_or_run(tmp_path, monkeypatch):
    """Of commands without torch; the benchmark has the others."""
    monkeypatch.setattr(hostile_options, "COMMANDS", {key: hostile_options.COMMANDS[key] for key in CHEAP[1:]})
    monkeypatch.setattr(hostile_options, "warm_up", lambda folder: None)
    found = hostile.run_kind("options", range(100), 5, tmp_path / "options")
    assert not found["failing"] and found["counts"]["refused"] > 50
