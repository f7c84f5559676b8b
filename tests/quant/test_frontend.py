"""The PyTorch front end: what it accepts computes the same, what it refuses it refuses by name."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from accel.errors import ModelError, RangeError, UnsupportedError
from quant.frontend.floatnet import FloatConv, FloatDense
from quant.frontend.read import read_module
from quant.models.zoo import LeNet5
from tests.quant import nets


def assert_same_function(module, shape, seed=0, tolerance=1e-9):
    """The network read from the module computes what the module computes, in float64; returns it."""
    height, width, channels = shape
    network = read_module(module, shape, "net")
    x = torch.randn(3, channels, height, width, generator=torch.Generator().manual_seed(seed)).double()
    with torch.no_grad():
        expected = module.double().eval()(x)
    actual = list(network.run(x).values())[-1].reshape(expected.shape)
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)
    return network


def test_reads_lenet5():
    network = assert_same_function(LeNet5(), (28, 28, 1))
    names = [layer.name for layer in network.layers]
    assert names == ["conv1", "pool1", "conv2", "pool2", "fc1", "fc2", "fc3"]
    assert network.layers[0].clamp == (0, math.inf)


def test_reads_functions_and_methods():
    network = assert_same_function(nets.randomize(nets.Functional()), (10, 8, 2))
    assert [layer.name for layer in network.layers] == ["first", "max_pool2d", "second", "last"]
    assert network.layers[2].clamp == (0, 0.7)


def test_reads_batch_norm_padding_and_clamps():
    network = assert_same_function(nets.chain(), nets.CHAIN_SHAPE)
    assert network.layers[0].pads == (0, 1, 0, 1)
    assert network.layers[1].pads == (0, 1, 1, 1)


def test_a_single_layer_is_a_network():
    assert_same_function(nn.Conv2d(2, 3, 3, padding=1), (5, 4, 2))


def test_the_module_is_not_changed():
    module = nn.Sequential(nn.Conv2d(1, 2, 3).half(), nn.BatchNorm2d(2).half()).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    read_module(module, (5, 5, 1))
    assert module.training and module[0].weight.dtype == torch.float16
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_weights_of_every_float_type_are_cast_exactly(dtype):
    module = nn.Sequential(nn.Flatten(), nn.Linear(6, 4)).to(dtype)
    layer = read_module(module, (1, 1, 6)).layers[0]
    assert layer.weight.dtype == torch.float64
    assert torch.equal(layer.weight.to(dtype), module[1].weight)
    assert torch.equal(layer.bias, module[1].bias.double())


class MixedPrecision(nn.Module):
    """A bfloat16 convolution in a float32 network, with casts around it."""

    def __init__(self, dtype):
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(2, 3, 3).to(dtype), nn.BatchNorm2d(3), nn.Linear(36, 4)

    def forward(self, x):
        x = self.norm(self.conv(x.to(self.conv.weight.dtype)).float())
        return self.fc(torch.relu(x).flatten(1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_probe_of_the_modules_own_type_reads_mixed_networks(dtype):
    module = nets.randomize(MixedPrecision(dtype))
    network = read_module(module, (6, 5, 2))
    assert [layer.name for layer in network.layers] == ["conv", "fc"]
    x = torch.randn(8, 2, 6, 5)
    with torch.no_grad():
        expected = module(x).double()
    actual = list(network.run(x.double()).values())[-1].flatten(1)
    torch.testing.assert_close(actual, expected, rtol=0, atol=0.05 * expected.abs().max().item())


def test_dense_weights_follow_nhwc_order():
    module = nn.Sequential(nn.Flatten(), nn.Linear(2 * 3 * 4, 1, bias=False))
    module[1].weight.data = torch.arange(24.0)[None]
    layer = read_module(module, (3, 4, 2)).layers[0]
    expected = torch.arange(24.0).double().reshape(2, 3, 4).permute(1, 2, 0)
    assert torch.equal(layer.weight.reshape(3, 4, 2), expected)


POOLS = [(7, 2, 2, 0), (7, 3, 2, 1), (8, 3, 3, 1), (5, 4, 3, 2)]


@pytest.mark.parametrize(("size", "kernel", "stride", "padding"), POOLS)
def test_max_pool_rounds_its_size_up_and_down(size, kernel, stride, padding):
    for ceil_mode in (False, True):
        pool = nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil_mode)
        assert_same_function(nn.Sequential(nn.Conv2d(1, 2, 1), pool), (size, size + 1, 1))


def test_a_clamp_after_a_pool_moves_before_it():
    module = nn.Sequential(nn.Conv2d(1, 3, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Hardtanh(-1, 0.4))
    network = assert_same_function(module, (8, 8, 1))
    assert network.layers[0].clamp == (0, 0.4)


def test_a_clamp_below_the_one_before_gives_a_constant():
    module = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Hardtanh(0.5, 1.0), nn.Hardtanh(-1.0, 0.25))
    assert assert_same_function(module, (5, 5, 1)).layers[0].clamp == (0.25, 0.25)


def test_batch_norm_with_nothing_to_fold_into_becomes_a_diagonal_convolution():
    module = nets.randomize(
        nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(2))
    )
    network = assert_same_function(module, (5, 4, 3))
    assert [type(layer) for layer in network.layers] == [FloatConv] * 3
    assert network.layers[0].weight.shape == (3, 3, 1, 1)


def test_batch_norm_of_a_vector_after_relu_becomes_a_diagonal_dense_layer():
    module = nets.randomize(nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.BatchNorm1d(3)))
    network = assert_same_function(module, (2, 2, 1))
    assert [type(layer) for layer in network.layers] == [FloatDense] * 2


def test_layer_names_are_safe_and_unique():
    shared = nn.Conv2d(2, 2, 1)
    module = nn.Sequential(nn.Sequential(nn.Conv2d(2, 2, 1), shared), shared, nn.Module())
    module[2] = nn.Sequential(nn.Conv2d(2, 1, 1))
    names = [layer.name for layer in read_module(module, (3, 3, 2)).layers]
    assert len(set(names)) == 4 and all(name.isidentifier() for name in names)


class Branch(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)

    def forward(self, x):
        return x + self.conv(x)


class Decides(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class TwoOutputs(Branch):
    def forward(self, x):
        y = self.conv(x)
        return y, y


class TwoInputs(Branch):
    def forward(self, x, y):
        return self.conv(x) + y


class SkipsBack(Branch):
    def forward(self, x):
        first = self.conv(x)
        return self.conv(torch.relu(first)) * 2 + 1, self.conv(first)


class AlwaysDrops(Branch):
    def forward(self, x):
        return functional.dropout(self.conv(x))


def with_statistics(**values):
    norm = nn.BatchNorm2d(1)
    for name, value in values.items():
        getattr(norm, name).fill_(value)
    return nn.Sequential(nn.Conv2d(1, 1, 1), norm)


def flattened(*layers):
    return nn.Sequential(nn.Flatten(), *layers)


class ClampsBackwards(nn.Module):
    def forward(self, x):
        return x.clamp(1, 0)


def two(layer):
    """A 1x1 convolution and the layer behind it."""
    return nn.Sequential(nn.Conv2d(1, 1, 1), layer)


def conv(*arguments, **options):
    return nn.Sequential(nn.Conv2d(*arguments, **options))


# name: what builds the module, the message, the error where it is not UnsupportedError
REFUSED = {
    "lstm": (lambda: nn.Sequential(nn.LSTM(4, 4)), r"0 \(LSTM\) is not supported; use Conv2d"),
    "sigmoid": (lambda: two(nn.Sigmoid()), r"1 \(Sigmoid\) is not supported"),
    "average pool": (lambda: two(nn.AvgPool2d(2)), r"1 \(AvgPool2d\) is not supported"),
    "transposed": (lambda: two(nn.ConvTranspose2d(1, 1, 2)), r"1 \(ConvTranspose2d\) is not supported"),
    "groups": (
        lambda: two(nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1, groups=2))),
        r"1.1 \(Conv2d\): groups=2 is not supported; use groups=1",
    ),
    "dilation": (lambda: conv(1, 1, 2, dilation=2), r"dilation=\(2, 2\) is not supported"),
    "reflect": (lambda: conv(1, 1, 3, padding=1, padding_mode="reflect"), "pads with mode='reflect'; use"),
    "pool dilation": (lambda: two(nn.MaxPool2d(2, dilation=2)), r"dilation=\[2, 2\] is not supported"),
    "pool indices": (lambda: two(nn.MaxPool2d(2, return_indices=True)), "return_indices=True is not"),
    "branch": (Branch, r"add \(function add\): joins two branches"),
    "control flow": (Decides, r"Decides decides by the values of a tensor at test_frontend.py:\d+, `return x if"),
    "two outputs": (TwoOutputs, "return the last layer's tensor alone"),
    "two inputs": (TwoInputs, "has 2 inputs"),
    "reads an earlier layer": (SkipsBack, r"conv \(Conv2d\): reads conv where the layer before is conv_2"),
    "dropout at inference": (AlwaysDrops, "pass training=self.training"),
    "relu first": (lambda: nn.Sequential(nn.ReLU(), nn.Conv2d(1, 1, 1)), r"0 \(ReLU\): has no Conv2d"),
    "no layer": (lambda: nn.Sequential(nn.Identity()), "holds no layer that computes"),
    "pad before pool": (
        lambda: two(nn.Sequential(nn.ZeroPad2d(1), nn.MaxPool2d(2))),
        "follows padding with 0.0, which may win",
    ),
    "pad at the end": (lambda: two(nn.ZeroPad2d(1)), "zero padding at the end"),
    "pad with ones": (lambda: nn.Sequential(nn.ConstantPad2d(1, 1.0), nn.Conv2d(1, 1, 1)), "pads with 1.0"),
    "negative pad": (lambda: nn.Sequential(nn.ZeroPad2d(-1), nn.Conv2d(1, 1, 1)), "at least 0"),
    "linear on a map": (lambda: nn.Sequential(nn.Linear(4, 2)), "put a Flatten before it"),
    "half a flatten": (
        lambda: two(nn.Sequential(nn.Flatten(2), nn.Linear(16, 2), nn.Unflatten(2, (2, 1)), nn.Conv2d(1, 1, 1))),
        r"reads \['N', 1, 2, 1\] rearranged from",
    ),
    "conv on a vector": (lambda: flattened(nn.Unflatten(1, (4, 2, 2)), nn.Conv2d(4, 1, 1)), "only flattening"),
    "batch norm of a flat map": (
        lambda: two(nets.randomize(flattened(nn.BatchNorm1d(16)))),
        "use one value per channel, as BatchNorm2d",
    ),
    "no statistics": (lambda: two(nn.BatchNorm2d(1, track_running_stats=False)), "track_running_stats=False"),
    "negative variance": (lambda: with_statistics(running_var=-1.0), "of channel 0", RangeError),
    "nan statistics": (lambda: with_statistics(running_mean=math.nan), r"running_mean\[0\] is nan", RangeError),
    "wrong size": (lambda: flattened(nn.Linear(17, 2)), r"fails on an input of shape \[2, 16\]", ModelError),
    "channels": (lambda: conv(3, 1, 1), r"0 \(Conv2d\): fails on an input of shape", ModelError),
    "too small": (lambda: conv(1, 1, 5), r"0 \(Conv2d\): fails on an input of shape", ModelError),
    "complex weights": (lambda: two(nn.Conv2d(1, 1, 1, dtype=torch.complex64)), "complex64; use float32"),
    "meta": (lambda: conv(1, 1, 1, device="meta"), "load the trained weights first", ModelError),
    "backward clamp": (lambda: two(ClampsBackwards()), "clamps to 1.0..0.0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_by_name_and_says_what_to_do(case):
    build, message, *error = REFUSED[case]
    with pytest.raises(error[0] if error else UnsupportedError, match=message):
        read_module(build(), (4, 4, 1), "net")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("parameter", ["weight", "bias"])
def test_refuses_weights_that_are_not_numbers(value, parameter):
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 2))
    getattr(module[2], parameter).data[1] = value
    with pytest.raises(RangeError, match=rf"2 \(Conv2d\): {parameter}\[1.*\] is {value}"):
        read_module(module, (6, 6, 1))


def test_refuses_what_folding_makes_infinite():
    module = nets.randomize(nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)))
    module[0].weight.data.fill_(1e38)
    module[1].weight.data.fill_(1e20)
    with pytest.raises(RangeError, match="folded weight"):
        read_module(module, (3, 3, 1))
