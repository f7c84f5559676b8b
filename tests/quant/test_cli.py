"""`python -m quant`: what each command prints, its exit codes, and that bad input leaves nothing behind."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from accel import ir, model_dir
from quant.data import datasets

ROOT = Path(__file__).resolve().parents[2]
MODEL = """
from torch import nn

def make():
    return nn.Sequential(nn.Conv2d(1, 3, 5, stride=2), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2),
    nn.Dropout(),
                         nn.Flatten(), nn.Linear(108, 10))

def recurrent():
    return nn.Sequential(nn.LSTM(28, 3))

def grouped():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, groups=2))

def raising():
    raise RuntimeError("first line\\nsecond error line")

def broken():
    net = make()
    net[0].weight.data[0, 0, 0, 0] = float("nan")
    return net
"""

PTQ = ("ptq", "--data", "digits", "--model")


@pytest.fixture
def user_model(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(MODEL)
    return path


def test_help_shows_an_example(quant):
    for command in ([], ["train"], ["ptq"], ["qat"], ["evaluate"], ["compare"]):
        code, out, _ = quant(*command, "--help")
        assert code == 0 and "Example: python -m quant" in out


def test_the_module_runs_as_a_program():
    command = [sys.executable, "-m", "quant", "evaluate", "lenet5-int8", "--data", "digits", "--json"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    values = json.loads(result.stdout)
    assert values == {"model": "lenet5-int8", "data": "digits", "count": 100, "accuracy": values["accuracy"]}
    assert values["accuracy"] >= 0.99 and result.stderr == ""


def test_evaluate_takes_a_folder_a_count_and_a_file(quant, tmp_path):
    folder = ROOT / "quant" / "zoo" / "lenet5-int8"
    images, labels = datasets.load("digits")
    np.savez(tmp_path / "set.npz", images=images[:7], labels=labels[:7])
    code, out, _ = quant("evaluate", "--model", folder, "--data", tmp_path / "set.npz", "--count", 5, "--json")
    assert code == 0 and json.loads(out)["count"] == 5
    code, out, _ = quant("evaluate", "--model", folder, "--data", "digits")
    assert code == 0 and "accuracy" in out


def test_evaluate_takes_a_float_model(quant):
    code, out, _ = quant("evaluate", "--model", "lenet5", "--data", "digits", "--json")
    assert code == 0 and json.loads(out)["accuracy"] >= 0.99


def test_compare_prints_counts_per_layer(quant):
    code, out, _ = quant("compare", "--model", "lenet5-int8", "--count", 20, "--float-model", "lenet5", "--json")
    values = json.loads(out)
    assert code == 0 and values["count"] == 20 and values["mismatches"] == 0
    assert [layer["name"] for layer in values["layers"]][:2] == ["conv1", "pool1"]
    assert values["layers"][0]["values"] == 20 * 28 * 28 * 6
    code, out, _ = quant("compare", "--model", "lenet5-int8", "--count", 5)
    assert code == 0 and "fake-quant" in out and "conv2" in out


def test_compare_ends_with_1_on_a_mismatch(quant, monkeypatch):
    from quant.reference import integer

    monkeypatch.setattr(integer, "round_shift_up", lambda product, shift: (product >> shift) + 1)
    code, out, err = quant("compare", "--model", "lenet5-int8", "--count", 2)
    assert code == 1 and "conv1: first mismatch at image 0" in err


def test_ptq_of_the_zoo_gives_the_shipped_bytes_shape(quant, tmp_path):
    out_dir = tmp_path / "model"
    code, out, err = quant(*PTQ, "lenet5", "--bits", 8, "--calibration", "minmax", "--out", out_dir, "--json")
    assert code == 0, err
    values = json.loads(out)
    assert values["calibration_images"] == 100 and len(values["layers"]) == 7
    assert all(layer["snr_db"] > 25 for layer in values["layers"])
    names = {path.name for path in out_dir.iterdir()}
    assert names == {path.name for path in (ROOT / "quant" / "zoo" / "lenet5-int8").iterdir()}
    code, out, _ = quant("evaluate", "--model", out_dir, "--data", "digits", "--json")
    assert code == 0 and json.loads(out)["accuracy"] >= 0.99


@pytest.mark.parametrize("rounding", ["half_up", "half_away", "gemmlowp"])
@pytest.mark.parametrize("encoding", ["uint8", "float"])
def test_ptq_of_a_users_module(quant, user_model, tmp_path, rounding, encoding):
    out_dir = tmp_path / "model"
    code, out, err = quant(
        *PTQ,
        f"{user_model}:make",
        "--rounding-rule",
        rounding,
        "--input",
        encoding,
        "--mean",
        0.13,
        "--std",
        0.31,
        "--out",
        out_dir,
        "--name",
        "mine",
    )
    assert code == 0, err
    assert "SNR dB" in out and "mine" in out
    assert quant("compare", "--model", out_dir, "--count", 10)[0] == 0


def test_train_writes_weights_that_ptq_takes(quant, tmp_path):
    weights = tmp_path / "weights.npz"
    code, out, err = quant("train", "--data", "digits", "--epochs", 1, "--train-count", 40, "--out", weights, "--json")
    assert code == 0, err
    assert set(json.loads(out)) == {"model", "data", "epochs", "accuracy", "seconds", "out"}
    assert quant(*PTQ, "lenet5", "--weights", weights, "--out", tmp_path / "model")[0] == 0


BAD = {
    "unknown model": (("evaluate", "--model", "lenet9"), "lenet9"),
    "unknown data": (("evaluate", "--model", "lenet5-int8", "--data", "cifar"), "cifar"),
    "missing data": (("evaluate", "--model", "lenet5-int8", "--data", "mnist", "--data-dir", "{tmp}"), "fetch it from"),
    "no labels": (("evaluate", "--model", "lenet5-int8", "--data", "{tmp}/plain.npy"), "no labels"),
    "wrong size": (("evaluate", "--model", "lenet5-int8", "--data", "{tmp}/large.npz"), "(28, 28, 1)|28, 28, 1"),
    "float size": (("evaluate", "--model", "lenet5", "--data", "{tmp}/large.npz"), "(28, 28, 1)"),
    "float labels": (("evaluate", "--model", "lenet5", "--data", "{tmp}/plain.npy"), "no labels"),
    "no model": (("ptq", "--out", "{tmp}/out"), "--model"),
    "no output": ((*PTQ, "lenet5"), "--out"),
    "bits": ((*PTQ, "lenet5", "--bits", "3", "--out", "{tmp}/out"), "weight_bits=3 is not supported"),
    "no bits": ((*PTQ, "lenet5", "--weight-bits", "0", "--out", "{tmp}/out"), "weight_bits=0 is not supported"),
    "calibration": (
        (*PTQ, "lenet5", "--calibration", "entropy", "--out", "{tmp}/out"),
        "is not one of 'minmax', 'percentile', 'kl', 'mse'",
    ),
    "rounding": ((*PTQ, "lenet5", "--rounding-rule", "up", "--out", "{tmp}/out"), "half_up"),
    "zoo model": ((*PTQ, "alexnet", "--out", "{tmp}/out"), "choose one of fashion-cnn, lenet5"),
    "weights": ((*PTQ, "lenet5", "--weights", "{tmp}/no.npz", "--out", "{tmp}/out"), "not found"),
    "wrong weights": ((*PTQ, "lenet5", "--weights", "{tmp}/large.npz", "--out", "{tmp}/out"), "lacks conv1.bias"),
    "no factory": ((*PTQ, "{tmp}/net.py:nothing", "--out", "{tmp}/out"), "has no 'nothing'"),
    "unsupported layer": ((*PTQ, "{tmp}/net.py:recurrent", "--out", "{tmp}/out"), "0 (LSTM) is not supported"),
    "groups": ((*PTQ, "{tmp}/net.py:grouped", "--out", "{tmp}/out"), "1 (Conv2d): groups=2"),
    "nan": ((*PTQ, "{tmp}/net.py:broken", "--out", "{tmp}/out"), "weight[0, 0, 0, 0] is nan"),
    "shape": ((*PTQ, "{tmp}/net.py:make", "--input-shape", "1,9,9", "--out", "{tmp}/out"), "(9, 9, 1)"),
    "shape text": ((*PTQ, "{tmp}/net.py:make", "--input-shape", "1,x", "--out", "{tmp}/out"), "numbers"),
    "shape axes": ((*PTQ, "{tmp}/net.py:make", "--input-shape", "1,9", "--out", "{tmp}/out"), "C,H,W"),
    "user's own error": ((*PTQ, "{tmp}/net.py:raising", "--out", "{tmp}/out"), "first line second error line"),
    "mean": ((*PTQ, "lenet5", "--mean", "nan", "--out", "{tmp}/out"), "'nan' is not a list of finite numbers"),
    "means": ((*PTQ, "lenet5", "--mean", "0,0,0", "--out", "{tmp}/out"), "3 values for 1 channel; give one"),
    "infinite std": ((*PTQ, "lenet5", "--std", "1e999", "--out", "{tmp}/out"), "finite numbers"),
    "std": ((*PTQ, "lenet5", "--std", "0", "--out", "{tmp}/out"), "must be positive"),
    "name": ((*PTQ, "lenet5", "--name", "../up", "--out", "{tmp}/out"), "../up"),
    "output is a file": ((*PTQ, "lenet5", "--out", "{tmp}/net.py"), "net.py"),
    "output in a file": ((*PTQ, "lenet5", "--out", "{tmp}/net.py/out"), "net.py"),
    "train output": (("train", "--data", "digits", "--out", "{tmp}/net.py/w.npz"), "another output file"),
    "train type": (("train", "--data", "digits", "--out", "{tmp}/w.pt"), ".npz"),
    "train model": (("train", "--data", "digits", "--model", "lenet6", "--out", "{tmp}/w.npz"), "'lenet6' is unknown"),
    "train labels": (("train", "--data", "{tmp}/plain.npy", "--out", "{tmp}/w.npz"), "no labels"),
    "train classes": (("train", "--data", "{tmp}/classes.npz", "--out", "{tmp}/w.npz"), "labels lie in -1..99"),
    "train size": (("train", "--data", "{tmp}/large.npz", "--out", "{tmp}/w.npz"), "(30, 30, 1)"),
    "other float model": (("compare", "--model", "lenet5-int8", "--float-model", "{tmp}/net.py:make"), "differ"),
    "images from a pipe": (("evaluate", "--model", "lenet5-int8", "--data", "{tmp}/pipe.npy"), "not a regular file"),
    "images from a folder": (("evaluate", "--model", "lenet5-int8", "--data", "{tmp}"), "not a regular file"),
    "accumulator": (
        ("evaluate", "--model", "{tmp}/overflow", "--data", "digits"),
        "fc: the accumulator of channel 0",
    ),
    "compared accumulator": (("compare", "--model", "{tmp}/overflow"), "outside int32"),
    "damaged model": (("evaluate", "--model", "{tmp}/damaged", "--data", "digits"), "the file is truncated or damaged"),
    "compared damage": (("compare", "--model", "{tmp}/damaged"), "the file is truncated or damaged"),
    "count": (("evaluate", "--model", "lenet5-int8", "--count", "0"), "0"),
}


def overflowing_network():
    """A dense layer whose sum leaves int32 for bright images only."""
    source, output = ir.TensorType(28, 28, 1, 8, 1.0, 0), ir.TensorType(1, 1, 10, 32, 1.0, 0)
    weights, bias = np.full((10, 784), 127), np.full(10, 2**31 - 1)
    layer = ir.Dense("fc", "input", source, output, weights, 8, np.ones(10), bias, None)
    return ir.Graph("overflow", source, ir.InputEncoding(), (layer,))


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_with_2_and_one_sentence(quant, user_model, tmp_path, case):
    arguments, message = BAD[case]
    np.save(tmp_path / "plain.npy", np.zeros((2, 28, 28), np.uint8))
    np.savez(tmp_path / "large.npz", images=np.zeros((2, 30, 30), np.uint8), labels=np.zeros(2, int))
    np.savez(tmp_path / "classes.npz", images=np.zeros((2, 28, 28), np.uint8), labels=np.array([-1, 99]))
    os.mkfifo(tmp_path / "pipe.npy")
    model_dir.save(overflowing_network(), tmp_path / "overflow")
    shutil.copytree(tmp_path / "overflow", tmp_path / "damaged")
    os.truncate(tmp_path / "damaged" / "00_fc.bin", 100)
    before = sorted(os.listdir(tmp_path))
    code, out, err = quant(*(part.replace("{tmp}", str(tmp_path)) for part in arguments))
    assert code == 2 and out == ""
    assert any(part in err for part in message.split("|")), err
    assert "Traceback" not in err and len([line for line in err.splitlines() if "rror" in line]) == 1
    assert [name for name in sorted(os.listdir(tmp_path)) if name != "__pycache__"] == before
