"""The benchmarks' command, their results and the README's table."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import nextpnr, report
from benchmarks.__main__ import BENCHMARKS, COUNTED, main
from benchmarks.report import Result, Row
from scripts.pages import fill

ROOT = Path(report.__file__).parent.parent


def example(name="cycles", met=True):
    return Result(name, (Row("cycles of a network", "<= 10", "", "7", met),), {"cycles": 7})


def test_every_benchmark_is_a_module_with_a_measure_function():
    for name in BENCHMARKS:
        text = (ROOT / "benchmarks" / f"{name}.py").read_text()
        given = ", count=.*, seed=.*" if name in COUNTED else ""
        assert re.search(rf"def measure\(progress, folder, quick, data_dir{given}\):", text), name


def test_results_come_back_as_they_were_stored(tmp_path):
    report.save(example(), tmp_path)
    assert report.load_all(["speed", "cycles"], tmp_path) == [example()]


def test_a_table_says_which_rows_hold():
    assert report.markdown([example(), example(met=False)]).splitlines()[2:] == [
        "| cycles of a network | <= 10 |  | 7 | yes |", "| cycles of a network | <= 10 |  | 7 | **no** |"]


def test_filling_a_page_changes_nothing_around_the_table():
    page = "before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n"
    once = fill(page, "figures", "new")
    assert once == page.replace("old", "new") == fill(once, "figures", "new")


def test_the_readme_quotes_the_stored_results():
    table = report.markdown(report.load_all(BENCHMARKS))
    page = report.README.read_text()
    assert fill(page, "figures", table) == page


def test_figures_of_a_quick_run_are_never_kept():
    outcome = CliRunner().invoke(main, ["--quick", "--save"], standalone_mode=False)
    assert "--quick gives none" in str(outcome.exception)


def test_the_list_names_every_benchmark():
    assert [line.split()[0] for line in CliRunner().invoke(main, ["--list"]).output.splitlines()] == [*BENCHMARKS]


def test_the_wrapper_connects_every_bit_once():
    ports = {"clk": ("input", 1), "a": ("input", 3), "b": ("input", 8), "x": ("output", 2), "y": ("output", 1)}
    text = nextpnr.pin_wrapper("pins", "core", ports)
    assert re.findall(r"\.(\w+)\((\w+)(?:\[(\d+):(\d+)\])?\)", text) == [
        ("clk", "clk", "", ""), ("a", "driven", "2", "0"), ("b", "driven", "10", "3"),
        ("x", "seen", "1", "0"), ("y", "seen", "2", "2")]
    assert "reg [10:0] shift_in, driven;" in text and "reg [2:0] captured, shift_out;" in text


@pytest.mark.parametrize("name", BENCHMARKS)
def test_stored_results_hold(name):
    for result in report.load_all([name]):
        assert result.met, f"{name}: a figure in {report.RESULTS} misses what is required"
