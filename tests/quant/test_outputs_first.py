"""Every command that writes looks at the places of its outputs before anything that takes time, and keeps strangers."""

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from accel import convert, model_dir
from accel.atomic import write_file
from benchmarks import __main__ as benchmarks
from quant.cli.main import main
from quant.data import datasets
from quant.models.weights import save_weights
from tests.core.outputs import everything, write_model

SEARCH = ("search", "--model", "lenet5", "--cycles", "50%")
# name -> (command, options that it needs, option, whether its output is a folder, a name for it)
COMMANDS = {
    "convert": (convert.main, (), "--out", True, "out"),
    "ptq": (main, ("ptq", "--model", "lenet5"), "--out", True, "out"),
    "qat": (main, ("qat", "--model", "lenet5"), "--out", True, "out"),
    "qat parameters": (main, ("qat", "--model", "lenet5", "--out", "free"), "--parameters", False, "out.npz"),
    "qat checkpoint": (main, ("qat", "--model", "lenet5", "--out", "free"), "--checkpoint", False, "out.pt"),
    "search": (main, SEARCH, "--out", True, "out"),
    "search json": (main, (*SEARCH, "--out", "free"), "--front", False, "out.json"),
    "search svg": (main, (*SEARCH, "--out", "free"), "--front", False, "out.svg"),
    "report": (main, ("report",), "--out", False, "out.html"),
    "train": (main, ("train",), "--out", False, "out.npz"),
    "train checkpoint": (main, ("train", "--out", "free.npz"), "--checkpoint", False, "out.pt"),
    "export": (main, ("export", "--model", "lenet5-int8"), "--out", None, "out"),
    "benchmarks": (benchmarks.main, ("cycles",), "--out", None, "out"),
}
every = pytest.mark.parametrize("name", COMMANDS)


@pytest.fixture(autouse=True)
def _no_work(monkeypatch, tmp_path):
    """In an empty folder; every start of the work fails the test."""

    def reached(*args, **kwargs):
        raise AssertionError("the work began")

    monkeypatch.chdir(tmp_path)
    for place in (datasets, "load"), (datasets, "load_images"), (convert, "compile_graph"), (benchmarks.report, "save"):
        monkeypatch.setattr(*place, reached)
    monkeypatch.setattr("quant.export.files.contents", reached)
    monkeypatch.setattr("benchmarks.cycles.measure", reached)


def run(name, path, *more):
    command, needed, option, *_ = COMMANDS[name]
    return CliRunner().invoke(command, [*needed, option, str(path), *more], standalone_mode=False)


def refused(done, *words):
    """The sentence of a refusal: a BitloomError, or click's own for a folder in the place of a file."""
    text = f"{done.exception} {done.output}"
    assert done.exit_code != 0 and "the work began" not in text and len(text) < 400
    for word in words:
        assert word in text, text
    return text


@every
def test_a_right_place_lets_the_work_begin(name, tmp_path):
    done = run(name, COMMANDS[name][4])
    assert str(done.exception) == "the work began"
    assert everything(tmp_path) == {}


@every
@pytest.mark.parametrize("kind", ("empty name", "through a file", "device", "stranger", "link", "long"))
def test_a_wrong_place_is_refused_before_the_work(name, kind, tmp_path):
    is_folder, free = COMMANDS[name][3:]
    (tmp_path / "file").write_text("x")
    path = {
        "empty name": "",
        "through a file": f"file/{free}",
        "device": "/dev/null",
        "long": f"{'n' * 300}/{free}",
        "stranger": free,
        "link": free,
    }[kind]
    if kind == "stranger":
        _strange(tmp_path / free, is_folder)
    if kind == "link":
        (tmp_path / free).symlink_to("nowhere" if is_folder is not None else "file")
    before = everything(tmp_path)
    refused(run(name, path))
    assert everything(tmp_path) == before


def _strange(path, is_folder):
    if is_folder is False:
        path.write_text("years")
        return
    path.mkdir()
    (path / "thesis.txt").write_text("years")
    for own in ("model.json", "manifest.json", "cycles.json", "lenet5_int8.h"):
        (path / own).write_text('{"name": "mine"}')


