"""Fixed-point layers: swapped into a float model, gradients, learned binary points, K-hot element-wise layers."""

import copy
import math

import pytest
import torch
from torch import nn

from accel.errors import ModelError, RangeError, UnsupportedError
from quant.qfx.elementwise import FixedBatchNorm, FixedElementwise
from quant.qfx.format import FixedFormat
from quant.qfx.layers import FixedConv2d, FixedInput, FixedLinear, binary_points, given
from quant.qfx.ops import FixedTensor
from quant.qfx.quantizer import FixedQuantizer, SignQuantizer, best_integer_bits
from tests.quant import nets


def float_net():
    torch.manual_seed(2)
    return nets.randomize(
        nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 3))
    ).double()


def images(count=6, seed=1):
    return torch.randn(count, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def swapped(net, **options):
    """The one line of the documentation."""
    net = copy.deepcopy(net)
    net[1] = FixedBatchNorm.of(net[1], **options)
    return net


@pytest.mark.parametrize("training", [True, False])
def test_a_swapped_batch_norm_has_values_and_gradients_of_the_float_one(training):
    net = float_net().train(training)
    fixed = swapped(net, width=40, input_width=40).train(training)
    results = []
    for model in (net, fixed):
        x = images().requires_grad_()
        loss = model(x).square().mean()
        loss.backward()
        results.append(
            (
                loss,
                x.grad,
                model[1].weight.grad,
                model[1].bias.grad,
                model[0].weight.grad,
                model[1].running_mean,
                model[1].running_var,
            )
        )
    for wanted, found in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-7)


