"""AWQ keeps the real function, finds the best point of its grid and refuses where scales cannot move."""

import math
from dataclasses import replace

import pytest
import torch

from accel.errors import ModelError, UnsupportedError
from quant.frontend.floatnet import FloatConv, FloatDense, FloatNetwork, FloatPool
from quant.ptq import awq

RELU = (0.0, math.inf)


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def network():
    """The channels of the first layer's output differ in size by a factor of 50, their weights do not."""
    size = torch.logspace(-0.7, 1, 6).double()
    layers = (
        FloatConv("first", draw(0, 6, 2, 3, 3) * size[:, None, None, None], draw(1, 6) * size, clamp=RELU),
        FloatPool("pool", (2, 2), (2, 2)),
        FloatConv("second", draw(2, 4, 6, 2, 2), draw(3, 4), (1, 1), (1, 0, 0, 1), clamp=RELU),
        FloatDense("third", draw(4, 5, 36), draw(5, 5), clamp=RELU),
        FloatDense("last", draw(6, 3, 5), draw(7, 3)),
    )
    return FloatNetwork("net", (8, 8, 2), layers)


def with_rounded_weights(net, name, bits):
    """The network with one layer's weights rounded to nearest."""
    layers = [
        replace(layer, weight=awq.rounded(layer.weight.flatten(1), bits).reshape(layer.weight.shape))
        if layer.name == name
        else layer
        for layer in net.layers
    ]
    return replace(net, layers=tuple(layers))


def test_the_real_function_stays():
    net, x = network(), draw(9, 20, 2, 8, 8)
    scaled = awq.scale_inputs(net, x, 4)
    torch.testing.assert_close(scaled.run(x)["last"], net.run(x)["last"])
    assert [layer.name for layer in scaled.layers] == [layer.name for layer in net.layers]
    assert not torch.equal(scaled.layers[2].weight, net.layers[2].weight)


def test_rounded_weights_never_lose_more_and_mostly_less():
    net, x = network(), draw(9, 50, 2, 8, 8)
    net = replace(net, layers=net.layers[:3])
    ratios = []
    for bits in (2, 3, 4, 5):
        scaled = awq.scale_inputs(net, x, bits)
        errors = [
            float(
                (with_rounded_weights(candidate, "second", bits).run(x)["second"] - net.run(x)["second"]).square().sum()
            )
            for candidate in (scaled, net)
        ]
        ratios.append(errors[0] / errors[1])
    assert max(ratios) <= 1 + 1e-9 and sum(ratios) < 0.9 * len(ratios), ratios


@pytest.mark.parametrize("activation_bits", [None, 8, 4])
@pytest.mark.parametrize("kind", ["conv", "dense"])
def test_the_factors_are_the_best_of_the_grid(kind, activation_bits):
    size = torch.logspace(-1, 1, 5).double()
    x = draw(0, 30, 5, 4, 4).abs() * size[:, None, None]
    if kind == "conv":
        layer = FloatConv("conv", draw(1, 3, 5, 2, 2), draw(2, 3))
    else:
        layer = FloatDense("dense", draw(1, 3, 80), draw(2, 3))

    def error(factors):
        """By the layers' own forward: the weights times the factors, the inputs divided by them."""
        shape = (1, -1, 1, 1) if kind == "conv" else (1, 1, 1, -1)
        weight = layer.weight if kind == "conv" else layer.weight.reshape(3, 4, 4, 5)
        scaled = (weight * factors.reshape(shape)).flatten(1)
        given = x / factors[:, None, None]
        if activation_bits is not None:
            low, high = min(float(given.min()), 0.0), float(given.max())
            step = (high - low) / (2**activation_bits - 1)
            given = torch.round(given / step) * step
        quantized = replace(layer, weight=awq.rounded(scaled, 3).reshape(layer.weight.shape))
        return float((quantized.forward(given) - layer.forward(x)).square().sum())

    found = awq.best_factors(layer, x, 3, activation_bits)
    mean = x.abs().mean((0, 2, 3))
    errors = []
    for alpha in awq.GRID:
        factors = mean**alpha
        errors.append(error(factors / (factors.max() * factors.min()).sqrt()))
    assert error(found) == pytest.approx(min(errors), rel=1e-3)
    assert found.max() * found.min() == pytest.approx(1)
    if activation_bits != 4:
        assert error(found) < errors[0]


def test_a_last_layer_of_raw_sums_is_searched_with_one_scale():
    net, x = network(), draw(9, 50, 2, 8, 8)
    size = torch.tensor([1.0, 0.2, 8.0]).double()[:, None]  # one channel's weights set the scale of all
    net = replace(net, layers=(*net.layers[:4], replace(net.layers[4], weight=net.layers[4].weight * size)))
    inputs = net.run(x)["third"]
    scaled = awq.scale_inputs(net, x, 3)
    moved = scaled.layers[4].weight / net.layers[4].weight
    for per_tensor, same in ((True, True), (False, False)):
        found = awq.best_factors(net.layers[4], inputs, 3, per_tensor=per_tensor)
        assert torch.allclose(moved[0], found) == same
    clamped = replace(net, layers=(*net.layers[:4], replace(net.layers[4], clamp=RELU)))
    moved = awq.scale_inputs(clamped, x, 3).layers[4].weight / net.layers[4].weight
    torch.testing.assert_close(moved[0], awq.best_factors(clamped.layers[4], inputs, 3))
    moved = awq.scale_inputs(clamped, x, 3, per_tensor=True).layers[4].weight / net.layers[4].weight
    torch.testing.assert_close(moved[0], awq.best_factors(clamped.layers[4], inputs, 3, per_tensor=True))


def test_equal_channels_stay_as_they_are():
    x = draw(0, 1, 1, 4, 4).abs().expand(3, 5, 4, 4)
    found = awq.best_factors(FloatConv("conv", draw(1, 3, 5, 2, 2), draw(2, 3)), x, 4)
    torch.testing.assert_close(found, torch.ones(5).double())


def test_a_channel_that_is_always_zero_gets_a_finite_factor():
    net, x = network(), draw(9, 20, 2, 8, 8)
    dead = replace(net.layers[0], weight=net.layers[0].weight.clone(), bias=net.layers[0].bias.clone())
    dead.weight[2], dead.bias[2] = 0, -1
    net = replace(net, layers=(dead, *net.layers[1:]))
    scaled = awq.scale_inputs(net, x, 4)
    assert all(torch.isfinite(layer.weight).all() for layer in scaled.layers if hasattr(layer, "weight"))
    torch.testing.assert_close(scaled.run(x)["last"], net.run(x)["last"])


def test_what_cannot_be_folded_is_refused_by_name():
    net, x = network(), draw(9, 4, 2, 8, 8)
    clamped = replace(
        net, layers=(net.layers[0], net.layers[1], replace(net.layers[2], clamp=(0.0, 6.0)), *net.layers[3:])
    )
    with pytest.raises(UnsupportedError, match=r"third: .* as second clamps to \(0.0, 6.0\).*; use another rounding"):
        awq.scale_inputs(clamped, x, 4)
    with pytest.raises(ModelError, match="bits .* has 2 values for 4 layers"):
        awq.scale_inputs(net, x, [4, 4])


def test_bits_may_differ_by_layer_and_signs_are_left_alone():
    net, x = network(), draw(9, 20, 2, 8, 8)
    scaled = awq.scale_inputs(net, x, [8, 4, 1, 1])
    assert torch.equal(scaled.layers[-1].weight, net.layers[-1].weight)
    assert not torch.equal(scaled.layers[2].weight, net.layers[2].weight)
