"""Networks that are not read: the true reason, the layer's name and type, and all reasons at once."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from accel.errors import BitloomError, ModelError
from quant.frontend.read import read_module
from tests.quant.test_frontend_networks import IMAGE, VECTOR, Net, body


def image(forward, **layers):
    return lambda: Net(forward, conv=nn.Conv2d(2, 3, 3), **layers)


def residual(net, x):
    y = net.a(x)
    return net.fc((net.b(F.relu(y)) + y).flatten(1))


class TwoHeads(nn.Module):
    def __init__(self, make):
        super().__init__()
        self.conv, self.make = nn.Conv2d(2, 3, 1), make

    def forward(self, x):
        return self.make(self.conv(x))


def chosen_by_value(net, x):
    if x.mean() > 0.5:
        return net.conv(x)
    return net.conv(x + 1)


def scaled_by_value(net, x):
    return net.conv(x) * float(x.max())


def by_numpy(net, x):
    return net.conv(torch.from_numpy(x.numpy()))


def written_in_place(net, x):
    y = net.conv(x)
    z = y.view(len(y), -1)
    z.mul_(2)
    return y


class Needy(nn.Module):
    def forward(self, image, mask):
        return image * mask


# name: (what builds the module, parts of the message)
REFUSED = {
    "LSTM": (
        image(lambda net, x: net.rnn(x.flatten(2))[0][:, -1], rnn=nn.LSTM(80, 4, batch_first=True)),
        ["rnn (LSTM) is not supported; use Conv2d"],
    ),
    "GRU": (image(lambda net, x: net.rnn(x.flatten(2))[0][:, -1], rnn=nn.GRU(80, 4, batch_first=True)), ["rnn (GRU)"]),
    "attention": (
        image(lambda net, x: net.att(x[:, 0], x[:, 0], x[:, 0])[0], att=nn.MultiheadAttention(8, 2, batch_first=True)),
        ["att (MultiheadAttention) is not"],
    ),
    "transformer": (
        image(
            lambda net, x: net.enc(x[:, 0]),
            enc=nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 8, batch_first=True), 2),
        ),
        ["enc (TransformerEncoder) is not supported"],
    ),
    "embedding": (
        image(lambda net, x: net.emb(x.long()), emb=nn.Embedding(9, 3)),
        ["casts to torch.int64", "emb (Embedding) is not supported"],
    ),
    "chunks": (image(lambda net, x: net.conv(x).chunk(3, 1)[0]), ["chunk (function chunk) is not supported; use"]),
    "LSTM on a picture": (lambda: nn.Sequential(nn.LSTM(8, 3)), ["0 (LSTM) is not supported"]),
    "Conv1d": (lambda: nn.Sequential(nn.Flatten(2), nn.Conv1d(2, 3, 3)), ["1 (Conv1d) is not supported"]),
    "Conv3d": (image(lambda net, x: net.c3(x[:, None]), c3=nn.Conv3d(1, 2, 1)), ["c3 (Conv3d) is not supported"]),
    "layer norm": (lambda: nn.Sequential(nn.LayerNorm((2, 10, 8))), ["0 (LayerNorm) is not supported"]),
    "group norm": (lambda: nn.Sequential(nn.GroupNorm(1, 2)), ["0 (GroupNorm) is not supported"]),
    "PReLU": (lambda: nn.Sequential(nn.Conv2d(2, 3, 1), nn.PReLU()), ["1 (PReLU) is not supported"]),
    "GELU": (lambda: nn.Sequential(nn.Conv2d(2, 3, 1), nn.GELU()), ["1 (GELU) is not supported"]),
    "upsampling": (lambda: nn.Sequential(nn.Conv2d(2, 3, 1), nn.Upsample(scale_factor=2)), ["1 (Upsample)"]),
    "leaky ReLU": (lambda: nn.Sequential(nn.Conv2d(2, 3, 1), nn.LeakyReLU(0.1)), ["negative_slope=0.1"]),
    "depthwise": (lambda: nn.Sequential(nn.Conv2d(2, 4, 3, groups=2)), ["0 (Conv2d): groups=2 is not supported"]),
    "residual": (
        lambda: Net(residual, a=nn.Conv2d(2, 3, 1), b=nn.Conv2d(3, 3, 1), fc=nn.Linear(240, 2)),
        ["add (function add): joins two branches"],
    ),
    "concatenated": (
        image(lambda net, x: torch.cat([net.conv(x), net.conv(x)], 1)),
        ["conv (Conv2d): reads the input where the layer before is conv", "cat (function cat)"],
    ),
    "squeeze and excite": (
        image(lambda net, x: net.conv(x) * torch.sigmoid(net.conv(x).amax((2, 3), True))),
        ["only a chain of layers"],
    ),
    "by value": (
        image(chosen_by_value),
        ["net: Net decides by the values of a tensor at test_frontend_refusals.py", "`if x.mean() > 0.5:`"],
    ),
    "scaled by value": (image(scaled_by_value), ["decides by the values of a tensor", "float(x.max())"]),
    "numpy": (image(by_numpy), ["torch.export cannot trace Net at test_frontend_refusals.py", "x.numpy()"]),
    "random": (image(lambda net, x: net.conv(x + torch.rand(1))), ["draws random numbers"]),
    "dropout at inference": (image(lambda net, x: F.dropout(net.conv(x))), ["pass training=self.training"]),
    "batch statistics": (lambda: nn.Sequential(nn.Conv2d(2, 3, 1), nn.InstanceNorm2d(3)), ["1 (InstanceNorm2d)"]),
    "a dictionary": (
        lambda: TwoHeads(lambda y: {"logits": y, "aux": y}),
        ["net: returns a dictionary with logits, aux; return the last"],
    ),
    "a tuple": (lambda: TwoHeads(lambda y: (y, y)), ["returns a tuple of 2"]),
    "nothing": (lambda: TwoHeads(lambda y: None), ["returns a NoneType"]),
    "two inputs": (Needy, ["forward has 2 inputs (image, mask)"]),
    "in the middle": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 1), nn.Flatten(), nn.Softmax(1), nn.Linear(240, 2)),
        ["2 (Softmax): is only supported at the end of the network", "3 (Linear) follows it"],
    ),
    "over the wrong axis": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 1), nn.Softmax(3)),
        ["1 (Softmax): runs over axis 3"],
    ),
    "sigmoid of a map": (lambda: nn.Sequential(nn.Conv2d(2, 3, 1), nn.Sigmoid()), ["1 (Sigmoid) is not supported"]),
    "mixed images": (lambda: body(lambda net, x: net.fc(x.transpose(0, 1).reshape(2, -1))), ["mixes the images"]),
    "dropped values": (lambda: body(lambda net, x: net.conv(x[:, :2])), ["conv (Conv2d): reads a tensor of shape"]),
    "a constant per pixel": (image(lambda net, x: net.conv(x - torch.arange(8.0))), ["by its own factor"]),
    "division by x": (image(lambda net, x: 1 / net.conv(x)), ["is not supported"]),
    "division by 0": (image(lambda net, x: net.conv(x) / 0), ["divides by 0"]),
    "in place through a view": (image(written_in_place), ["changes a tensor in place"]),
    "fails by itself": (
        lambda: body(lambda net, x: net.fc(x)),
        ["fc (Linear): fails on an input of shape [2, 6, 4, 3]"],
    ),
    "asserts another shape": (image(lambda net, x: net.conv(x.view(2, 2, 3, 3))), ["net (Net): fails", "at test_f"]),
    "lazy": (lambda: nn.Sequential(nn.LazyConv2d(3, 3)), ["0 (LazyConv2d) has no weights before its"]),
    "scripted": (lambda: torch.jit.script(nn.Sequential(nn.Conv2d(2, 3, 1))), ["is TorchScript, whose Python"]),
    "quantized": (lambda: nn.Sequential(torch.ao.nn.quantized.ReLU6()), ["is quantized already by torch.ao"]),
    "complex": (lambda: nn.Sequential(nn.Conv2d(2, 3, 1, dtype=torch.complex64)), ["0 (Conv2d): weight has dtype"]),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("case", REFUSED)
def test_the_reason_is_the_true_one(case):
    build, parts = REFUSED[case]
    with pytest.raises(BitloomError) as caught:
        read_module(build(), IMAGE, "net")
    text = str(caught.value)
    assert all(part in text for part in parts) and "\n" not in text and len(text) < 420, text


def test_vectors_of_another_length_are_named():
    with pytest.raises(ModelError, match=r"0 \(Linear\): fails on an input of shape \[2, 6\]"):
        read_module(nn.Sequential(nn.Linear(7, 2)), VECTOR, "net")


def test_all_reasons_come_at_once():
    layers = [
        nn.Conv2d(2, 4, 3, padding=1),
        nn.GELU(),
        nn.Conv2d(4, 4, 1, groups=2),
        nn.SiLU(),
        nn.Conv2d(4, 4, 1),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 4, 1, dilation=2),
        nn.Flatten(),
        nn.Linear(80, 3),
    ]
    with pytest.raises(BitloomError, match="net: cannot be read for 5 reasons: ") as caught:
        read_module(nn.Sequential(*layers), IMAGE, "net")
    text = str(caught.value)
    for part in ("1 (GELU)", "2 (Conv2d): groups=2", "3 (SiLU)", "5 (AvgPool2d)", "6 (Conv2d): dilation"):
        assert part in text
    with pytest.raises(BitloomError, match="for 30 reasons: .*9 .GELU. are not supported; and 20 more; use"):
        read_module(nn.Sequential(*(nn.GELU() for _ in range(30))), IMAGE, "net")


def test_a_block_is_refused_once_with_its_branches():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2)

        def forward(self, x):
            return F.relu(self.norm(self.conv(x)) + x)

    net = nn.Sequential(Block(), Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3))
    with pytest.raises(BitloomError, match="for 3 reasons: ") as caught:
        read_module(net, IMAGE, "net")
    assert all(part in str(caught.value) for part in ("0.add", "1.add", "2 (AdaptiveAvgPool2d) is not supported"))


def test_a_mixer_is_refused_by_its_layers():
    class Mixer(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch, self.norm, self.head = nn.Conv2d(2, 8, 2, 2), nn.LayerNorm(8), nn.Linear(8, 4)
            self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

        def forward(self, x):
            x = self.patch(x).flatten(2).transpose(1, 2)
            return self.head((x + self.mlp(self.norm(x))).mean(1))

    with pytest.raises(BitloomError, match=r"norm \(LayerNorm\), mlp.1 \(GELU\), mean \(function mean\) are not"):
        read_module(Mixer(), IMAGE, "net")


ENDS = {
    "Softmax": (nn.Softmax(1), "3 (Softmax)"),
    "LogSoftmax": (nn.LogSoftmax(-1), "3 (LogSoftmax)"),
    "Sigmoid": (nn.Sigmoid(), "3 (Sigmoid)"),
    "argmax": (Net(lambda net, x: x.argmax(1)), "3.argmax (function argmax)"),
    "argmax of softmax": (
        Net(lambda net, x: torch.argmax(F.softmax(x, dim=-1), -1, keepdim=True)),
        "3.softmax (function softmax)",
    ),
    "max": (Net(lambda net, x: x.max(1)[1]), "3.max_1 (function max)"),
    "log of softmax": (Net(lambda net, x: F.softmax(x, 1).log().squeeze()), "3.softmax (function softmax)"),
}


@pytest.mark.parametrize("case", ENDS)
def test_what_keeps_the_class_is_left_out_with_a_note(case):
    end, label = ENDS[case]
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(144, 4), end).double()
    network = read_module(net, IMAGE, "net")
    x = torch.randn(50, 2, 10, 8).double()
    with torch.no_grad():
        given, logits = net(x), net[:3](x)
    actual = list(network.run(x).values())[-1].flatten(1)
    torch.testing.assert_close(actual, logits)
    classes = given.flatten() if not given.is_floating_point() else given.argmax(1)
    assert torch.equal(actual.argmax(1), classes)
    assert [note.partition(" is left out")[0] for note in network.notes] == [label]


@pytest.mark.parametrize(
    "end",
    [
        lambda x: x.argmax(),
        lambda x: x.softmax(1).argmax(),
        lambda x: x.softmax(1).argmax(0),
        lambda x: x.log_softmax(1).max(0)[1],
    ],
)
def test_an_end_that_mixes_the_images_is_refused(end):
    net = nn.Sequential(nn.Flatten(), nn.Linear(160, 4), Net(lambda net, x: end(x)))
    with pytest.raises(BitloomError, match="only the axis of the classes, dim=1, is supported"):
        read_module(net, IMAGE, "net")
