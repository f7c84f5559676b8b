"""The examples run as they stand, on a network that is trained once."""

import json
import re
import sys

import matplotlib
import pytest

from accel import folders, model_dir

EXAMPLES = folders.PACKAGES / "examples"
NOTEBOOK = json.loads((EXAMPLES / "widths.ipynb").read_text(encoding="utf-8"))
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


@pytest.fixture(scope="module")
def own_network():
    """The module of the script; its network is trained a little and once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        import own_network

        module = own_network.trained(steps=20)
        patch.setattr(own_network, "trained", lambda: module)
        yield own_network
    del sys.modules["own_network"]


def test_the_script_writes_a_model_and_a_design(own_network, tmp_path, capsys):
    own_network.main(str(tmp_path))
    said = capsys.readouterr().out
    assert re.search(r"integer network: \d+% of the test digits right\n", said)
    assert (tmp_path / "design" / "rtl" / "bitloom.v").is_file()
    assert own_network.accuracy(model_dir.load(tmp_path / "model")) > 0.2  # a guess: 0.1


def test_the_notebook_runs_from_top_to_bottom(own_network, capsys):
    matplotlib.use("agg")
    names = {}
    for cell in CODE:
        exec(compile("".join(cell["source"]), "widths.ipynb", "exec"), names)
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 5 and table[0].split() == ["weights", "activations", "right", "weight", "bytes", "cycles"]
    rows = [[float(cell.strip("%").replace(",", "")) for cell in line.split()] for line in table[1:]]
    assert [row[:2] for row in rows] == [[8, 8], [4, 8], [4, 4], [2, 4]]
    assert rows[0][3] == 2 * rows[1][3] and rows[0][4] > rows[2][4]
    assert len(names["figure"].axes) == 20
    names["pyplot"].close("all")


def test_the_notebook_shows_a_table_and_a_picture():
    outputs = [output for cell in CODE for output in cell["outputs"]]
    assert [cell["execution_count"] for cell in CODE] == [1, 2, 3]
    assert any(output.get("name") == "stdout" and len(output["text"]) == 5 for output in outputs)
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not any(output["output_type"] == "error" for output in outputs)
