"""Warm starts from quantized networks, and the command's checkpoints."""

import json

import numpy as np
import pytest
import torch

from accel import model_dir, reference
from accel.errors import BitloomError, DataError, ModelError, UnsupportedError
from quant.frontend.prepare import prepare
from quant.frontend.read import read_module
from quant.models.loop import Checkpoint
from quant.models.train import to_float
from quant.ptq.options import PtqOptions
from quant.ptq.pipeline import quantize_module
from quant.qat.export import export
from quant.qat.method import Method
from quant.qat.qat_network import QatNetwork, Widths
from quant.qat.start import identity, start_from
from quant.qat.train import QatOptions, train_qat
from tests.quant import nets
from tests.quant.test_qat import MIXED, SHAPE, SIGNS, module, task

RUN = ("qat", "--recipe", "lenet5-w2a2", "--data", "digits", "--epochs", 3, "--norm-order", "pool")


def network(widths, method=None):
    prepared = prepare(read_module(module(), SHAPE, "net"))
    return QatNetwork(prepared, Widths.of(5, *widths), method)


def calibrated(result, images):
    with torch.no_grad():
        result.eval()(to_float(images))
    return result


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("method", [None, Method(scales="step")])
def test_a_start_from_ptq_is_the_network_that_ptq_made(tmp_path, bits, method):
    images = nets.random_images(60, SHAPE)
    graph = quantize_module(module(), images, name="net", options=PtqOptions(weight_bits=bits, activation_bits=bits))
    model_dir.save(graph, tmp_path / "ptq")
    started = network(((bits,), (bits,)), method)
    start_from(started, tmp_path / "ptq")
    found = export(calibrated(started, images), "net")
    for before, after in zip(graph.layers, found.layers, strict=True):
        if before.op == "maxpool":
            continue
        np.testing.assert_array_equal(before.weights, after.weights)
        np.testing.assert_allclose(before.bias, after.bias, atol=1, rtol=1e-5)
        assert before.output.scale == pytest.approx(after.output.scale, rel=1e-6)
    q = reference.encode_input(graph, images)
    logits = [reference.run(one, q)[one.layers[-1].name] * one.output.scale for one in (graph, found)]
    np.testing.assert_allclose(*logits, atol=0.05 * np.abs(logits[0]).max())


def test_other_widths_take_the_weights_and_find_their_own_scales(tmp_path):
    images = nets.random_images(60, SHAPE)
    model_dir.save(quantize_module(module(), images, name="net", options=PtqOptions()), tmp_path / "ptq")
    started, plain = network(((2,), (4,)), Method(batch_norm=True)), network(((2,), (4,)))
    start_from(started, tmp_path / "ptq")
    assert all(layer.activation.is_new() for layer in started.layers[:-1])
    with torch.no_grad():
        outputs = [calibrated(one, images)(to_float(images)) for one in (started, plain)]
    correlation = np.corrcoef(*(values.flatten().numpy() for values in outputs))[0, 1]
    assert correlation > 0.9


def trained(tmp_path, widths, method=None, epochs=2):
    images, labels = task(96)
    result = network(widths, method)
    path = tmp_path / "state.pt"
    train_qat(
        result,
        None,
        to_float(images),
        labels,
        QatOptions(epochs=epochs, batch=32, distill=0.0),
        checkpoint=Checkpoint(path, identity(result)),
    )
    return result, path


