"""The same design gives the same bytes: twice in a process, with any hash seed, in any version of Python."""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import myhdl
import pytest
from myhdl import _block as myhdl_block

import accel
from accel.hdl import elaborate
from accel.hdl.variables import in_source_order, variable_order
from tests.convert import digests

ROOT = Path(accel.__file__).parents[1]
VERSIONS = [(3, minor) for minor in range(11, 16)]
VERSION = "import sys; print(sys.version_info[:2] if sys.implementation.name == 'cpython' else None)"


def other_pythons():
    """{version: program} of the supported versions of Python at hand that are not this one."""
    named = [shutil.which(f"python{major}.{minor}") for major, minor in VERSIONS]
    managed = sorted(Path.home().glob(".pyenv/versions/*/bin/python"))
    found = {}
    for program in filter(None, [*named, *managed]):
        done = subprocess.run([program, "-c", VERSION], capture_output=True, text=True)  # a pyenv shim may fail
        for version in VERSIONS:
            if done.stdout.strip() == str(version) and version != sys.version_info[:2]:
                found.setdefault(version, program)
    return found


def digests_of(python, seed, only_myhdl):
    """The digests in a fresh process; its packages are its own, and MyHDL of this one."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(only_myhdl))), "PYTHONHASHSEED": seed}
    done = subprocess.run(
        [python, "-m", "tests.convert.digests"], cwd=only_myhdl, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def here():
    """The digests of the blocks in this process."""
    return digests.block_digests()


def test_every_python_at_hand_gives_the_same_bytes(here, tmp_path):
    (tmp_path / "myhdl").symlink_to(Path(myhdl.__file__).parent)
    expected = digests_of(sys.executable, "1", tmp_path)
    assert set(expected) == {*here, "accelerator"}
    assert {name: expected[name] for name in here} == here  # this process has another hash seed
    for python in other_pythons().values():
        found = digests_of(python, "2", tmp_path)
        assert set(found) >= set(here)
        assert found == {name: expected[name] for name in found}, python


@pytest.mark.parametrize("seed", (1, 2))
def test_the_order_in_which_python_lists_variables_does_not_matter(here, seed, monkeypatch):
    """Versions differ in the order of f_locals: hand MyHDL and the namer any other one."""
    rng = random.Random(seed)

    def shuffled(values):
        return dict(rng.sample(list(values.items()), len(values)))

    class ShuffledCall(myhdl_block._CallInfo):
        def __init__(self, name, modctxt, symdict):
            super().__init__(name, modctxt, shuffled(symdict))

    monkeypatch.setattr(myhdl_block, "_CallInfo", ShuffledCall)
    monkeypatch.setattr(
        elaborate, "in_source_order", lambda function, names: in_source_order(function, shuffled(names))
    )
    assert digests.block_digests() == here


def test_names_that_are_not_sorted_would_be_seen(here, monkeypatch):
    monkeypatch.setattr(elaborate, "in_source_order", lambda function, names: dict(reversed(names.items())))
    assert digests.block_digests() != here


def test_variables_stand_in_the_order_of_the_source():
    def example(port, *, depth):
        words = [word + 1 for word in range(depth)]
        first, *_rest = words
        for index, value in enumerate(words):
            total = last = index + value

        def process():
            hidden = first
            return hidden

        later = process
        return port, later, total, last

    order = ["port", "depth", "words", "first", "_rest", "index", "value", "total", "last", "process", "later"]
    assert list(variable_order(example)) == order
    given = dict.fromkeys(("zebra", "ant", *sorted(order)))
    assert list(in_source_order(example, given)) == [*order, "ant", "zebra"]
