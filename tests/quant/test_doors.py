"""What every command says of a network before it starts to work: what the hardware lacks, what was left out, whose
weights are random; and that vectors go everywhere."""

import numpy as np
import pytest
import torch
from torch import nn

from accel import ir, model_dir
from accel.compile import possible
from accel.convert import hardware_config
from accel.errors import BitloomError
from accel.hdl.targets import DEFAULT_TARGET, find_target
from quant.check.hardware import refusal, shapes_of
from quant.cli.user_input import encoding_of, look_at
from quant.data.augment import random_affine
from quant.data.images import read_images
from quant.data.loaders import load_user_data
from quant.frontend.read import read_module
from quant.models.sources import load_float_model
from tests.quant import nets

CODE = """
import numpy as np
import torch
from torch import nn

def overlapping():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten(), nn.Linear(36, 4))

def classifier():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4), nn.Softmax(1))

def ends_with_the_class():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.logits = classifier()[:3]

        def forward(self, x):
            return self.logits(x).argmax(1)
    return Net()

def wrapped():
    return torch.compile(nn.DataParallel(classifier()), backend="eager")

class Fresh(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(6, 4))

def pictures(split):
    return np.random.default_rng(0).integers(0, 256, (20, 9, 9), dtype=np.uint8), np.arange(20) % 4

def vectors(split):
    return np.random.default_rng(0).integers(0, 256, (40, 6), dtype=np.uint8), np.arange(40) % 4

def floats(split):
    images, labels = vectors(split)
    return torch.from_numpy(images) / 100 - 1, labels

def uneven(split):
    images, labels = vectors(split)
    return images[:, :6 if split == "train" else 5], labels
"""