def test_gradients_of_a_fixed_batch_norm_pass_gradcheck():
    """Words so long that rounding is below the finite difference: the function is smooth to gradcheck."""
    layer = FixedBatchNorm(3, width=40, input_width=40).double()
    layer(images()[:, :1].expand(-1, 3, -1, -1))

    def function(x, weight, bias):
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    x = torch.randn(4, 3, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([0.7, -1.2, 0.4], dtype=torch.float64, requires_grad=True)
    bias = torch.tensor([0.1, 0.0, -0.9], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, (x, weight, bias), eps=1e-4, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("hot", [None, 2])
def test_a_fixed_batch_norm_is_add_then_multiply_of_fixed_point_words(hot):
    norm = nets.randomize(nn.BatchNorm2d(5)).double()
    layer = FixedBatchNorm.of(norm, width=8, input_width=10, hot=hot, output_width=9).eval()
    x = torch.randn(3, 5, 4, 4, dtype=torch.float64)
    y = layer(x)
    scale, offset = layer.coefficients()
    cast = FixedTensor.of(x, layer.input.format)
    step = layer.input.format.step
    grid = FixedFormat(30, 30 - layer.input.format.fraction_bits)
    offset = FixedTensor(torch.floor(offset / step + 0.5).reshape(1, -1, 1, 1) * step, grid)
    product = (cast + offset) * FixedTensor(scale.reshape(1, -1, 1, 1), layer.scales.format)
    assert torch.equal(y, product.cast(layer.output.format).values)
    if hot:
        integers = (scale / layer.scales.format.step).abs().long().tolist()
        assert all(1 <= value.bit_count() <= hot for value in integers)


def test_a_batch_norm_whose_multiplier_rounds_to_zero_stays_finite():
    norm = nn.BatchNorm1d(3)
    norm.weight.data = torch.tensor([1.0, 0.0, -1e-9])
    norm.bias.data = torch.tensor([0.5, 0.25, 0.25])
    layer = FixedBatchNorm.of(norm, width=8).eval()
    y = layer(torch.randn(4, 3))
    assert torch.isfinite(y).all()
    scale, _ = layer.coefficients()
    assert (scale != 0).all() and scale[2] < 0


def test_wide_layers_compute_what_the_float_layers_compute():
    net = float_net()
    conv = FixedConv2d.of(net[0].float(), weight_width=20, input_width=20).double()
    linear = FixedLinear.of(net[4].float(), weight_width=20, input_width=20, per_channel=True).double()
    net = net.double()
    x = images()
    torch.testing.assert_close(conv(x), net[0](x), rtol=0, atol=1e-3)
    flat = torch.randn(5, 64, dtype=torch.float64)
    torch.testing.assert_close(linear(flat), net[4](flat), rtol=0, atol=1e-3)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("weight_width", [1, 3, 5, 8])
def test_sums_lie_on_the_grid_of_the_sums(weight_width, per_channel):
    conv = FixedConv2d.of(
        nn.Conv2d(2, 4, 3, padding=1), weight_width=weight_width, input_width=6, per_channel=per_channel
    ).double()
    y = conv(images())
    steps = y / conv.sum_step().reshape(1, -1, 1, 1)
    assert torch.equal(steps, torch.round(steps)) and torch.unique(steps).numel() > 20
    weights = conv.weights.integers(conv.weight)
    high = max((1 << (weight_width - 1)) - 1, 1)
    assert -high <= weights.min() and weights.max() <= high


def test_the_first_tensor_sets_the_point_with_the_least_error():
    x = torch.randn(4000, generator=torch.Generator().manual_seed(5)).double()
    for width in (3, 4, 6):
        quantizer = FixedQuantizer(width).double()
        quantizer(x)
        errors = {}
        for bits in range(-4, 6):
            form = FixedFormat(width, bits, "AP_RND", "AP_SAT")
            errors[bits] = sum((form.nearest(value) - value) ** 2 for value in x.tolist())
        assert quantizer.format.integer_bits == min(errors, key=errors.get)
        widest = FixedQuantizer(width, start="max").double()
        widest(x)
        assert widest.format.range[0] - widest.format.step / 2 <= x.min()
        assert x.max() < widest.format.range[1] + widest.format.step / 2


def test_signs_are_decided_by_the_first_tensor():
    quantizer = FixedQuantizer(4, signed=None)
    assert quantizer.signed is None
    quantizer(torch.rand(10))
    assert quantizer.signed is False
    assert quantizer(torch.tensor([-3.0])).tolist() == [0]
    restored = FixedQuantizer(4, signed=None)
    restored.load_state_dict(quantizer.state_dict())
    assert restored.format == quantizer.format


@pytest.mark.parametrize(("start", "spread"), [(5, 0.5), (-4, 4.0)])
def test_training_moves_the_binary_point_to_where_the_error_is_least(start, spread):
    """A wrong start, above and below: the mean squared error alone pulls the point to the best place, or beside it."""
    x = torch.randn(2000, generator=torch.Generator().manual_seed(6)) * spread
    quantizer = FixedQuantizer(4, start, rate=10.0)
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=1e-2)
    before = (quantizer(x) - x).square().mean().item()
    for _ in range(150):
        optimizer.zero_grad()
        (quantizer(x) - x).square().mean().backward()
        optimizer.step()
    best = best_integer_bits(x.double(), quantizer.form())
    assert abs(quantizer.format.integer_bits - best) <= 1
    assert (quantizer(x) - x).square().mean().item() < before / 4


def test_a_given_type_is_not_learned():
    quantizer = given("ap_fixed<8,2,AP_TRN,AP_SAT>")
    assert not quantizer.point.requires_grad
    assert str(quantizer.format) == "ap_fixed<8,2,AP_TRN,AP_SAT>"
    assert float(quantizer(torch.tensor(0.3508980572))) == 0.34375


def test_the_first_layer_reads_the_image_without_a_second_cast():
    pixels = FixedInput(zero_level=10)
    conv = FixedConv2d(1, 2, 3).reads(pixels)
    grey = torch.arange(256).reshape(1, 1, 16, 16).float()
    assert torch.equal(pixels(grey / 255) * 256, grey - 10)
    assert conv.input_step() == 1 / 256
    with pytest.raises(ModelError, match="reads"):
        FixedConv2d(1, 2, 3, input_width=None)(grey)


def test_sign_inputs_are_padded_with_minus_one():
    conv = FixedConv2d(1, 1, 3, padding=1, bias=False, weight_width=1, input_width=1)
    conv.weight.data.fill_(0.5)
    conv.weights.point.data.fill_(0.0)
    conv.weights.started.fill_(True)
    assert conv(torch.ones(1, 1, 3, 3))[0, 0, 0, 0] == 4 - 5


def test_a_two_hot_element_wise_layer_in_a_binary_network_learns():
    """Binary convolution, 2-hot multipliers behind it: the loss falls, all multipliers stay sums of two powers."""
    torch.manual_seed(3)
    conv = FixedConv2d(1, 8, 3, weight_width=1, input_width=2)
    net = nn.Sequential(
        conv,
        FixedElementwise(8, hot=2, behind=conv),
        nn.ReLU(),
        nn.Flatten(),
        FixedLinear(8 * 16, 2, weight_width=1, input_width=4),
    )
    x = torch.rand(200, 1, 6, 6)
    labels = (x[:, :, :3].sum((1, 2, 3)) > x[:, :, 3:].sum((1, 2, 3))).long()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = nn.functional.cross_entropy(net(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert min(losses[-5:]) < 0.7 * losses[0]
    scale, _ = net[1].coefficients()
    integers = (scale / net[1].scales.format.step).abs().long().tolist()
    assert len(set(integers)) > 1 and all(value.bit_count() <= 2 for value in integers)


def test_an_element_wise_layer_takes_over_a_batch_norm():
    norm = nets.randomize(nn.BatchNorm2d(4))
    layer = FixedElementwise.of(norm, width=20, hot=None, input_width=22)
    x = torch.randn(2, 4, 3, 3)
    torch.testing.assert_close(layer(x), norm(x), rtol=1e-3, atol=1e-3)
    norm.weight.data[1] = 0
    with pytest.raises(ModelError, match="gamma 0"):
        FixedElementwise.of(norm)


def test_binary_points_are_told_by_name():
    net = nn.Sequential(FixedConv2d(2, 3, 3, per_channel=True), nn.ReLU(), FixedConv2d(3, 2, 3, weight_width=1))
    assert binary_points(net) == {}
    net(torch.rand(2, 2, 8, 8))
    found = binary_points(net)
    assert len(found["0.weights"]) == 3 and found["0.input"].startswith("ap_ufixed<8,")
    assert math.log2(float(net[2].weights.step())) == FixedFormat.parse(found["2.weights"]).integer_bits - 2
    assert "ap_ufixed<8," in repr(net)


def test_what_the_layers_do_not_take_is_named():
    with pytest.raises(UnsupportedError, match="groups 1"):
        FixedConv2d.of(nn.Conv2d(2, 2, 3, groups=2))
    with pytest.raises(UnsupportedError, match="start 'best'"):
        FixedQuantizer(8, start="best")
    with pytest.raises(UnsupportedError, match="hot=0"):
        FixedElementwise(4, hot=0)
    with pytest.raises(ModelError, match=r"pads \(1, 1\)"):
        FixedConv2d(1, 1, 3, pads=(1, 1))
    with pytest.raises(RangeError, match="rate 0"):
        FixedQuantizer(8, rate=0)
    with pytest.raises(UnsupportedError, match="AP_RND_INF"):
        FixedQuantizer(8, rounding="AP_RND_INF")
    with pytest.raises(ModelError, match=r"4 channels got a tensor of \[2, 3\]"):
        FixedElementwise(4)(torch.zeros(2, 3))
    with pytest.raises(ModelError, match="larger batch"):
        FixedBatchNorm(3)(torch.zeros(1, 3))
    with pytest.raises(UnsupportedError, match="3 formats"):
        quantizer = FixedQuantizer(4, channels=3, dim=2)
        quantizer(torch.randn(3, 5))
        _ = quantizer.format
    with pytest.raises(ModelError, match="300"):
        FixedInput(300)
    for bad in (torch.tensor([1.0, math.nan]), torch.zeros(0)):
        with pytest.raises(RangeError, match="NaN or infinity"):
            FixedQuantizer(8)(bad)
    assert SignQuantizer()(torch.tensor([-0.0, -1.0])).tolist() == [1, -1]


def test_padding_by_name_and_a_batch_norm_without_statistics_are_refused():
    with pytest.raises(UnsupportedError, match="padding='same' is not supported; give it in numbers"):
        FixedConv2d(1, 2, 3, padding="same")
    with pytest.raises(ModelError, match="batch norm of 2 channels keeps no statistics"):
        FixedElementwise.of(nn.BatchNorm2d(2, track_running_stats=False))