@pytest.mark.parametrize(
    ("widths", "method"),
    [
        (MIXED, None),
        (SIGNS, Method(norm_order="pool", clip_latent=True)),
        (((4,), (4,)), Method(batch_norm=True, scales="lsq")),
    ],
)
def test_a_start_from_a_checkpoint_is_the_network_that_was_trained(tmp_path, widths, method):
    before, path = trained(tmp_path, widths, method)
    started = network(widths, method)
    start_from(started, path)
    images = to_float(nets.random_images(50, SHAPE, 4))
    with torch.no_grad():
        torch.testing.assert_close(started.eval()(images), before.eval()(images), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("widths", [(((2,), (2,))), SIGNS, ((8,), (8,))])
def test_checkpoints_of_other_widths_start_a_training(tmp_path, widths):
    before, path = trained(tmp_path, ((8, 4, 4, 1, 8), (4, 4, 1, 4)))
    started = network(widths)
    start_from(started, path)
    if widths[0] != (8, 1, 1, 1, 8):
        assert torch.equal(started.layers[1].weight, before.layers[1].weight)
    assert torch.equal(started.layers[1].weight < 0, before.layers[1].weight < 0)
    scale = before.layers[3].quantizer.scale(before.layers[3].weight)
    if widths[0] in ((2,), (8,)):
        torch.testing.assert_close(started.layers[3].weight.abs(), scale.expand_as(before.layers[3].weight))
    images, labels = task(64)
    train_qat(started, None, to_float(images), labels, QatOptions(epochs=1, batch=32, distill=0.0))


def test_starts_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ModelError, match="lenet5-w4a4: holds layers with weights of 6x1x5x5, "):
        start_from(network(((4,), (4,))), "lenet5-w4a4")
    images = nets.random_images(20, SHAPE)
    model_dir.save(export(calibrated(network(SIGNS), images), "net"), tmp_path / "signs")
    with pytest.raises(UnsupportedError, match="signs: has outputs of 1 bit, .* start from the checkpoint"):
        start_from(network(SIGNS), tmp_path / "signs")
    powers = quantize_module(module(), images, name="net", options=PtqOptions(scales="pow2"))
    model_dir.save(powers, tmp_path / "powers")
    with pytest.raises(UnsupportedError, match="powers: its input has scale 0.00390625 .* quantize it with the scales"):
        start_from(network(((8,), (8,))), tmp_path / "powers")
    _, path = trained(tmp_path, ((8,), (8,)), epochs=1)
    state = torch.load(path, weights_only=True)
    for damage in ({"weight_bits": "many"}, {"weight_bits": [1000] * 4}, {"scales": torch.ones(3)}, {"estimator": 5}):
        torch.save({**state, "identity": {**state["identity"], **damage}}, path)
        with pytest.raises(BitloomError):
            start_from(network(((8,), (8,))), path)
    torch.save({**state, "model": {"a.weight": 5}}, path)
    with pytest.raises(DataError, match="cannot be read as a checkpoint"):
        start_from(network(((8,), (8,))), path)
    del state["identity"]["estimator"]
    torch.save(state, path)
    with pytest.raises(DataError, match="does not say 'estimator'"):
        start_from(network(SIGNS), path)


class Killed(Exception):
    """The process ends."""


@pytest.fixture
def killed_after_an_epoch(monkeypatch):
    """The first checkpoint that is written is the last thing that happens."""
    save = Checkpoint.save

    def save_once(self, training):
        save(self, training)
        if len(training.losses) == 1:
            raise Killed

    monkeypatch.setattr(Checkpoint, "save", save_once)


def test_a_resumed_command_writes_the_same_bytes(quant, tmp_path, monkeypatch, request):
    for folder in ("whole", "parts"):
        (tmp_path / folder).mkdir()

    def command(folder, *more):
        place = tmp_path / folder
        return (
            *RUN,
            "--checkpoint",
            place / "state.pt",
            "--parameters",
            place / "own.npz",
            "--out",
            place / "model",
            *more,
        )

    assert quant(*command("whole"))[0] == 0
    request.getfixturevalue("killed_after_an_epoch")
    with pytest.raises(Killed):
        monkeypatch.setattr("sys.argv", ["quant", *map(str, command("parts"))])
        from quant.cli.main import main

        main(standalone_mode=False)
    monkeypatch.undo()
    monkeypatch.setattr("sys.argv", ["quant"])
    code, text, err = quant(*command("parts", "--resume", "--json"))
    assert code == 0, err
    assert json.loads(text)["epochs"] == 3
    states = [torch.load(tmp_path / folder / "state.pt", weights_only=True)["model"] for folder in ("whole", "parts")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    paths = [tmp_path / "whole" / "own.npz", *(tmp_path / "whole" / "model").iterdir()]
    for path in paths:
        assert path.read_bytes() == (tmp_path / "parts" / path.relative_to(tmp_path / "whole")).read_bytes(), path.name
    code, _, err = quant(*command("parts", "--resume", "--learning-rate", 0.5))
    assert code == 2 and "learning_rate 0.002, not 0.5" in " ".join(err.split())


def test_a_diverging_command_says_so_and_keeps_the_checkpoint(quant, tmp_path):
    state, out = tmp_path / "state.pt", tmp_path / "model"
    code, text, err = quant(
        "qat", "--data", "digits", "--epochs", 4, "--learning-rate", 1e12, "--checkpoint", state, "--out", out
    )
    message = " ".join(err.split())
    assert code == 1 and text == "" and "Traceback" not in err
    assert "error: training diverged in epoch" in message and "lower the learning rate" in message
    assert "state.pt keeps epoch 1, the last good one" in message and state.is_file() and not out.exists()


def test_the_command_starts_from_ptq(quant, tmp_path):
    assert (
        quant(
            "ptq",
            "--model",
            "lenet5",
            "--data",
            "digits",
            "--weight-bits",
            4,
            "--activation-bits",
            4,
            "--out",
            tmp_path / "ptq",
        )[0]
        == 0
    )
    code, text, err = quant(
        "qat",
        "--recipe",
        "lenet5-w4a4",
        "--data",
        "digits",
        "--epochs",
        1,
        "--start",
        tmp_path / "ptq",
        "--scale-learning",
        "lsq",
        "--optimizer",
        "sgd",
        "--out",
        tmp_path / "qat",
        "--json",
    )
    assert code == 0, err
    assert json.loads(text)["accuracy"] > 0.9
