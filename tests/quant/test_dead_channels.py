"""Channels without weights, or nearly, as a decayed gamma leaves them, train, quantize and export as others do."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from accel import reference
from quant.data import datasets
from quant.frontend.prepare import prepare
from quant.frontend.read import read_module
from quant.models.sources import load_float_model
from quant.models.train import to_float
from quant.ptq import awq
from quant.ptq.equalize import best_factors, equalize, pair_factors
from quant.ptq.options import LayerWidth, PtqOptions
from quant.ptq.pair_error import PairError
from quant.ptq.pipeline import quantize_module
from quant.qat.export import export
from quant.qat.method import Method
from quant.qat.qat_network import QatNetwork, Widths
from quant.qat.ste import WeightQuantizer
from quant.qat.train import QatOptions, train_qat
from tests.quant import nets
from tests.quant.test_qat import integers_of

SHAPE = (10, 9, 1)
GAMMAS = (0.0, 1e-40, -1e-12, 1e-5)
METHODS = {
    "W4A4": ((4,), (4,), Method()),
    "W2A2": ((2,), (2,), Method()),
    "W6A8": ((6,), (8,), Method()),
    "LSQ": ((8,), (8,), Method(scales="lsq")),
    "PACT": ((4,), (4,), Method(scales="pact")),
    "W1A8": ((1,), (8,), Method()),
    "signs": ((8, 1, 8), (1,), Method()),
    "batch norm": ((4,), (8,), Method(batch_norm=True)),
}


def network(gamma, beta, channels=(0, 2)):
    """Two convolutions and a dense layer; `channels` of the first convolution are dead."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 5, 3),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.Conv2d(5, 4, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(24, 3),
    ).eval()
    with torch.no_grad():
        net[1].weight[list(channels)], net[1].bias[list(channels)] = gamma, beta
    return net


@pytest.mark.parametrize("beta", [0.5, 0.0, -40.0])
@pytest.mark.parametrize("name", METHODS)
def test_they_train_at_every_width_and_the_export_computes_the_same(name, beta):
    images = nets.random_images(32, SHAPE)
    weight_bits, activation_bits, method = METHODS[name]
    for channels, gamma in [((0, 2), gamma) for gamma in GAMMAS] + [(range(5), 0.0)]:
        own = network(gamma, beta, channels)
        trained = QatNetwork(prepare(read_module(own, SHAPE)), Widths.of(3, weight_bits, activation_bits), method)
        train_qat(
            trained, None, to_float(images), np.arange(32) % 3, QatOptions(epochs=1, batch=16, augment=0.0, distill=0.0)
        )
        graph = export(trained, "net")
        wanted = reference.run(graph, reference.encode_input(graph, images))
        actual, logits = integers_of(trained, images)
        own_steps = actual[graph.layers[0].name]
        assert (own_steps != wanted[graph.layers[0].name]).mean() < 0.01, gamma
        last = wanted[graph.layers[-1].name].reshape(32, -1) * graph.output.scale
        close = np.isclose(last, logits, atol=1e-3 * max(1, np.abs(logits).max())).all(axis=1)
        assert close.mean() > 0.7, gamma  # the others hold a rounding tie


@pytest.mark.parametrize("bits", [8, 6, 4, 2])
def test_their_scale_is_that_of_the_other_channels(bits):
    torch.manual_seed(1)
    weight = torch.randn(4, 6)
    alive = WeightQuantizer(weight[1:], bits, per_tensor=False).scale(weight[1:]).flatten()
    for value in (0.0, 1e-40, 1e-9):
        weight[0] = value
        scale = WeightQuantizer(weight, bits, per_tensor=False).scale(weight).flatten()
        assert torch.equal(scale[1:], alive) and scale[0] == alive.max()
    nothing = torch.zeros(4, 6)
    assert (WeightQuantizer(nothing, bits, per_tensor=False).scale(nothing) > 0).all()


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")[0]


def lenet(layer, gamma, bias):
    """The trained LeNet-5 with two channels of a layer that have lost their weights."""
    module = load_float_model("lenet5")[0]
    with torch.no_grad():
        getattr(module, layer).weight[[0, 3]] *= gamma
        getattr(module, layer).bias[[0, 3]] = bias
    return module