@pytest.mark.parametrize("name", [name for name, entry in COMMANDS.items() if entry[3]])
def test_current_and_home_folders_are_no_outputs(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    for path in (".", "..", "/", tmp_path / "home"):
        refused(run(name, path), "current folder" if path != tmp_path / "home" else "home folder")


def test_the_unwritable_is_refused_before_the_work(monkeypatch):
    def read_only(*args, **kwargs):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.mkdtemp", read_only)
    for name, (*_, free) in COMMANDS.items():
        refused(run(name, free), "Read-only file system")


INPUTS = {
    "convert": ("m", ("--model", "m"), "is the --model"),
    "convert below": ("m/design", ("--model", "m"), "lies in"),
    "ptq": ("w", ("--weights", "w/w.npz"), "holds the --weights"),
    "qat": ("m", ("--start", "m"), "is the --start"),
    "qat parameters": ("w/w.npz", ("--weights", "w/w.npz"), "is the --weights"),
    "search": ("code", ("--model", "code/net.py:make"), "holds the --model"),
    "search json": ("free/out.json", (), "lies in the --out"),
    "qat checkpoint": ("free/ck.pt", (), "lies in the --out"),
    "report": ("m/report.html", ("--network", "mine=m"), "lies in the --network"),
}


@pytest.mark.parametrize("case", INPUTS)
def test_an_output_is_kept_apart_from_what_the_command_reads(case, tmp_path):
    write_model("m")
    save_weights(torch.nn.Linear(2, 2), "w/w.npz")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "net.py").write_text("")
    path, more, words = INPUTS[case]
    before = everything(tmp_path)
    refused(run(case.split(" below")[0], path, *more), words)
    assert everything(tmp_path) == before


def test_an_export_into_the_model_is_refused():
    write_model("m")
    done = CliRunner().invoke(main, ["export", "m", "--out", "m"], standalone_mode=False)
    refused(done, "lies in the --model")


def test_weights_of_ours_are_replaced_and_those_of_others_are_not(tmp_path):
    save_weights(torch.nn.Linear(2, 2), "w.npz")
    save_weights(torch.nn.Linear(2, 3), "w.npz")
    assert np.load("w.npz")["weight"].shape == (3, 2)
    np.savez("mine.npz", weight=np.zeros(3))
    assert str(run("train", "w.npz").exception) == "the work began"
    refused(run("train", "mine.npz"), "is not a file that this command wrote")


def test_a_checkpoint_of_ours_is_replaced_and_other_files_of_torch_are_not(quant_checkpoint):
    assert str(run("train checkpoint", quant_checkpoint).exception) == "the work began"
    torch.save({"format": 1, "identity": {}}, "other.pt")
    refused(run("train checkpoint", "other.pt"), "is not a file that this command wrote")
    done = run("train checkpoint", "other.pt", "--resume")  # what it holds is checked when it is read
    assert str(done.exception) == "the work began"


@pytest.fixture
def quant_checkpoint():
    from quant.models.loop import Checkpoint, Training

    module = torch.nn.Linear(100, 100)
    training = Training(module, module, torch.Generator(), None, 1)  # the module's state stands for the optimizer's
    Checkpoint("ck.pt", {"note": "x" * 1000}).save(training)
    Checkpoint("ck.pt", {"note": "x" * 1000}).save(training)
    return "ck.pt"


def test_a_model_directory_without_any_mark_is_loaded_and_replaced(tmp_path):
    """Those that ship, and copies of them."""
    graph = model_dir.load("lenet5-int8")
    write_file("copy/model.json", (model_dir.ZOO / "lenet5-int8" / "model.json").read_bytes())
    for path in (model_dir.ZOO / "lenet5-int8").glob("*.bin"):
        write_file(f"copy/{path.name}", path.read_bytes())
    before = everything(tmp_path)
    model_dir.save(graph, "copy")
    assert everything(tmp_path) == before
