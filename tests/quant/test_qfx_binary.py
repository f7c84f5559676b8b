"""LeNet-5 with 1-bit weights and element-wise layers: what it trains is what the exported graph computes."""

import numpy as np
import pytest
import torch

from accel import reference
from quant.arithmetic.multipliers import hot_bits
from quant.data import datasets
from quant.models.sources import load_float_model
from quant.models.train import to_float
from quant.qfx.binary import MULTIPLIER_BITS, binary_lenet5, trained_graph
from quant.qfx.export import export
from quant.reference.integer import IntegerNetwork

OPTIONS = {"epochs": 1, "learning_rate": 5e-3, "augment": 0.0, "seed": 3}


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


@pytest.mark.parametrize("hot", [None, 2])
def test_the_graph_computes_what_the_network_does(digits, hot):
    images = digits[0][:40]
    network = binary_lenet5(load_float_model("lenet5")[0], hot)
    with torch.no_grad():
        network.train()(to_float(images))
        network.eval().double()
        logits = network(to_float(images).double()).numpy()
    graph = export(network, "net", (28, 28, 1), requantizer="full" if hot is None else "khot2")
    q = reference.encode_input(graph, images)
    found, last = reference.run(graph, q), graph.layers[-1]
    np.testing.assert_array_equal(found[last.name].reshape(len(images), -1) * last.output.scale, logits)
    for name, values in IntegerNetwork(graph).run(q).items():
        np.testing.assert_array_equal(found[name], values.numpy())


@pytest.mark.parametrize(("hot", "most"), [(None, MULTIPLIER_BITS), (2, 2)])
def test_multipliers_have_few_one_bits_and_inner_weights_one_bit(digits, hot, most):
    graph = trained_graph((digits[0][:32], digits[1][:32]), hot=hot, options=OPTIONS)
    weighted = [layer for layer in graph.layers if layer.op != "maxpool"]
    assert [layer.weight_bits for layer in weighted] == [8, 1, 1, 1, 8]
    assert [layer.output.bits for layer in weighted] == [4, 4, 4, 4, 32]
    counts = [hot_bits(number) for layer in weighted[:-1] for number in layer.requantize.multiplier]
    assert max(counts) <= most and (hot is not None or max(counts) > 2)


def test_training_is_repeatable(digits):
    first, second = [trained_graph((digits[0][:32], digits[1][:32]), hot=2, options=OPTIONS) for _ in range(2)]
    for one, other in zip(first.layers, second.layers, strict=True):
        if one.op != "maxpool":
            np.testing.assert_array_equal(one.weights, other.weights)
            np.testing.assert_array_equal(
                one.requantize.multiplier if one.requantize else one.bias,
                other.requantize.multiplier if other.requantize else other.bias,
            )
