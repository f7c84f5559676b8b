"""What ships: the trained LeNet-5, its int8 model and the digits."""

import json

import numpy as np
import pytest

from accel import model_dir, reference
from quant.data import datasets
from quant.frontend.prepare import prepare
from quant.frontend.read import read_module
from quant.models.sources import load_float_model
from quant.models.train import accuracy as float_accuracy
from quant.models.train import to_float
from quant.reference.compare import Comparer
from quant.reference.evaluate import accuracy


@pytest.fixture(scope="module")
def graph():
    return model_dir.load("lenet5-int8")


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


def test_int8_and_float_classify_the_shipped_digits(graph, digits):
    images, labels = digits
    module, _, _ = load_float_model("lenet5")
    assert float_accuracy(module, to_float(images), labels) >= 0.99
    assert accuracy(graph, images, labels) >= 0.99


def test_three_executions_agree_on_the_shipped_digits(graph, digits):
    module, _, _ = load_float_model("lenet5")
    comparer = Comparer(graph, prepare(read_module(module, (28, 28, 1))).network)
    comparer.add(reference.encode_input(graph, digits[0]))
    assert comparer.result.ok
    assert comparer.result.fake_class_changes == 0
    assert max(layer.tie_distance for layer in comparer.result.layers) < 0.01


def test_the_shipped_model_is_what_the_issue_describes(graph):
    assert [layer.name for layer in graph.layers] == ["conv1", "pool1", "conv2", "pool2", "fc1", "fc2", "fc3"]
    assert [layer.output.shape for layer in graph.layers] == [
        (28, 28, 6),
        (14, 14, 6),
        (10, 10, 16),
        (5, 5, 16),
        (1, 1, 120),
        (1, 1, 84),
        (1, 1, 10),
    ]
    assert graph.macs == 416_520
    assert (graph.input.zero_point, graph.encoding.kind, graph.output.bits) == (-128, "uint8", 32)
    assert graph.class_names == tuple("0123456789")
    weighted = [layer for layer in graph.layers if layer.op != "maxpool"]
    assert {layer.requantize.rule for layer in weighted[:-1]} == {"half_up"}
    assert len(set(weighted[0].weight_scale)) == 6 and len(set(weighted[-1].weight_scale)) == 1


def test_every_layer_carries_its_feasibility_figures(graph):
    values = json.loads((model_dir.resolve("lenet5-int8") / "model.json").read_text())
    for layer, written in zip(graph.layers, values["layers"], strict=True):
        assert layer.notes["snr_db"] > 30 and layer.notes["range_coverage"] > 0.999
        assert written["notes"] == layer.notes


def test_the_shipped_integers_are_those_of_the_shipped_floats(graph):
    module, _, _ = load_float_model("lenet5")
    for layer in graph.layers:
        if layer.op == "maxpool":
            continue
        weight = getattr(module, layer.name).weight.detach().double()
        if layer.op == "conv2d":
            weight = weight.permute(0, 2, 3, 1)
        elif layer.name == "fc1":
            weight = weight.reshape(-1, 16, 5, 5).permute(0, 2, 3, 1)
        scale = layer.weight_scale.reshape(-1, *(1,) * (weight.dim() - 1))
        real = layer.weights.reshape(weight.shape) * scale
        step = layer.weight_scale.max()
        assert np.abs(real - weight.numpy()).max() <= step * 0.51


NETWORKS = {
    "lenet5-w8a8": ((8,) * 5, (8,) * 4, 0.99),
    "lenet5-w6a8": ((6,) * 5, (8,) * 4, 0.99),
    "lenet5-w4a8": ((4,) * 5, (8,) * 4, 0.98),
    "lenet5-w4a4": ((4,) * 5, (4,) * 4, 0.98),
    "lenet5-w2a2": ((2,) * 5, (2,) * 4, 0.97),
    "lenet5-w1a1": ((8, 1, 1, 1, 8), (1,) * 4, 0.95),
    "lenet5-mixed": ((8, 4, 2, 1, 6), (4, 2, 1, 8), 0.97),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_every_width(name, digits):
    weight_bits, activation_bits, share = NETWORKS[name]
    graph = model_dir.load(name)
    assert graph.name == name and graph.macs == 416_520
    weighted = [layer for layer in graph.layers if layer.op != "maxpool"]
    assert tuple(layer.weight_bits for layer in weighted) == weight_bits
    assert tuple(layer.output.bits for layer in weighted) == (*activation_bits, 32)
    reference.check_network(graph)
    assert accuracy(graph, *digits) >= share
    comparer = Comparer(graph)
    comparer.add(reference.encode_input(graph, digits[0]))
    assert comparer.result.ok and comparer.result.mismatches == 0


@pytest.mark.parametrize("name", ["lenet5-w8a8", "lenet5-w6a8", "lenet5-w4a8", "lenet5-w4a4"])
def test_weights_of_at_least_four_bits_are_symmetric(name):
    for layer in model_dir.load(name).layers:
        if layer.op != "maxpool":
            assert layer.weights.min() >= -(2 ** (layer.weight_bits - 1) - 1)


def test_the_mixed_network_meets_every_mode():
    weighted = [layer for layer in model_dir.load("lenet5-mixed").layers if layer.op != "maxpool"]
    assert [(layer.weight_bits, layer.input.bits) for layer in weighted] == [(8, 8), (4, 4), (2, 2), (1, 1), (6, 8)]
