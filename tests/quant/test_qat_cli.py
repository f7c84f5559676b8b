"""`python -m quant qat`, and the narrow options of `ptq`."""

import json

import numpy as np
import pytest
import torch

from accel import model_dir
from accel.errors import ModelError, RangeError
from quant.cli.training import kept, open_checkpoint
from quant.data import datasets
from quant.models.loop import Training, read
from quant.qat import presets

MODEL = """
import torch
from torch import nn

def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 5, stride=2), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Flatten(), nn.Linear(108, 10))
"""


@pytest.fixture
def user_model(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(MODEL)
    return f"{path}:make"


def test_a_preset_writes_a_model_that_runs(quant, tmp_path):
    out = tmp_path / "model"
    command = "qat", "--recipe", "lenet5-w4a4", "--data", "digits", "--epochs", 1
    assert quant(*command, "--requantizer", "pow2", "--out", tmp_path / "shifts")[0] == 0
    shifts = model_dir.load(tmp_path / "shifts")
    assert all(value.bit_count() == 1 for value in shifts.layers[0].requantize.multiplier.tolist())
    code, text, err = quant(*command, "--parameters", tmp_path / "trained.npz", "--out", out, "--json")
    assert code == 0, err
    values = json.loads(text)
    assert list(values) == [
        "name",
        "model",
        "data",
        "seed",
        "epochs",
        "loss",
        "accuracy",
        "test_images",
        "seconds",
        "out",
    ]
    assert values["name"] == "lenet5-w4a4" and values["accuracy"] > 0.9 and (tmp_path / "trained.npz").is_file()
    graph = model_dir.load(out)
    assert graph.notes["weight_bits"] == [4] * 5 and graph.notes["seed"] == 1
    assert quant("compare", "--model", out, "--count", 10)[0] == 0
    assert quant(*command, "--out", tmp_path / "again")[0] == 0
    for path in out.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_the_command_trains_as_the_library_does(quant, tmp_path):
    from quant.frontend.prepare import prepare
    from quant.frontend.read import read_module
    from quant.models.sources import load_float_model
    from quant.models.train import to_float
    from quant.qat.export import export
    from quant.qat.qat_network import QatNetwork, Widths
    from quant.qat.train import QatOptions, train_qat

    recipe = presets.find("lenet5-mixed")
    assert (
        quant(
            "qat",
            "--recipe",
            "lenet5-mixed",
            "--data",
            "digits",
            "--epochs",
            1,
            "--seed",
            5,
            "--out",
            tmp_path / "model",
        )[0]
        == 0
    )
    images, labels = datasets.load("digits")
    teacher, _, shape = load_float_model("lenet5")
    network = QatNetwork(prepare(read_module(teacher, shape)), Widths.of(5, recipe.weight_bits, recipe.activation_bits))
    train_qat(
        network,
        teacher,
        to_float(images),
        labels,
        QatOptions(epochs=1, learning_rate=recipe.learning_rate, augment=recipe.augment, copies=recipe.copies, seed=5),
    )
    for layer, written in zip(export(network, "own").layers, model_dir.load(tmp_path / "model").layers, strict=True):
        assert layer.output == written.output
        if layer.op != "maxpool":
            np.testing.assert_array_equal(layer.weights, written.weights)
            np.testing.assert_array_equal(layer.bias, written.bias)


def test_the_normalization_is_written_into_the_model(quant, user_model, tmp_path):
    code, _, err = quant(
        "qat",
        "--model",
        user_model,
        "--data",
        "digits",
        "--epochs",
        1,
        "--mean",
        0.25,
        "--std",
        0.5,
        "--out",
        tmp_path / "model",
    )
    assert code == 0, err
    graph = model_dir.load(tmp_path / "model")
    assert graph.encoding.mean == (0.25,) and graph.encoding.std == (0.5,) and graph.input.zero_point == 64 - 128


def test_a_users_network_of_signs(quant, user_model, tmp_path):
    out = tmp_path / "model"
    code, text, err = quant(
        "qat",
        "--model",
        user_model,
        "--weight-bits",
        "8,1",
        "--activation-bits",
        1,
        "--data",
        "digits",
        "--epochs",
        2,
        "--weight-range",
        "full",
        "--augment",
        0.2,
        "--copies",
        1,
        "--out",
        out,
    )
    assert code == 0, err
    assert "accuracy" in text
    assert [layer.output.bits for layer in model_dir.load(out).layers] == [1, 1, 32]
    assert quant("compare", "--model", out, "--count", 10)[0] == 0


@pytest.mark.parametrize(("weight_bits", "activation_bits"), [(8, 4), (6, 8), (4, 4), (2, 8), (1, 2)])
def test_ptq_of_narrow_widths(quant, tmp_path, weight_bits, activation_bits):
    out = tmp_path / "model"
    code, text, err = quant(
        "ptq",
        "--model",
        "lenet5",
        "--data",
        "digits",
        "--weight-bits",
        weight_bits,
        "--activation-bits",
        activation_bits,
        "--out",
        out,
        "--json",
    )
    assert code == 0, err
    values = json.loads(text)
    assert (values["weight_bits"], values["activation_bits"]) == (weight_bits, activation_bits)
    graph = model_dir.load(out)
    assert graph.name == f"lenet5-w{weight_bits}a{activation_bits}" or weight_bits == activation_bits
    weighted = [layer for layer in graph.layers if layer.op != "maxpool"]
    assert {layer.weight_bits for layer in weighted} == {weight_bits}
    assert {layer.output.bits for layer in weighted[:-1]} == {activation_bits} and graph.input.bits == 8
    if weight_bits > 1:
        assert min(layer.weights.min() for layer in weighted) == -(2 ** (weight_bits - 1) - 1)
    assert quant("compare", "--model", out, "--count", 10)[0] == 0


def test_ptq_uses_the_full_range_when_asked(quant, tmp_path):
    assert (
        quant(
            "ptq",
            "--model",
            "lenet5",
            "--data",
            "digits",
            "--weight-bits",
            4,
            "--weight-range",
            "full",
            "--out",
            tmp_path / "model",
        )[0]
        == 0
    )
    graph = model_dir.load(tmp_path / "model")
    assert min(layer.weights.min() for layer in graph.layers if layer.op != "maxpool") == -8


def test_presets_are_those_of_the_zoo():
    for name in presets.PRESETS:
        notes = model_dir.load(name).notes
        assert notes["seed"] == 1 and notes["epochs"] == presets.find(name).epochs
    with pytest.raises(ModelError, match="recipe 'lenet5-w3a3' is unknown; choose one of lenet5-w8a8"):
        presets.find("lenet5-w3a3")


BAD = {
    "preset": (("--recipe", "lenet5-w3a3"), "recipe 'lenet5-w3a3' is unknown"),
    "bits": (("--weight-bits", 3), "weight bits 3 are not supported; choose from 8, 6, 4, 2, 1"),
    "count of bits": (("--weight-bits", "8,8"), "name 2 layers where the network has 5; give one value, or 5"),
    "bits text": (("--weight-bits", "x"), "numbers"),
    "no labels": (("--data", "{tmp}/plain.npy"), "has no labels"),
    "size": (("--data", "{tmp}/large.npz"), "needs images of (H, W, C)=(28, 28, 1) but --data has (30, 28, 1)"),
    "floats": (("--data", "{tmp}/floats.npz"), "holds float32 images"),
    "labels": (("--data", "{tmp}/labels.npz"), "labels lie in 1..10 but lenet5 has the classes 0..9"),
    "parameters": (("--parameters", "{tmp}/trained.pt"), "end the name with .npz"),
    "checkpoint": (("--checkpoint", "{tmp}/state.npz"), "end the name with .pt"),
    "resume": (("--resume",), "give --checkpoint FILE too"),
    "no checkpoint": (("--resume", "--checkpoint", "{tmp}/state.pt"), "checkpoint not found"),
    "start": (("--start", "{tmp}/none"), "is neither a model directory"),
    "another start": (("--start", "digits"), "digits"),
    "requantizer": (("--requantizer", "khot4"), "requantizer 'khot4' is unknown; choose one of full, pow2"),
    "learning rate": (("--learning-rate", 0), "learning-rate"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named_and_leaves_nothing(quant, tmp_path, case):
    images, labels = datasets.load("digits")
    np.save(tmp_path / "plain.npy", images[:3])
    np.savez(tmp_path / "large.npz", images=np.zeros((3, 30, 28, 1), np.uint8), labels=labels[:3])
    np.savez(tmp_path / "floats.npz", images=images[:3].astype(np.float32), labels=labels[:3])
    np.savez(tmp_path / "labels.npz", images=images[:3], labels=np.array([1, 10, 2]))
    options, message = BAD[case]
    given = [str(item).replace("{tmp}", str(tmp_path)) for item in options]
    data = [] if "--data" in given else ["--data", "digits"]
    code, out, err = quant("qat", *given, *data, "--epochs", 1, "--out", tmp_path / "out")
    assert code == 2 and out == "" and "Traceback" not in err
    assert message in " ".join(err.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("failing", ["quant.qat.export.export", "accel.model_dir.save"])
def test_a_training_whose_export_fails_is_kept(quant, user_model, tmp_path, monkeypatch, failing):
    def fail(*_given, **_options):
        raise RangeError("conv: channel 2: the bias is too large; train longer")

    command = ("qat", "--model", user_model, "--data", "digits", "--epochs", 1, "--weight-bits", 4, "--seed", 3)
    assert quant(*command, "--out", tmp_path / "whole")[0] == 0
    out, kept = tmp_path / "net", tmp_path / "net.training.pt"
    with monkeypatch.context() as patch:
        patch.setattr(failing, fail)
        code, _, err = quant(*command, "--out", out)
        assert code == 2 and kept.is_file() and not out.exists()
        message = " ".join(err.split())
        assert "conv: channel 2: the bias is too large; train longer; the training is kept: go on with" in message
        assert "--checkpoint" in message and "--start" in message and len(message) < 300 + 2 * len(str(kept))
        before = kept.read_bytes()
        assert quant(*command, "--out", out)[0] == 2 and kept.read_bytes() == before, "an earlier one is never replaced"
        assert quant(*command, "--checkpoint", tmp_path / "own.pt", "--out", tmp_path / "third")[0] == 2
        assert not (tmp_path / "third.training.pt").exists()
    for path in (kept, tmp_path / "net.training-2.pt", tmp_path / "own.pt"):
        code, _, err = quant(*command, "--checkpoint", path, "--resume", "--out", tmp_path / f"{path.stem}-done")
        assert code == 0, err
        for file in (tmp_path / "whole").iterdir():
            assert (tmp_path / f"{path.stem}-done" / file.name).read_bytes() == file.read_bytes()
    code, _, err = quant(
        "qat",
        "--model",
        user_model,
        "--data",
        "digits",
        "--epochs",
        1,
        "--weight-bits",
        8,
        "--start",
        kept,
        "--out",
        tmp_path / "wider",
    )
    assert code == 0, err


def test_a_training_is_kept_where_a_file_can_be_written(monkeypatch, tmp_path):
    (tmp_path / "place").mkdir()
    (tmp_path / "file").write_text("no folder")
    monkeypatch.chdir(tmp_path / "place")
    training = Training(torch.nn.Linear(1, 1), torch.optim.SGD([torch.zeros(1)], lr=1.0), torch.Generator(), None, 1)
    one = open_checkpoint(None, False, {}, np.zeros(1), np.zeros(1), tmp_path / "file" / "net")
    one.save(training)
    with pytest.raises(ModelError, match="the training is kept: in .*place/net.training.pt"), kept(one, "in {file}"):
        raise ModelError("too large")
    assert read(tmp_path / "place" / "net.training.pt")["losses"] == []


def test_a_chosen_network_whose_export_fails_is_kept(quant, user_model, tmp_path, monkeypatch):
    def fail(*_given, **_options):
        raise RangeError("conv: channel 2: the bias is too large")

    monkeypatch.setattr("quant.qat.export.export", fail)
    code, _, err = quant(
        "search",
        "--model",
        user_model,
        "--data",
        "digits",
        "--file-bytes",
        "80%",
        "--images",
        20,
        "--weight-bits",
        "8,4",
        "--activation-bits",
        8,
        "--points",
        2,
        "--candidates",
        1,
        "--qat-epochs",
        1,
        "--out",
        tmp_path / "net",
    )
    assert code == 2 and "is kept: go on with `python -m quant qat --start" in " ".join(err.split())
    monkeypatch.undo()
    code, _, err = quant(
        "qat",
        "--model",
        user_model,
        "--data",
        "digits",
        "--epochs",
        1,
        "--start",
        tmp_path / "net.training.pt",
        "--out",
        tmp_path / "started",
    )
    assert code == 0, err
