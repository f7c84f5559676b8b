"""Networks of every float type, and networks that flatten with `view`: every command takes them."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from quant.data import datasets
from quant.frontend.read import read_module
from quant.models.call import in_float32, run_module
from quant.models.sources import load_float_model
from quant.models.train import to_float
from tests.quant.nets import random_images

NETWORKS = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv2d(1, 4, 3, stride=2), nn.Linear(4 * 36, 10)

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.relu(self.conv(x)), 2)
        return self.fc(x.view(x.size(0), -1))


def plain():
    return Net()


def half():
    return Net().half()


def bfloat16():
    return Net().bfloat16()


def double():
    return Net().double()


def mixed():
    net = Net()
    net.conv.bfloat16()
    net.fc.double()
    return net
"""
TYPES = {"half": torch.float16, "bfloat16": torch.bfloat16, "double": torch.float64}


@pytest.fixture
def source(tmp_path):
    (tmp_path / "nets.py").write_text(NETWORKS)
    return lambda name: f"{tmp_path / 'nets.py'}:{name}"


@pytest.fixture
def few(tmp_path):
    images, labels = datasets.load("digits")
    np.savez(tmp_path / "few.npz", images=images[:40], labels=labels[:40])
    return tmp_path / "few.npz"


@pytest.mark.parametrize("name", ["plain", "half", "bfloat16", "double", "mixed"])
def test_networks_are_cast_once_and_exactly(source, name):
    module = load_float_model(source(name))[0]
    assert {value.dtype for value in module.parameters()} == {torch.float32}
    if name in TYPES:
        wanted = load_float_model(source("plain"))[0].to(TYPES[name])
        for own, other in zip(module.parameters(), wanted.parameters(), strict=True):
            assert torch.equal(own.to(TYPES[name]), other) or name == "double"
    layers = read_module(module, (28, 28, 1)).layers
    assert torch.equal(layers[0].weight, module.conv.weight.double())


def test_a_network_of_float32_is_not_copied_and_another_type_is_left_for_the_reader():
    module = nn.Linear(3, 2)
    assert in_float32(module) is module
    module.scale = nn.Parameter(torch.ones(2).to(torch.float8_e4m3fn), requires_grad=False)
    assert in_float32(module) is module
    module = nn.Linear(3, 2).half()
    assert in_float32(module).weight.dtype == torch.float32 and module.weight.dtype == torch.float16


class Casting(nn.Module):
    """Goes down to half precision by itself."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 2, 3).half(), nn.Linear(72, 3)

    def forward(self, x):
        x = torch.relu(self.conv(x.half())).to(torch.bfloat16).to(dtype=torch.float64)
        return self.fc(x.view(len(x), -1).type(torch.float32))


def test_casts_inside_a_forward_stay_in_float32():
    module, x = Casting(), torch.rand(3, 1, 8, 8)
    own = in_float32(module)
    wanted = own.fc(torch.relu(own.conv(x)).flatten(1))
    torch.testing.assert_close(run_module(own, x), wanted, rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(3, 1, 6, 5), (1, 3, 6, 5), (2, 3, 1, 1), (1, 1, 4, 1), (2, 3, 1, 7), (1, 2, 5, 1)])
def test_images_are_handed_out_in_the_plain_layout(shape):
    plain = torch.rand(shape)
    seen = []

    class Flatten(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv = nn.Conv2d(shape[1], 4, 1)

        def forward(self, x):
            seen.append(x.stride())
            return self.conv(x).view(x.shape[0], -1)

    hidden = plain.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    for images in (plain, hidden, plain.double(), plain.permute(0, 1, 3, 2).contiguous().permute(0, 1, 3, 2)):
        assert torch.equal(run_module(Flatten(), images), run_module(Flatten(), plain))
    assert set(seen) == {torch.empty(shape).stride()}
    count, channels, height, width = shape
    assert to_float(random_images(count, (height, width, channels))).stride() == torch.empty(shape).stride()


COMMANDS = {
    "ptq": ("--weight-rounding", "gptq", "--out", "{folder}/ptq"),
    "qat": ("--epochs", 1, "--out", "{folder}/qat"),
    "search": (
        "--file-bytes",
        "80%",
        "--images",
        40,
        "--weight-bits",
        "8,4",
        "--activation-bits",
        8,
        "--points",
        2,
        "--candidates",
        1,
        "--out",
        "{folder}/search",
    ),
    "check": (),
    "report": ("--widths", "int8,int4", "--out", "{folder}/report.html"),
    "train": ("--epochs", 1, "--out", "{folder}/weights.npz"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_them(quant, source, few, tmp_path, command):
    """half everywhere, the others in turn: they go through the same door."""
    for name in ("half", {"ptq": "mixed", "report": "bfloat16"}.get(command, "double")):
        options = [str(option).format(folder=tmp_path) for option in COMMANDS[command]]
        code, out, err = quant(command, "--model", source(name), "--data", few, *options, "--json")
        assert code in ((0, 1) if command == "check" else (0,)), err
        json.loads(out)


@pytest.mark.parametrize("name", ["bfloat16", "mixed"])
def test_floats_of_any_type_are_evaluated_and_compared(quant, source, few, tmp_path, name):
    code, out, err = quant("evaluate", "--model", source(name), "--data", few, "--json")
    assert code == 0 and json.loads(out)["count"] == 40, err
    assert quant("ptq", "--model", source(name), "--data", few, "--out", tmp_path / "net")[0] == 0
    code, out, err = quant(
        "compare", "--model", tmp_path / "net", "--data", few, "--float-model", source(name), "--json"
    )
    assert code == 0 and json.loads(out)["mismatches"] == 0, err
