"""Networks as their users write them: what is read computes the same, layer by layer as expected."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from tests.quant import nets
from tests.quant.written import IMAGE, VECTOR, Net, check

FLAT = 6 * 4 * 3  # values behind `body`


def body(forward, **layers):
    """A convolution with ReLU and a pool of stride 2, then `forward`, with a linear layer `fc` at hand:
    [N, 2, 10, 8] -> [N, 6, 4, 3]."""
    return Net(
        lambda net, x: forward(net, F.max_pool2d(F.relu(net.conv(x)), 2)),
        conv=nn.Conv2d(2, 6, 3),
        fc=nn.Linear(FLAT, 5),
        **layers,
    )


BODY = ["conv", "max_pool2d", "fc"]


def front(forward, padding=0, **layers):
    """`forward` of the image, then a convolution and a linear layer."""
    side = 2 * padding
    linear = nn.Linear(3 * (8 + side) * (6 + side), 4)
    return Net(
        lambda net, x: net.fc(net.conv(forward(net, x)).flatten(1)),
        conv=nn.Conv2d(2, 3, 3, padding=padding),
        fc=linear,
        **layers,
    )


FRONT = ["conv", "fc"]


def between(forward, padding=0, **layers):
    """`forward` between a convolution with ReLU and another convolution."""
    return Net(
        lambda net, x: net.c2(forward(net, F.relu(net.c1(x)))),
        c1=nn.Conv2d(2, 3, 3),
        c2=nn.Conv2d(3, 4, 3, padding=padding),
        **layers,
    )


def loop_over_sizes(net, x):
    features = 1
    for side in x.size()[1:]:
        features *= side
    return net.fc(x.view(-1, features))


def asserted(net, x):
    assert len(x.shape) == x.dim() == x.ndim == 4 and x.shape[1:] == (6, 4, 3) and x.numel() > 0
    return net.fc(torch.flatten(x, 1))


def decided_by_sizes(net, x):
    while x.shape[-1] > 1:
        x = x.flatten(-2) if x.dim() > 2 else x
        if x.dim() == 2:
            break
    return net.fc(x)


SHAPES = {
    "view(size(0), -1)": lambda net, x: net.fc(x.view(x.size(0), -1)),
    "view(shape[0], -1)": lambda net, x: net.fc(x.view(x.shape[0], -1)),
    "view(-1, number)": lambda net, x: net.fc(x.view(-1, FLAT)),
    "view(len(x), -1)": lambda net, x: net.fc(x.view(len(x), -1)),
    "reshape(-1, prod)": lambda net, x: net.fc(x.reshape(-1, x.shape[1] * x.shape[2] * x.shape[3])),
    "contiguous().view": lambda net, x: net.fc(x.contiguous().view(x.size()[0], -1)),
    "torch.flatten": lambda net, x: net.fc(torch.flatten(x, start_dim=1)),
    "flatten twice": lambda net, x: net.fc(x.flatten(2).flatten(1)),
    "unflatten and back": lambda net, x: net.fc(x.flatten(1).unflatten(1, (6, 12)).flatten(1)),
    "loop over sizes": loop_over_sizes,
    "asserts": asserted,
    "while over sizes": decided_by_sizes,
    "flatten in NHWC order": lambda net, x: net.fc(x.permute(0, 2, 3, 1).flatten(1)),
    "transposed picture": lambda net, x: net.fc(x.transpose(2, 3).reshape(len(x), -1)),
    "mirrored": lambda net, x: net.fc(x.flip(3).flatten(1)),
    "channels last": lambda net, x: net.fc(x.to(memory_format=torch.channels_last).flatten(1)),
    "new axes": lambda net, x: net.fc(x.unsqueeze(1).squeeze(1).flatten(1)[:, None].squeeze()),
    "view_as": lambda net, x: net.fc(x.flatten(1).view_as(x).flatten(1)),
    "whole slices": lambda net, x: net.fc(x[:, :, 0:4, :][...].flatten(1)),
    "movedim": lambda net, x: net.fc(x.movedim(1, -1).movedim(-1, 1).flatten(1)),
    "matmul": lambda net, x: x.flatten(1) @ net.fc.weight.T + net.fc.bias,
    "addmm": lambda net, x: torch.addmm(net.fc.bias, x.flatten(1), net.fc.weight.t()),
    "F.linear": lambda net, x: F.linear(x.flatten(1), net.fc.weight, net.fc.bias),
    "numbers from the shape": lambda net, x: net.fc((x * (1 / x.shape[1])).flatten(1)),
    "no_grad": torch.no_grad()(lambda net, x: net.fc(x.flatten(1))),
    "enable_grad": torch.enable_grad()(lambda net, x: net.fc(x.flatten(1))),
}

NOTHING = {
    "float()": lambda net, x: x.double(),
    "to(dtype)": lambda net, x: x.to(torch.float64),
    "to(device)": lambda net, x: x.to("cpu"),
    "to(parameter's dtype)": lambda net, x: x.to(net.conv.weight.dtype),
    "type_as": lambda net, x: x.type_as(net.conv.weight),
    "detach": lambda net, x: x.detach(),
    "clone": lambda net, x: x.clone(),
    "contiguous": lambda net, x: x.contiguous(),
    "requires_grad_": lambda net, x: x.requires_grad_(),
    "dropout": lambda net, x: F.dropout(x, 0.3, training=net.training),
    "dropout2d": lambda net, x: F.dropout2d(x, 0.3, training=False),
    "identity": lambda net, x: nn.Identity()(x),
    "expand": lambda net, x: x.expand(-1, -1, -1, -1),
    "plus 0": lambda net, x: x + torch.zeros_like(x),
    "pad by nothing": lambda net, x: F.pad(x, (0, 0, 0, 0)),
    "print": lambda net, x: (print(x.shape), x)[1],
}

CONSTANTS = {
    "2 x - 1": lambda net, x: 2.0 * x - 1.0,
    "(x - m) / s": lambda net, x: (x - 0.1307) / 0.3081,
    "1 - x": lambda net, x: 1 - x,
    "per channel": lambda net, x: (x - net.mean) / net.std,
    "in place": lambda net, x: x.clone().sub_(net.mean).div_(net.std),
    "torch functions": lambda net, x: torch.div(torch.sub(x, net.mean, alpha=2), net.std),
    "literals": lambda net, x: x * torch.tensor([0.5, 2.0]).view(1, 2, 1, 1).double(),
    "integers": lambda net, x: x.mul(3).add(2).neg(),
    "batch norm by function": lambda net, x: F.batch_norm(x, net.mean.flatten(), net.std.flatten()),
}


def statistics():
    return {"mean": torch.tensor([0.4, 0.5]).reshape(1, 2, 1, 1), "std": torch.tensor([0.2, 0.3]).reshape(1, 2, 1, 1)}


RELUS = {
    "torch.relu": torch.relu,
    "x.relu()": lambda x: x.relu(),
    "relu_": lambda x: x.relu_(),
    "inplace": lambda x: F.relu(x, inplace=True),
    "clamp": lambda x: x.clamp(min=0),
    "clip": lambda x: torch.clip(x, 0),
    "clamp_": lambda x: x.clamp_(0),
    "clamp_min": lambda x: x.clamp_min(0),
    "threshold": lambda x: F.threshold(x, 0, 0),
    "maximum": lambda x: torch.maximum(x, torch.zeros_like(x)),
    "max": lambda x: torch.max(torch.tensor(0.0), x),
    "leaky": lambda x: F.leaky_relu(x, 0.0),
}
CLAMPS = {
    "relu6": (F.relu6, 0, 6),
    "hardtanh": (F.hardtanh, -1, 1),
    "clamp": (lambda x: x.clamp(-0.5, 0.25), -0.5, 0.25),
    "two halves": (lambda x: torch.minimum(x.clamp_min(-0.5), torch.tensor(0.25)), -0.5, 0.25),
    "tensors": (lambda x: x.clamp(torch.tensor(-0.5), torch.tensor(0.25)), -0.5, 0.25),
}


class DoubledConv(nn.Conv2d):
    def forward(self, x):
        return 2 * super().forward(x)


class StandardizedConv(nn.Conv2d):
    def forward(self, x):
        centred = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, centred / (centred.std((1, 2, 3), keepdim=True) + 1e-5), self.bias, self.stride)


class NamedLinear(nn.Linear):
    pass


class Block(nn.Sequential):
    def __init__(self, inputs, outputs):
        super().__init__(nn.Conv2d(inputs, outputs, 3, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class ByNames(nn.Module):
    """Stages found by name in a loop, as VGG code does."""

    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleDict({"conv 1": nn.Conv2d(2, 3, 3), "ré-lu/2": nn.ReLU(), "Conv-2": nn.Conv2d(3, 2, 1)})
        self.heads = nn.ModuleList([nn.Linear(96, 7), nn.Linear(7, 4)])

    def forward(self, x):
        for stage in self.stages.values():
            x = stage(x)
        x = x.reshape(x.shape[0], -1)
        for index, head in enumerate(self.heads):
            x = head(x)
            if index + 1 < len(self.heads):
                x = F.relu(x)
        return x


def odd_keys():
    net = nn.Sequential()
    net.add_module("conv 1", nn.Conv2d(2, 3, 3))
    net.add_module("2", nn.ReLU())
    net.add_module("input", nn.Conv2d(3, 3, 1))
    return net


def with_hook():
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU())
    net[0].register_forward_hook(lambda module, inputs, output: output * 2)
    net.register_forward_pre_hook(lambda module, inputs: None)
    return net


def pruned(trained=False):
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 4))
    prune.l1_unstructured(net[0], "weight", 0.5)
    prune.ln_structured(net[3], "weight", 0.5, 2, 0)
    if trained:
        net(torch.zeros(1, 2, 10, 8)).sum().backward()
    return net


def shared():
    conv = nn.Conv2d(3, 3, 1)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), conv, nn.ReLU(), conv)


def named(first, second="layer_2"):
    return [first, second]


TWO = named("layer_0")


def convolution(layer, *rest):
    """A layer over the image, then ReLU and a 1x1 convolution."""
    return nn.Sequential(layer, nn.ReLU(), nn.Conv2d(3, 2, 1), *rest)


LAYERS = {
    "weight_norm": (lambda: convolution(weight_norm(nn.Conv2d(2, 3, 3))), TWO),
    "spectral_norm": (lambda: convolution(spectral_norm(nn.Conv2d(2, 3, 3))), TWO),
    "parametrized weight_norm": (lambda: convolution(parametrizations.weight_norm(nn.Conv2d(2, 3, 3))), TWO),
    "parametrized spectral_norm": (lambda: convolution(parametrizations.spectral_norm(nn.Conv2d(2, 3, 3))), TWO),
    "pruned": (pruned, named("layer_0", "layer_3")),
    "pruned and trained": (lambda: pruned(True), named("layer_0", "layer_3")),
    "subclass": (lambda: convolution(DoubledConv(2, 3, 3)), TWO),
    "weight standardization": (lambda: convolution(StandardizedConv(2, 3, 3)), TWO),
    "subclassed linear": (lambda: nn.Sequential(nn.Conv2d(2, 1, 3), nn.Flatten(), NamedLinear(48, 3)), TWO),
    "blocks": (lambda: nn.Sequential(Block(2, 3), Block(3, 4), nn.MaxPool2d(2)), ["layer_0_0", "layer_1_0", "layer_2"]),
    "by names": (ByNames, ["stages_conv_1", "stages_Conv_2", "heads_0", "heads_1"]),
    "odd keys": (odd_keys, ["conv_1", "layer_input"]),
    "hooks": (with_hook, ["layer_0"]),
    "shared": (shared, ["layer_0", "layer_2", "layer_4"]),
    "same": (lambda: convolution(nn.Conv2d(2, 3, (2, 5), padding="same")), TWO),
    "padded pool": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.ZeroPad2d(1), nn.MaxPool2d(3, 1)),
        named("layer_0", "layer_3"),
    ),
    "padded twice": (
        lambda: convolution(nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.ZeroPad2d(1), nn.Conv2d(2, 3, 3, padding=2))),
        named("layer_0_2"),
    ),
    "global max pool": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(3, 2)),
        ["layer_0", "layer_1", "layer_3"],
    ),
    "average of its own size": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.AdaptiveAvgPool2d((8, 6)), nn.Flatten(), nn.Linear(144, 2)),
        ["layer_0", "layer_3"],
    ),
    "halves": (lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.AdaptiveMaxPool2d((4, 3))), named("layer_0", "layer_1")),
    "batch norm behind ReLU": (
        lambda: nets.randomize(nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 3))),
        named("layer_0", "layer_3"),
    ),
    "batch norm before padding": (
        lambda: nets.randomize(
            nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 3, padding=1))
        ),
        ["layer_0", "layer_2", "layer_3"],
    ),
    "batch norm of a flat map": (
        lambda: nets.randomize(
            nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.BatchNorm1d(144), nn.Linear(144, 2))
        ),
        named("layer_0", "layer_4"),
    ),
    "frozen": (lambda: convolution(nn.Conv2d(2, 3, 3)).requires_grad_(False).train(), TWO),
    "bound by a closure": (lambda: Net(lambda net, x: (lambda y: net.c(y))(x), c=nn.Conv2d(2, 3, 1)), ["c"]),
    "convolution by function": (
        lambda: Net(lambda net, x: F.conv2d(x, net.k, stride=2, padding=1), k=nn.Parameter(torch.randn(3, 2, 3, 3))),
        ["conv2d"],
    ),
    "linear on every pixel": (
        lambda: Net(lambda net, x: net.fc(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).relu(), fc=nn.Linear(2, 5)),
        ["fc"],
    ),
    "tokens": (
        lambda: Net(
            lambda net, x: net.b(net.a(x.flatten(2).transpose(1, 2)).relu().flatten(1)),
            a=nn.Linear(2, 3),
            b=nn.Linear(240, 4),
        ),
        ["a", "b"],
    ),
    "amax": (
        lambda: Net(lambda net, x: net.fc(net.c(x).amax((2, 3))), c=nn.Conv2d(2, 3, 3), fc=nn.Linear(3, 2)),
        ["c", "amax", "fc"],
    ),
    "a tuple inside": (lambda: Net(lambda net, x: {"y": (net.c(x), 3)}["y"][0], c=nn.Conv2d(2, 3, 1)), ["c"]),
    "unused layers": (lambda: Net(lambda net, x: net.c(x), c=nn.Conv2d(2, 3, 1), lstm=nn.LSTM(3, 3)), ["c"]),
    "unused branch": (lambda: Net(lambda net, x: (torch.sigmoid(x).mean(), net.c(x))[1], c=nn.Conv2d(2, 3, 1)), ["c"]),
    "data parallel": (lambda: nn.DataParallel(convolution(nn.Conv2d(2, 3, 3))), TWO),
    "averaged": (lambda: torch.optim.swa_utils.AveragedModel(convolution(nn.Conv2d(2, 3, 3))), TWO),
    "compiled": (lambda: torch.compile(convolution(nn.Conv2d(2, 3, 3)), backend="eager"), TWO),
    "compiled inside": (
        lambda: nn.Sequential(torch.compile(convolution(nn.Conv2d(2, 3, 3)), backend="eager")),
        named("layer_0_0", "layer_0_2"),
    ),
    "traced by fx": (lambda: torch.fx.symbolic_trace(convolution(nn.Conv2d(2, 3, 3))), TWO),
}
VECTORS = {
    "linear first": (lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)), TWO),
    "flatten first": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(6, 5)), ["layer_1"]),
    "a single layer": (lambda: nn.Linear(6, 2), ["layer_0"]),
    "normalized": (lambda: nn.Sequential(nets.randomize(nn.BatchNorm1d(6)), nn.Linear(6, 2)), ["layer_1"]),
    "scaled per feature": (
        lambda: Net(lambda net, x: net.fc((x - x.new_tensor([1, 2, 3, 4, 5, 6])) / 3), fc=nn.Linear(6, 2)),
        ["fc"],
    ),
    "batch norm between": (
        lambda: nets.randomize(
            nn.Sequential(nn.Linear(6, 5, bias=False), nn.BatchNorm1d(5), nn.ReLU6(), nn.Dropout(), nn.Linear(5, 2))
        ),
        named("layer_0", "layer_4"),
    ),
}


@pytest.mark.parametrize("case", SHAPES)
def test_python_that_looks_at_shapes_is_no_obstacle(case):
    check(body(SHAPES[case]), IMAGE, BODY)


@pytest.mark.parametrize("case", NOTHING)
def test_calls_that_do_nothing_vanish(case):
    check(front(NOTHING[case]), IMAGE, FRONT)


@pytest.mark.parametrize("case", CONSTANTS)
def test_constants_fold_into_the_next_layer(case):
    check(front(CONSTANTS[case], **statistics()), IMAGE, FRONT)


def test_constants_before_padding_fold_where_they_only_scale():
    check(between(lambda net, x: 0.5 * x, padding=1), IMAGE, ["c1", "c2"])
    check(between(lambda net, x: 2 * x - 1), IMAGE, ["c1", "c2"])
    check(between(lambda net, x: 2 * x - 1, padding=1), IMAGE, ["c1", "mul", "c2"])
    check(front(CONSTANTS["per channel"], padding=1, **statistics()), IMAGE, ["sub", *FRONT])


@pytest.mark.parametrize("case", RELUS)
def test_relu_has_many_spellings(case):
    network = check(between(lambda net, x: RELUS[case](x - 0.1)), IMAGE)
    assert network.layers[-2].clamp[0] == 0


@pytest.mark.parametrize("case", CLAMPS)
def test_clamps_have_many_spellings(case):
    function, low, high = CLAMPS[case]
    network = check(
        Net(lambda net, x: net.c2(function(net.c1(x))), c1=nn.Conv2d(2, 3, 3), c2=nn.Conv2d(3, 4, 3)),
        IMAGE,
        ["c1", "c2"],
    )
    assert network.layers[0].clamp == (low, high)


@pytest.mark.parametrize("case", LAYERS)
def test_layers_as_users_build_them(case):
    build, names = LAYERS[case]
    check(build(), IMAGE, names)


@pytest.mark.parametrize("case", VECTORS)
def test_vectors_need_no_picture(case):
    build, names = VECTORS[case]
    check(build(), VECTOR, names)
