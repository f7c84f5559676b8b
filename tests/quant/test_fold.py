"""Folding in float64 keeps the function: batch norm, input mean and deviation."""

import pytest
import torch
from torch import nn

from accel.errors import RangeError, UnsupportedError
from quant.frontend import fold
from quant.frontend.floatnet import FloatConv, FloatNetwork, FloatPool
from quant.frontend.prepare import prepare
from quant.frontend.read import read_module
from tests.quant import nets


def outputs(network, x):
    return list(network.run(x).values())[-1]


def test_scale_outputs_equals_batch_norm():
    conv, norm = nn.Conv2d(2, 3, 2).double(), nets.randomize(nn.BatchNorm2d(3).double())
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    layer = fold.scale_outputs(
        FloatConv("conv", conv.weight.detach(), conv.bias.detach()), scale, norm.bias - norm.running_mean * scale
    )
    x = torch.randn(2, 2, 5, 4).double()
    torch.testing.assert_close(layer.forward(x), norm(conv(x)))


def test_gamma_zero_folds_to_the_constant_beta():
    module = nets.randomize(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)))
    module[1].weight.data.zero_()
    network = read_module(module, (4, 4, 1))
    assert torch.equal(network.layers[0].weight, torch.zeros(2, 1, 3, 3).double())
    torch.testing.assert_close(network.layers[0].bias, module[1].bias.double())


def as_user_sees(images, mean, std):
    x = torch.from_numpy(images).permute(0, 3, 1, 2).double() / 255
    return (x - torch.tensor(mean).double().reshape(-1, 1, 1)) / torch.tensor(std).double().reshape(-1, 1, 1)


COLOUR = (0.49, 0.48, 0.41), (0.25, 0.24, 0.26)
# module, (H, W, C), mean, std, layers afterwards, tolerance on padded borders
NORMALIZED = {
    "one mean, padded": (nn.Conv2d(1, 4, 3, padding=1), (6, 5, 1), (0.1307,), (0.3081,), 1, 2e-2),
    "exact mean, padded": (nn.Conv2d(1, 4, 3, padding=1), (6, 5, 1), (0.2,), (0.5,), 1, 1e-6),
    "three means, not padded": (nn.Conv2d(3, 4, 3), (6, 5, 3), *COLOUR, 1, 1e-6),
    "three means, padded": (nn.Conv2d(3, 4, 3, padding=1), (6, 5, 3), *COLOUR, 2, 1e-6),
    "dense": (nn.Sequential(nn.Flatten(), nn.Linear(24, 5)), (2, 4, 3), *COLOUR, 1, 1e-6),
    "mean outside 0..1": (nn.Conv2d(1, 4, 3, padding=1), (6, 5, 1), (-0.5,), (2.0,), 2, 1e-6),
    "nothing to fold": (nn.Conv2d(1, 4, 3, padding=1), (6, 5, 1), (0.0,), (1.0,), 1, 1e-6),
}


@pytest.mark.parametrize("case", NORMALIZED)
def test_input_normalization_folds_into_the_first_layer(case):
    module, shape, mean, std, layers, tolerance = NORMALIZED[case]
    network = read_module(module, shape)
    prepared = prepare(network, mean, std)
    assert len(prepared.network.layers) == layers
    images = nets.random_images(4, shape)
    expected = outputs(network, as_user_sees(images, mean, std))
    actual = outputs(prepared.network, prepared.input_values(images))
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)
    inside = slice(1, -1) if actual.shape[-1] > 2 else slice(None)
    torch.testing.assert_close(actual[..., inside, inside], expected[..., inside, inside], rtol=0, atol=1e-5)


def test_a_pool_in_front_keeps_its_input_normalized():
    network = FloatNetwork("net", (4, 4, 1), (FloatPool("pool", (2, 2), (2, 2)),))
    prepared = prepare(network, (0.3,), (0.5,))
    assert [layer.name for layer in prepared.network.layers] == ["normalize", "pool"]
    images = nets.random_images(2, (4, 4, 1))
    expected = outputs(network, as_user_sees(images, (0.3,), (0.5,)))
    actual = outputs(prepared.network, prepared.input_values(images))
    torch.testing.assert_close(actual, expected, atol=1e-6, rtol=0)
    assert prepare(network).network.layers == network.layers


def test_zero_mean_gives_the_plain_input_type():
    assert prepare(read_module(nn.Conv2d(1, 1, 1), (2, 2, 1))).zero_point == -128


@pytest.mark.parametrize(
    ("mean", "std", "error"),
    [
        ((0.1, 0.2), (1.0,), UnsupportedError),
        ((0.0,), (0.0,), RangeError),
        ((0.0,), (float("nan"),), RangeError),
    ],
)
def test_refuses_a_normalization_that_does_not_fit(mean, std, error):
    with pytest.raises(error):
        prepare(read_module(nn.Conv2d(1, 1, 1), (2, 2, 1)), mean, std)
