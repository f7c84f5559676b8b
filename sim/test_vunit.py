"""All registered block cases in VHDL, under VUnit with GHDL."""

import re
import subprocess
import sys

import pytest

from sim.engines.cache import REPOSITORY
from sim.vunit import main as vunit_main
from sim.vunit.blocks import vhdl_cases
from sim.vunit.record import record_case

SHARES = 4  # run in parallel under pytest-xdist
FAILURE = re.compile(r"^fail \(.*?\) (\S+)", re.M)


@pytest.mark.parametrize("share", range(SHARES))
def test_every_case_in_vhdl(share, seed):
    names = sorted(vhdl_cases())[share::SHARES]
    command = [sys.executable, "sim/vunit/run.py", "--no-color", "--seed", str(seed), "--cases", ",".join(names)]
    command += ["--output-path", str(vunit_main.OUTPUT / f"share{share}")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, f"failed: {FAILURE.findall(done.stdout)}\n{done.stdout}{done.stderr}"
    passed = set(re.findall(r"^pass (\w+)\.tb_", done.stdout, re.M))
    assert passed == set(names)


def test_a_wrong_bit_is_found(tmp_path, monkeypatch, capfd):
    def record_and_corrupt(*arguments):
        cycles = record_case(*arguments)
        path = arguments[-1]
        lines = path.read_text().splitlines()
        words = lines[cycles - 3].split()
        words[-1] = "01"[words[-1] == "0"]
        lines[cycles - 3] = " ".join(words)
        path.write_text("\n".join(lines) + "\n")
        return cycles

    monkeypatch.setattr(vunit_main, "record_case", record_and_corrupt)
    options = ["--cases", "running_sum_w10", "--output-path", str(tmp_path / "out"), "--no-color", "*none"]
    assert vunit_main.main(options) == 1
    assert re.search(r"running_sum_w10: cycle \d+: port overflow: expected 0, got 1", capfd.readouterr().out)


def test_case_names_must_differ(monkeypatch):
    from sim import test_engines

    monkeypatch.setattr(test_engines, "CASES", [*test_engines.CASES, test_engines.CASES[0]])
    with pytest.raises(ValueError, match="another block case is called running_sum_w16"):
        vhdl_cases()
