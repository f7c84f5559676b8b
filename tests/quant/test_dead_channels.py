"""Channels without weights, or nearly, as a decayed gamma leaves them, train, quantize and export as others do."""

import numpy as np
import pytest
import torch
from torch import nn

from accel import reference
from quant.frontend.prepare import prepare
from quant.frontend.read import read_module
from quant.models.train import to_float
from quant.qat.export import export
from quant.qat.method import Method
from quant.qat.network import QatNetwork, Widths
from quant.qat.ste import WeightQuantizer
from quant.qat.train import QatOptions, train_qat
from tests.quant import nets
from tests.quant.test_qat import integers_of

SHAPE = (10, 9, 1)
GAMMAS = (0.0, 1e-40, -1e-12, 1e-5)
METHODS = {"W4A4": ((4,), (4,), Method()), "W2A2": ((2,), (2,), Method()), "W6A8": ((6,), (8,), Method()),
           "LSQ": ((8,), (8,), Method(scales="lsq")), "PACT": ((4,), (4,), Method(scales="pact")),
           "W1A8": ((1,), (8,), Method()), "signs": ((8, 1, 8), (1,), Method()),
           "batch norm": ((4,), (8,), Method(batch_norm=True))}


def network(gamma, beta, channels=(0, 2)):
    """Two convolutions and a dense layer; `channels` of the first convolution are dead."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 4, 3), nn.ReLU(),
                        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24, 3)).eval()
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
        train_qat(trained, None, to_float(images), np.arange(32) % 3,
                  QatOptions(epochs=1, batch=16, augment=0.0, distill=0.0))
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