@pytest.fixture
def code(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(CODE)
    return path


WITHOUT_HARDWARE = {
    "overlapping pool": (nn.MaxPool2d(3, 2), "a max pool of height 3 with stride 2 is not supported"),
    "large pool": (nn.MaxPool2d(18), "a max pool of height 18 is not supported, at most 16"),
    "wide pads": (nn.Sequential(nn.ReLU(), nn.ZeroPad2d(17), nn.MaxPool2d(18)), "is not supported, at most"),
}


@pytest.mark.parametrize("case", WITHOUT_HARDWARE)
def test_every_door_says_what_convert_says(case):
    layer, text = WITHOUT_HARDWARE[case]
    network = read_module(nn.Sequential(nn.Conv2d(2, 3, 1), layer), (40, 38, 2), "net")
    assert text in refusal(network)
    with pytest.raises(BitloomError) as caught:
        hardware_config(shapes_of(network), find_target(DEFAULT_TARGET), None, None, ())
    assert str(caught.value) == refusal(network)


def test_what_some_build_holds_is_not_refused():
    assert refusal(read_module(nets.chain(), nets.CHAIN_SHAPE)) is None
    big = nn.Sequential(nn.Conv2d(3, 256, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(256, 256, 3))
    assert refusal(read_module(big, (64, 64, 3))) is None
    deep = nn.Sequential(*(nn.Conv2d(2, 2, 1) for _ in range(70)))
    assert "cannot exceed 64" in refusal(read_module(deep, (2, 2, 2)))


def test_the_stand_in_has_the_shapes_of_the_network():
    network = read_module(nets.chain(), nets.CHAIN_SHAPE)
    graph = shapes_of(network)
    assert isinstance(graph, ir.Graph) and graph.output.shape == network.output_shape
    assert [layer.name for layer in graph.layers] == [layer.name for layer in network.layers]
    assert possible.refusal(graph) is None


@pytest.mark.parametrize("command", ["ptq", "check", "search"])
def test_the_commands_warn_before_they_work(quant, code, tmp_path, command):
    options = {"ptq": ["--out", tmp_path / "int8"], "check": [], "search": ["--cycles", "90%", "--out", tmp_path / "s"]}
    _, _, err = quant(command, "--model", f"{code}:overlapping", "--data", f"{code}:pictures", *options[command])
    assert "note: no build of the accelerator can run own: layer_2: a max pool of height 3 with stride 2" in err


def test_notes_of_the_reader_reach_the_user(capsys):
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Softmax(1))
    network = look_at(module, np.zeros((1, 2, 2, 1), np.uint8), "net")
    assert capsys.readouterr().err == f"note: {network.notes[0]}\n"


def test_a_class_without_weights_is_random_and_a_function_is_trusted(code, capsys):
    load_float_model(f"{code}:Fresh")
    assert "Fresh is a class, so its weights are random; give --weights" in capsys.readouterr().err
    load_float_model(f"{code}:classifier")
    assert capsys.readouterr().err == ""


def test_wrappers_are_taken_off_at_the_door(code):
    module, _, _ = load_float_model(f"{code}:wrapped")
    assert [name for name, _ in module.named_children()] == ["0", "1", "2", "3"]


@pytest.mark.parametrize("data", ["vectors", "floats"])
def test_vectors_are_quantized_evaluated_and_run(quant, code, tmp_path, data):
    model, data, out = f"{code}:classifier", f"{code}:{data}", tmp_path / "int8"
    code_, _, err = quant("ptq", "--model", model, "--data", data, "--out", out)
    assert code_ == 0 and "3 (Softmax) is left out" in err
    graph = model_dir.load(out)
    assert graph.input.shape == (1, 1, 6) and [layer.op for layer in graph.layers] == ["dense", "dense"]
    assert quant("evaluate", "--model", out, "--data", data)[0] == 0
    for name in ("classifier", "ends_with_the_class"):
        assert quant("evaluate", "--model", f"{code}:{name}", "--data", data)[0] == 0
    assert possible.refusal(graph) is None


def test_vectors_are_trained_and_checked(quant, code, tmp_path):
    for name in ("classifier", "ends_with_the_class"):
        status, _, err = quant(
            "qat", "--model", f"{code}:{name}", "--data", f"{code}:vectors", "--epochs", 1, "--out", tmp_path / name
        )
        assert status == 0, err
    assert quant("check", "--model", f"{code}:classifier", "--data", f"{code}:floats")[0] in (0, 1)


@pytest.mark.parametrize(
    ("command", "purpose", "options"),
    [
        ("train", "training", ()),
        ("qat", "training", ()),
        ("search", "a search", ("--cycles", "90%")),
        ("report", "a report", ()),
    ],
)
def test_who_needs_bytes_says_how_floats_become_some(quant, code, tmp_path, command, purpose, options):
    out = tmp_path / {"train": "weights.npz", "report": "report.html"}.get(command, "model")
    status, _, err = quant(command, "--model", f"{code}:classifier", "--data", f"{code}:floats", *options, "--out", out)
    ranges = "" if command == "train" else " (--mean and --std for other ranges)"
    assert status == 2 and not out.exists()
    assert err == (
        f"error: {code}:floats: holds float32 images; {purpose} needs uint8 images, such as 255 * x rounded "
        f"for x in 0..1{ranges}\n"
    )


@pytest.mark.parametrize(("command", "options"), [("search", ("--cycles", "90%")), ("qat", ())])
def test_test_images_of_another_size_are_refused_before_the_work(quant, code, tmp_path, command, options):
    out = tmp_path / "model"
    status, _, err = quant(command, "--model", f"{code}:classifier", "--data", f"{code}:uneven", *options, "--out", out)
    assert status == 2 and not out.exists()
    assert "has training images of (H, W, C)=(1, 1, 6) but test images of (1, 1, 5); give images of one size" in err


def test_vectors_are_images_of_one_pixel(code, tmp_path):
    images, _ = load_user_data(f"{code}:vectors", "train")
    assert images.shape == (40, 1, 1, 6)
    assert load_user_data(f"{code}:floats", "train")[0].dtype == np.float32
    np.savez(tmp_path / "v.npz", images=images[:, 0, 0], labels=np.arange(40))
    assert read_images(tmp_path / "v.npz")[0].shape == (40, 1, 1, 6)
    assert random_affine(vectors := torch.rand(3, 6, 1, 1), torch.Generator()) is vectors
    assert [encoding_of(None, item) for item in (images, images / np.float32(2))] == ["uint8", "float"]
    assert encoding_of("float", images) == "float"
