"""The benchmarks' command, their results, and the pages that quote them."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import nextpnr, pages, report, sources
from benchmarks.__main__ import COUNTED, main
from benchmarks.catalog import BENCHMARKS, GROUPS
from benchmarks.report import Result, Row
from scripts.pages import fill

ROOT = Path(report.__file__).parent.parent


def example(name="cycles", met=True):
    return Result(name, (Row("cycles of a network", "<= 10", "", "7", met, "on a chip"),), {"cycles": 7}, "0123")


def test_every_benchmark_is_a_module_with_a_measure_function():
    for name in BENCHMARKS:
        text = (ROOT / "benchmarks" / f"{name}.py").read_text()
        given = ", count=.*, seed=.*" if name in COUNTED else ""
        assert re.search(rf"def measure\(progress, folder, quick, data_dir{given}\):", text), name


def test_results_come_back_as_they_were_stored(tmp_path):
    report.save(example(), tmp_path)
    assert report.load_all(["speed", "cycles"], tmp_path) == [example()]


def test_a_table_says_which_rows_hold():
    assert pages.table([example(), example("speed", met=False)], old={"speed"}).splitlines()[2:] == [
        "| cycles of a network | <= 10 |  | 7 | yes |",
        "| cycles of a network | <= 10 |  | 7 | **no**, old |",
    ]
    assert pages.notes([example()]) == "- cycles of a network: on a chip."


def test_filling_a_page_changes_nothing_around_the_table():
    page = "before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n"
    once = fill(page, "figures", "new")
    assert once == page.replace("old", "new") == fill(once, "figures", "new")


def test_the_pages_quote_the_stored_results_and_say_which_are_old():
    """Where this fails, `make docs` brings the pages up to date."""
    page, readme = pages.FIGURES.read_text(), pages.README.read_text()
    assert pages.figures(page) == page
    assert pages.readme(readme) == readme


def test_the_readme_quotes_six_figures():
    page = pages.readme("before\n<!-- six figures -->\n<!-- end of six figures -->\nafter\n")
    assert len([line for line in page.splitlines() if line.startswith("| ") and len(line) < 120]) == 7
    assert "| cycles of LeNet-5 on an 8x8 array | " in page and page.startswith("before") and page.endswith("after\n")


def test_no_line_of_the_figures_is_longer_than_a_page():
    lines = pages.FIGURES.read_text().splitlines()
    assert max(map(len, lines)) <= 160
    measured = {GROUPS[BENCHMARKS[result.name].group] for result in report.load_all(BENCHMARKS)}
    titles = [title for title in GROUPS.values() if title in measured]
    assert [line[3:] for line in lines if line.startswith("## ")] == titles


def test_every_source_of_a_benchmark_is_there():
    for name, benchmark in BENCHMARKS.items():
        assert benchmark.group in GROUPS
        for source in benchmark.sources:
            assert (ROOT / source).exists(), f"{name}: {source} is gone; mend benchmarks/catalog.py"


@pytest.mark.parametrize(
    ("change", "old"),
    (("VALUE = 2\n", True), ("VALUE = 1\n\n\n# another comment\n", False), ('"""Words."""\nVALUE = 1\n', False)),
)
def test_a_result_is_old_once_its_code_has_changed(change, old, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    monkeypatch.setattr(sources, "files", lambda name: [tmp_path / "block.py", tmp_path / "model.json"])
    block, model = tmp_path / "block.py", tmp_path / "model.json"
    block.write_text('"""Says what."""\nVALUE = 1\n')
    model.write_text("{}")
    result = Result("cycles", (), {}, sources.digest("cycles"))
    assert not sources.is_old(result)
    block.write_text(change)
    assert sources.is_old(result) == old
    block.write_text("VALUE = 1\n")
    assert not sources.is_old(result)
    model.write_text("[]")
    assert sources.is_old(result)


def test_code_keeps_what_does_something():
    text = '"""Doc."""\n\n# why\ndef f(x):\n    """Doc of\n    two lines."""\n    return "# no comment"\n'
    assert sources.code(text) == 'def f(x):\n    return "# no comment"'


def test_old_results_are_listed():
    old = [result.name for result in report.load_all(BENCHMARKS) if sources.is_old(result)]
    assert CliRunner().invoke(main, ["--old"]).output.split() == old


def test_figures_of_a_quick_run_are_never_kept():
    outcome = CliRunner().invoke(main, ["--quick", "--save"], standalone_mode=False)
    assert "--quick gives none" in str(outcome.exception)


def test_the_list_names_every_benchmark():
    assert [line.split()[0] for line in CliRunner().invoke(main, ["--list"]).output.splitlines()] == [*BENCHMARKS]


def test_the_wrapper_connects_every_bit_once():
    ports = {"clk": ("input", 1), "a": ("input", 3), "b": ("input", 8), "x": ("output", 2), "y": ("output", 1)}
    text = nextpnr.pin_wrapper("pins", "core", ports)
    assert re.findall(r"\.(\w+)\((\w+)(?:\[(\d+):(\d+)\])?\)", text) == [
        ("clk", "clk", "", ""),
        ("a", "driven", "2", "0"),
        ("b", "driven", "10", "3"),
        ("x", "seen", "1", "0"),
        ("y", "seen", "2", "2"),
    ]
    assert "reg [10:0] shift_in, driven;" in text and "reg [2:0] captured, shift_out;" in text


@pytest.mark.parametrize("name", BENCHMARKS)
def test_stored_results_hold(name):
    for result in report.load_all([name]):
        assert result.met, f"{name}: a figure in {report.RESULTS} misses what is required"
