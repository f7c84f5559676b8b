"""What the rounding methods start from: a layer's windows as rows, and scales that move between layers."""

import math
from dataclasses import replace

import pytest
import torch

from accel.errors import DataError, RangeError, UnsupportedError
from quant.frontend import fold
from quant.frontend.floatnet import FloatConv, FloatDense, FloatNetwork, FloatPool
from quant.ptq import layer_data
from quant.ptq.layer_data import LayerData, linear_problem, normal_equations, output_error, target_rows, unfold

RELU = (0.0, math.inf)


def conv_layer(stride=(2, 1), pads=(1, 0, 2, 1), clamp=RELU):
    return FloatConv("conv", torch.randn(4, 3, 3, 2).double(), torch.randn(4).double(), stride, pads, clamp)


def dense_layer():
    return FloatDense("dense", torch.randn(5, 24).double(), torch.randn(5).double(), RELU)


def plain_outputs(layer, x):
    return replace(layer, clamp=(-math.inf, math.inf)).forward(x)


@pytest.mark.parametrize(("layer", "shape"), [(conv_layer, (3, 7, 6)), (dense_layer, (4, 3, 2))])
def test_rows_times_weights_are_the_layers_sums(layer, shape):
    layer = layer()
    x = torch.randn(6, *shape).double()
    sums = unfold(layer, x) @ layer.weight.flatten(1).T + layer.bias
    torch.testing.assert_close(sums, target_rows(plain_outputs(layer, x)))


def test_a_limit_draws_positions_without_repetition():
    layer = conv_layer(pads=(0, 0, 0, 0))
    x = torch.randn(4, 3, 7, 6).double()
    data = LayerData(x, plain_outputs(layer, x))
    rows, targets = linear_problem(layer, data)
    some, wanted = linear_problem(layer, data, limit=17, seed=3)
    assert some.shape == (17, 18) and wanted.shape == (17, 4)
    assert len(torch.unique(some, dim=0)) == 17
    torch.testing.assert_close(some @ layer.weight.flatten(1).T, wanted)
    torch.testing.assert_close(rows @ layer.weight.flatten(1).T, targets)
    assert torch.equal(some, linear_problem(layer, data, limit=17, seed=3)[0])
    assert not torch.equal(some, linear_problem(layer, data, limit=17, seed=4)[0])


@pytest.mark.parametrize("elements", [1, 3000, 1 << 24])
def test_a_few_images_at_a_time_give_the_same(monkeypatch, elements):
    layer, x = conv_layer(), torch.randn(7, 3, 7, 6).double()
    data = LayerData(x * 0.9, plain_outputs(layer, x))
    monkeypatch.setattr(layer_data, "CHUNK_ELEMENTS", elements)
    rows, targets = linear_problem(layer, data)
    assert torch.equal(rows, unfold(layer, data.inputs))
    torch.testing.assert_close(targets, target_rows(data.targets) - layer.bias)
    gram, cross = normal_equations(layer, data)
    torch.testing.assert_close(gram, rows.T @ rows)
    torch.testing.assert_close(cross, rows.T @ targets)
    picked = torch.randperm(len(rows), generator=torch.Generator().manual_seed(2))[:50].sort().values
    assert torch.equal(linear_problem(layer, data, limit=50, seed=2)[0], rows[picked])
    weights = torch.ones_like(layer.weight).long()
    sums = (rows @ weights.flatten(1).double().T + layer.bias).clamp(min=0)
    wanted = (sums - target_rows(data.targets).clamp(min=0)).square().mean()
    assert output_error(layer, weights, torch.ones(4).double(), data) == pytest.approx(float(wanted))


def test_data_of_another_layer_are_refused():
    layer, x = dense_layer(), torch.randn(4, 4, 3, 2).double()
    with pytest.raises(DataError, match="dense: .*pass the data of this layer"):
        linear_problem(layer, LayerData(x, torch.zeros(4, 6, 1, 1).double()))
    with pytest.raises(DataError, match="4 and 3 images"):
        normal_equations(layer, LayerData(x, torch.zeros(3, 5, 1, 1).double()))


def test_the_output_error_sees_the_clamp():
    layer = FloatDense("dense", torch.tensor([[1.0]]).double(), torch.zeros(1).double(), RELU)
    x = torch.tensor([-4.0, 2.0]).double().reshape(2, 1, 1, 1)
    weights, scale = torch.tensor([[3]]), torch.tensor([0.5]).double()
    data = LayerData(x, layer.weight.item() * x)
    assert output_error(layer, weights, scale, data) == (3.0 - 2.0) ** 2 / 2
    assert output_error(replace(layer, clamp=(-math.inf, math.inf)), weights, scale, data) == (4 + 1) / 2


def network():
    """Two convolutions, a padded pool between them, two dense layers; ReLU everywhere but at the end."""
    generator = torch.Generator().manual_seed(3)

    def draw(*shape):
        return torch.randn(*shape, generator=generator).double()

    layers = (
        FloatConv("first", draw(4, 2, 3, 3), draw(4), (1, 1), (1, 1, 1, 1), RELU),
        FloatPool("pool", (2, 2), (2, 2), (0, 1, 0, 1)),
        FloatConv("second", draw(3, 4, 2, 2), draw(3), (1, 1), (0, 0, 0, 0), RELU),
        FloatDense("third", draw(6, 27), draw(6)),
        FloatDense("last", draw(2, 6), draw(2)),
    )
    return FloatNetwork("net", (7, 7, 2), layers)


@pytest.mark.parametrize("index", [0, 2, 3])
def test_moved_scales_keep_the_function_and_scale_the_channels(index):
    before = network()
    factors = torch.rand(len(before.layers[index].weight)).double() * 3 + 0.1
    after = replace(before, layers=fold.move_scale(before.layers, index, factors))
    x = torch.randn(5, 2, 7, 7).double()
    old, new = before.run(x), after.run(x)
    torch.testing.assert_close(new["last"], old["last"])
    name = before.layers[index].name
    torch.testing.assert_close(new[name], old[name] * factors[:, None, None])
    assert not torch.equal(new[name], old[name])


def test_a_scale_that_cannot_move_is_refused_by_name():
    layers = network().layers
    clamped = (replace(layers[0], clamp=(0.0, 6.0)), *layers[1:])
    for chain, index, reason in (
        (clamped, 0, r"first: clamps to \(0.0, 6.0\)"),
        (layers, 1, "pool: has no weights"),
        (layers, 4, "last: has no layer with weights behind it"),
    ):
        with pytest.raises(UnsupportedError, match=reason):
            fold.move_scale(chain, index, torch.ones(4))
    for factors in (torch.ones(3), torch.zeros(4), torch.full((4,), math.nan), torch.full((4,), math.inf)):
        with pytest.raises(RangeError, match="first: scale factors .* 4 positive finite"):
            fold.move_scale(layers, 0, factors)
