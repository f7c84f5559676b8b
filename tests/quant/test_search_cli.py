"""`python -m quant search` from end to end, on a small network of the user's own."""

import json

import numpy as np
import pytest

from accel import model_dir
from accel.compile import compile_graph
from accel.config import HardwareConfig

MODEL = """
import torch
from torch import nn


def make():
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 4))
"""
QUICK = (
    "--search-images",
    40,
    "--calibration-images",
    40,
    "--points",
    3,
    "--candidates",
    2,
    "--weight-choices",
    "8,4",
    "--activation-choices",
    "8,4",
    "--cycles",
    "95%",
)


@pytest.fixture
def source(tmp_path):
    """Options that name a small model and 60 labelled images."""
    (tmp_path / "net.py").write_text(MODEL)
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "data.npz", images=rng.integers(0, 256, (60, 9, 9, 1), dtype=np.uint8), labels=rng.integers(0, 4, 60)
    )
    return "--model", f"{tmp_path / 'net.py'}:make", "--data", tmp_path / "data.npz"


def test_the_chosen_network_is_written_with_its_front(quant, source, tmp_path):
    code, out, _ = quant(
        "search",
        *source,
        *QUICK,
        "--option",
        "req_lanes=4",
        "--front",
        tmp_path / "front.json",
        "--front",
        tmp_path / "front.svg",
        "--out",
        tmp_path / "model",
        "--json",
    )
    assert code == 0
    found = json.loads(out)
    graph = model_dir.load(tmp_path / "model")
    weighted = [layer for layer in graph.layers if layer.op != "maxpool"]
    assert [layer.weight_bits for layer in weighted] == found["chosen"]["weight_bits"]
    assert [layer.output.bits for layer in weighted[:-1]] == found["chosen"]["activation_bits"]
    program = compile_graph(graph, HardwareConfig.from_dict(found["build"]))
    assert program.steady_cycles == found["chosen"]["cycles"] <= found["limits"]["cycles"]
    assert program.config.req_lanes == 4 and found["dsps"] == program.config.dsp_estimate
    assert found["test_images"] == 60 and 0 <= found["accuracy"] <= 1
    assert len(found["front"]) >= 2 and set(found["uniform"]) == {"w8a8", "w8a4", "w4a8", "w4a4"}
    stored = json.loads((tmp_path / "front.json").read_text())
    assert stored["front"] == found["front"]
    assert (tmp_path / "front.svg").read_text().startswith("<?xml")


def test_the_chosen_network_is_trained_on_request(quant, source, tmp_path):
    code, out, error = quant(
        "search", *source, *QUICK, "--qat-epochs", 1, "--test-count", 20, "--out", tmp_path / "model"
    )
    assert code == 0, error
    assert "Pareto front" in out
    assert model_dir.load(tmp_path / "model").notes["epochs"] == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--cycles", "many"), "budget cycles 'many': give a positive number, or a percentage"),
        (("--cycles", "1"), "no choice of widths has cycles of at most 1; the least is"),
        (("--build", "8by8"), "'8by8' must be ROWSxLANES such as 8x8"),
        (("--option", "rows=9"), "option 'rows=9': must be NAME=VALUE"),
        (("--front", "front.pdf"), "--front front.pdf: must end with .json, .svg or .png"),
        (("--weight-choices", "4,2"), "weight_bits 4,2 must be of 8, 6, 4, 2, 1 with 8 among them"),
        (("--dsps", "10"), "no build has at most 10 DSPs, the smallest has 40"),
    ],
)
def test_wrong_options_are_named_and_nothing_is_written(quant, source, tmp_path, given, message):
    code, _, error = quant("search", *source, *QUICK, *given, "--out", tmp_path / "model")
    assert code == 2 and message in error
    assert not (tmp_path / "model").exists()


def test_a_search_without_a_budget_is_refused(quant, source, tmp_path):
    code, _, error = quant("search", *source, "--out", tmp_path / "model")
    assert code == 2 and "a search needs a budget" in error


def test_images_without_labels_allow_kl_only(quant, source, tmp_path):
    np.save(tmp_path / "plain.npy", np.random.default_rng(0).integers(0, 256, (40, 9, 9, 1), dtype=np.uint8))
    given = (*source[:2], "--data", tmp_path / "plain.npy", *QUICK, "--out", tmp_path / "model")
    code, out, error = quant("search", *given, "--json")
    assert code == 0, error
    assert json.loads(out)["accuracy"] is None
    code, _, error = quant("search", *given, "--sensitivity", "loss")
    assert code == 2 and "has no labels, which --sensitivity loss needs; use --sensitivity kl" in error


def test_networks_and_labels_that_do_not_fit_are_refused(quant, source, tmp_path):
    (tmp_path / "other.py").write_text(
        "from torch import nn\n\n\ndef few():\n    return nn.Sequential(nn.Flatten(), "
        "nn.Linear(81, 2))\n\n\ndef clamped():\n    return nn.Sequential(nn.Flatten(), "
        "nn.Linear(81, 10), nn.ReLU())\n"
    )
    for factory, message in (
        ("few", "has the classes 0..1; give other labels"),
        ("clamped", "ends with layer_1, a pool or a layer with an activation"),
    ):
        given = "--model", f"{tmp_path / 'other.py'}:{factory}", *source[2:], *QUICK, "--out", tmp_path / "model"
        code, _, error = quant("search", *given)
        assert code == 2 and message in " ".join(error.split()), error
    assert not (tmp_path / "model").exists()