def agreement(module, images, **options):
    """Share of images that the integer network classifies as the float one, and the logits' SNR in dB."""
    graph = quantize_module(module, images, options=PtqOptions(layer_images=20, **options))
    with torch.no_grad():
        wanted = module(to_float(images)).argmax(1).numpy()
    same = reference.classify(graph, reference.encode_input(graph, images)) == wanted
    return same.mean(), graph.layers[-1].notes["snr_db"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight_bits": 4, "activation_bits": 4},
        {"granularity": "tensor", "bias_correction": True},
        {"weight_bits": 4, "weight_rounding": "gptq"},
    ],
    ids=str,
)
def test_equalization_does_no_harm(digits, options):
    for layer, gamma, bias in (("conv1", 1e-12, 0.5), ("conv2", 1e-2, 1.0), ("conv1", 1e-12, -5.0)):
        module = lenet(layer, gamma, bias)
        plain, equal = (agreement(module, digits[:40], equalize=on, **options) for on in (False, True))
        assert equal[0] >= plain[0] - 0.06 and equal[1] >= plain[1] - 3, (layer, gamma, bias, plain, equal)


def test_factors_are_bounded_and_lowered_where_they_would_lose():
    images = nets.random_images(20, SHAPE)
    prepared = prepare(read_module(network(1e-12, 0.5), SHAPE))
    x, widths = prepared.input_values(images), [LayerWidth(8, 8), LayerWidth(8, 8), LayerWidth(8, None)]
    first, second = prepared.network.layers[:2]
    factors = pair_factors(first, second)
    error = PairError((first, second), x, *widths[:2], full_range=False, per_tensor=False)
    chosen = best_factors(factors, error)
    assert error(chosen) <= error(torch.ones(5).double()) < error(factors) / 4
    equal = equalize(prepared.network, x, widths)
    before, after = (list(net.run(x).values()) for net in (prepared.network, equal))
    torch.testing.assert_close(after[-1], before[-1])
    assert after[0].max() < 100 * before[0].max()
    free = equalize(replace(prepared.network, layers=(first, second)), x, [LayerWidth(8, 8)] * 2)
    found = free.layers[0].weight.flatten(1).abs().amax(1) / first.weight.flatten(1).abs().amax(1)
    assert found.max() / found.min() < 2**16


OPTIONS = (
    {},
    {"weight_bits": 1},
    {"weight_levels": "khot2"},
    {"weight_bits": 4, "weight_levels": "pow2", "scales": "pow2"},
    {"requantizer": "pow2"},
    {"rule": "gemmlowp"},
    {"weight_bits": 4, "weight_calibration": "mse", "calibration": "mse"},
    {"weight_bits": 4, "weight_rounding": "awq"},
    {"weight_bits": 4, "weight_rounding": "gptq", "bias_correction": True},
    {"weight_calibration": "kl", "calibration": "percentile", "percentile": 95.0},
)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_their_outputs_are_their_biases_at_every_option(options):
    images = nets.random_images(24, SHAPE)
    for gamma in (0.0, 1e-40, 1e-12):
        for beta in (0.0, 0.7, -20.0):
            graph = quantize_module(network(gamma, beta), images, options=PtqOptions(layer_images=8, **options))
            layer = graph.layers[0]
            found = reference.run(graph, reference.encode_input(graph, images))[layer.name][..., [0, 2]]
            real = (found - layer.output.zero_point) * layer.output.scale
            top = (layer.requantize.qmax - layer.output.zero_point) * layer.output.scale
            assert np.abs(real - min(max(beta, 0.0), top)).max() <= 0.51 * layer.output.scale, (gamma, beta)


def test_a_channel_of_zeros_beside_tiny_weights_has_a_multiplier():
    net = network(0.0, 0.0)
    with torch.no_grad():
        net[1].weight *= 1e-12
    graph = quantize_module(net, nets.random_images(8, SHAPE))
    assert graph.layers[0].weight_scale[0] == graph.layers[0].weight_scale.max() < 1e-10


@pytest.mark.parametrize("per_tensor", [False, True])
def test_awq_leaves_channels_that_are_never_on(per_tensor):
    images = nets.random_images(24, SHAPE)
    prepared = prepare(read_module(network(1.0, -50.0), SHAPE))
    x = prepared.input_values(images)
    inputs = prepared.network.layers[0].forward(x)
    assert not inputs[:, [0, 2]].any()
    factors = awq.best_factors(prepared.network.layers[1], inputs, 4, per_tensor=per_tensor)
    others = factors[[1, 3, 4]]
    assert others.min() <= factors[0] == factors[2] <= others.max()
    nothing = awq.best_factors(prepared.network.layers[1], torch.zeros_like(inputs), 4)
    assert torch.equal(nothing, torch.ones(5).double())
