"""The block that CONTRIBUTING.md adds: its code runs as it is printed there, and its fault is caught."""

import ast
import importlib.util
import re
import sys

import pytest

from sim.bus import STALLS
from sim.cases.bench import run_once
from sim.engines.cache import REPOSITORY

BLOCK, BENCH, FAULT = re.findall(
    r"^```python\n(.*?)^```$", (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.M | re.S
)


def load(folder, name, text):
    """The text as an imported module that Python finds under `name` until the test ends."""
    path = folder / f"{name.replace('.', '_')}.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A function: the bench of the page on the block of the page, or on a changed block."""

    def make(block=BLOCK):
        for name in ("accel.rtl.absolute", "sim.test_absolute"):
            monkeypatch.setitem(sys.modules, name, None)  # restored after the test
        load(tmp_path, "accel.rtl.absolute", block)
        return load(tmp_path, "sim.test_absolute", BENCH)

    return make


@pytest.mark.parametrize("engine", ["myhdl", "verilator"])
def test_the_block_passes_its_bench(bench, engine, seed):
    for stalls in ("none", "both"):
        run_once(bench().CASES[0], STALLS[stalls], engine, seed)


def test_its_fault_is_caught(bench, seed):
    name, (_, old, new, stalls) = next(iter(ast.literal_eval(f"{{{FAULT}}}").items()))
    assert BLOCK.count(old) == 1
    case = bench(BLOCK.replace(old, new)).CASES[0]
    assert case.name == name
    with pytest.raises(AssertionError):
        run_once(case, STALLS[stalls], "myhdl", seed)
