"""A user's own models and data by name: from a file or a package, what each loader may give, and what is refused."""

import json
import sys

import numpy as np
import pytest
import torch

from accel.errors import DataError, ModelError
from quant.cli.options import default_data
from quant.data import datasets
from quant.data.loaders import load_user_data
from quant.data.user_code import is_user_code
from quant.models.sources import load_float_model, user_name

LOADERS = """
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from quant.data import datasets

pixels, classes = datasets.load("digits")
PLANES = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
NUMBERS = torch.from_numpy(classes)
FLOATS = PLANES.float() / 255

def arrays():
    return pixels, classes

def flat_list():
    return [pixels[..., 0], classes.tolist()]

def tensors():
    return PLANES, NUMBERS

def maps_without_channels():
    return PLANES[:, 0], NUMBERS.to(torch.uint8)

def grey():
    return FLOATS, NUMBERS

def half():
    return TensorDataset(FLOATS.double(), NUMBERS)

def dataset():
    return TensorDataset(PLANES, NUMBERS)

class Samples(Dataset):
    def __len__(self):
        return len(pixels)

    def __getitem__(self, index):
        return pixels[index], int(classes[index])

class Stream(IterableDataset):
    def __iter__(self):
        yield from zip(FLOATS, NUMBERS)

def loader():
    return DataLoader(TensorDataset(FLOATS, NUMBERS), batch_size=32)

ready = loader()

def endless():
    while True:
        yield pixels[:30], classes[:30]

def generator():
    for start in range(0, 100, 7):
        yield pixels[start:start + 7], classes[start:start + 7]

def shuffled():
    return DataLoader(TensorDataset(FLOATS, NUMBERS), batch_size=32, shuffle=True)

def by_split(split):
    return (pixels[:60], classes[:60]) if split == "train" else (pixels[60:], classes[60:])

def by_position(part, /):
    return by_split(part)

def by_keywords(**options):
    return by_split(options["split"])

def by_train(train=True):
    return by_split("train" if train else "test")

def with_default(batch_size=10):
    return DataLoader(dataset(), batch_size=batch_size)

def normalized():
    return (FLOATS - 0.13) / 0.31, NUMBERS

def unlabelled():
    return pixels
"""

BAD = {
    "raises": ("raise OSError('no disk')", "OSError: no disk; check that it runs with split="),
    "leaves": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "nothing": ("return None", "gives a NoneType"),
    "text": ("return 'images'", "gives a str"),
    "dictionary": ("return {'images': IMAGES}", "gives a dict"),
    "number": ("return 3", "gives a int"),
    "dictionaries": ("return [{'x': 1}] * 3", "batch 0 is a dict"),
    "three parts": ("return iter([(IMAGES, LABELS, LABELS)])", "batch 0 has 3 parts"),
    "strings": ("return np.array(['a', 'b']), LABELS", "images are of type ndarray; give arrays"),
    "objects": ("return np.array([None, None]), LABELS", "give arrays or tensors of numbers"),
    "ragged": ("return iter([([[1, 2], [3]], LABELS)])", "batch 0: images cannot be an array"),
    "integers": ("return IMAGES.astype(int), LABELS", "images have type int64; give uint8"),
    "truths": ("return IMAGES > 3, LABELS", "images have type bool"),
    "one axis": ("return IMAGES[:, 0, 0, 0], LABELS", r"images have shape \(6,\)"),
    "five axes": ("return IMAGES[None], LABELS", r"images have shape \(1, 6, 8, 8, 1\)"),
    "no rows": ("return IMAGES[:, :0], LABELS", r"images have shape \(6, 0, 8, 1\)"),
    "empty arrays": ("return IMAGES[:0], LABELS[:0]", "holds no image; leave empty batches out"),
    "empty list": ("return []", "is empty"),
    "empty dataset": ("return Few(0)", "is empty"),
    "nan": ("return np.full((2, 8, 8), np.nan), LABELS[:2]", "NaN or infinity"),
    "infinity": ("return torch.full((2, 1, 8, 8), float('inf')), LABELS[:2]", "NaN or infinity"),
    "tensor layout": ("return torch.from_numpy(IMAGES), LABELS", r"tensors are \[N, C, H, W\]; permute"),
    "array layout": ("return IMAGES.transpose(0, 3, 1, 2), LABELS", r"arrays are \[N, H, W, C\]; transpose"),
    "too few labels": ("return IMAGES, LABELS[:3]", r"labels have shape \(3,\) and type int64; give 6 class numbers"),
    "float labels": ("return IMAGES, LABELS / 2", "type float64; give 6 class numbers"),
    "truth labels": ("return IMAGES, LABELS > 2", "type bool; give 6 class numbers"),
    "one-hot labels": ("return IMAGES, np.eye(6, dtype=int)", r"use labels.argmax\(1\)"),
    "negative labels": ("return IMAGES, LABELS - 1", "labels lie in -1"),
    "sizes": ("return iter([(IMAGES, LABELS), (IMAGES[:, 1:], LABELS)])", r"batch 1: .*\(7, 8, 1\), the first ones"),
    "types": ("return iter([(IMAGES, LABELS), (IMAGES / 2.0, LABELS)])", "batch 1: holds float32 images .* uint8"),
    "some labels": ("return iter([(IMAGES, LABELS), (IMAGES,)])", "batch 1: lacks labels"),
    "sample labels": ("return Few(6, lambda index: 'cat')", "sample 0: labels are of type str"),
    "sample shapes": ("return Few(6, lambda index: [index, 1])", "sample 0: labels have shape"),
    "no length": ("return Endless()", "the Dataset has no length"),
    "needs two": ("return (lambda a, b: 1)(1)", "TypeError"),
}
HEADER = """
import numpy as np
import torch
from torch.utils.data import Dataset
IMAGES, LABELS = np.arange(6 * 64, dtype=np.uint8).reshape(6, 8, 8, 1), np.arange(6)

class Few(Dataset):
    def __init__(self, count, label=int):
        self.count, self.label = count, label

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return IMAGES[index], self.label(index)

class Endless(Dataset):
    def __getitem__(self, index):
        return IMAGES[index % 6], 0

"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package in the working directory that is forgotten afterwards."""
    name = f"own_{abs(hash(str(tmp_path)))}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    (tmp_path / name / "data.py").write_text(LOADERS)
    (tmp_path / name / "net.py").write_text(
        "from torch import nn\nfrom . import data\n"
        "def make():\n    return nn.Sequential(nn.Conv2d(1, 3, 5, stride=2), nn.ReLU(), nn.MaxPool2d(2),\n"
        "                         nn.Flatten(), nn.Linear(108, 10))\n"
    )
    monkeypatch.chdir(tmp_path)
    yield name
    for module in [item for item in sys.modules if item.split(".")[0] == name]:
        del sys.modules[module]


WHOLE = (
    "arrays",
    "flat_list",
    "tensors",
    "maps_without_channels",
    "grey",
    "half",
    "dataset",
    "Samples",
    "Stream",
    "loader",
    "ready",
    "generator",
    "with_default",
)


def test_every_kind_of_loader_gives_the_same_bytes(package):
    images, labels = datasets.load("digits")
    for loader in WHOLE:
        own, classes = load_user_data(f"{package}.data:{loader}", "test")
        assert own.dtype == np.uint8 and classes.dtype == np.int64, loader
        np.testing.assert_array_equal(own, images, loader)
        np.testing.assert_array_equal(classes, labels, loader)


def test_only_as_many_images_as_wanted_are_read(package):
    seen = []
    images, labels = load_user_data(f"{package}.data:endless", "train", 70, seen.append)
    assert len(images) == len(labels) == 70 and seen == [30, 30, 30]


@pytest.mark.parametrize("loader", ["by_split", "by_position", "by_keywords", "by_train"])
def test_a_loader_with_an_argument_is_told_the_split(package, loader):
    assert [len(load_user_data(f"{package}.data:{loader}", split)[0]) for split in ("train", "test")] == [60, 40]


def test_a_shuffled_loader_gives_one_order(package):
    torch.manual_seed(5)
    first = load_user_data(f"{package}.data:shuffled", "train")
    following = torch.rand(1)
    torch.manual_seed(6)
    np.testing.assert_array_equal(first[1], load_user_data(f"{package}.data:shuffled", "train")[1])
    assert first[1].tolist() != datasets.load("digits")[1].tolist()
    torch.manual_seed(5)
    assert torch.equal(following, torch.rand(1))  # the caller's own random numbers are untouched


def test_normalized_floats_stay_floats_and_labels_may_lack(package):
    images, _ = load_user_data(f"{package}.data:normalized", "train")
    assert images.dtype == np.float32 and images.shape == (100, 28, 28, 1)
    images, labels = load_user_data(f"{package}.data:unlabelled", "train")
    assert images.dtype == np.uint8 and labels is None


def test_a_bad_loader_is_named(tmp_path):
    path = tmp_path / "bad.py"
    functions = "".join(f"def loader_{number}(split):\n    {body}\n" for number, (body, _) in enumerate(BAD.values()))
    path.write_text(HEADER + functions)
    for number, (case, (_, message)) in enumerate(BAD.items()):
        with pytest.raises(DataError, match=message) as caught:
            load_user_data(f"{path}:loader_{number}", "test")
        assert str(caught.value).startswith(f"data '{path}:loader_{number}'"), case


def test_what_cannot_be_found_is_named(package, tmp_path):
    (tmp_path / "needs.py").write_text("import no_such_package\n")
    (tmp_path / "net.txt").write_text("")
    for source, message in (
        (f"{package}.nothing:load", f"there is no module {package}.nothing in .* install it"),
        ("no_such_package.data:load", "there is no module no_such_package"),
        ("needs:load", "ModuleNotFoundError: No module named 'no_such_package'"),
        (f"{package}.data:nothing", "has no 'nothing'"),
        (f"{package}.data:PLANES.x", "give path/to/file.py:name or package.module:name"),
        (f"{package}.data:", "give path/to/file.py:name"),
        ("x.py", "give path/to/file.py:name"),
        (f"{tmp_path}/net.txt:load", "net.txt is not a Python file; its name must end in .py"),
        (f"{package}.data:np", "is a module; name a function"),
    ):
        with pytest.raises(DataError, match=message):
            load_user_data(source, "test")
        if "name a function" not in message:
            with pytest.raises((ModelError, DataError), match=message):
                load_float_model(source)


def test_models_come_from_a_package(package):
    module, name, shape = load_float_model(f"{package}.net:make")
    assert (name, shape, module[0].out_channels, module.training) == ("net", None, 3, False)
    assert user_name("a/my net.py:make") == "my_net" and user_name("pkg.deep.net:Net") == "net"
    assert is_user_code("pkg.net:make") and is_user_code("a/b.py:make") and not is_user_code("lenet5")


def test_the_default_data_set_follows_the_model():
    assert default_data("fashion-cnn", "mnist") == default_data("zoo/fashion-cnn-int8", "digits") == "fashion_mnist"
    assert default_data("lenet5", "mnist") == "mnist" and default_data(None, "digits") == "digits"


def test_the_commands_take_a_users_package(quant, package, tmp_path):
    model, data = f"{package}.net:make", f"{package}.data:by_split"
    weights, out = tmp_path / "weights.npz", tmp_path / "int8"
    code, text, err = quant("train", "--model", model, "--data", data, "--epochs", 2, "--out", weights, "--json")
    assert code == 0, err
    trained = json.loads(text)["accuracy"]
    code, text, err = quant("evaluate", "--model", model, "--weights", weights, "--data", data, "--json")
    assert code == 0 and json.loads(text)["accuracy"] == trained and json.loads(text)["count"] == 40, err
    assert quant("ptq", "--model", model, "--weights", weights, "--data", data, "--out", out)[0] == 0
    assert quant("evaluate", "--model", out, "--data", data)[0] == 0
    assert quant("compare", "--model", out, "--data", data, "--float-model", model, "--weights", weights)[0] == 0
    code, _, err = quant(
        "qat", "--model", model, "--weights", weights, "--data", data, "--epochs", 1, "--out", tmp_path / "qat"
    )
    assert code == 0, err


def test_the_commands_refuse_what_does_not_fit(quant, package, tmp_path):
    (tmp_path / "other.py").write_text(
        "import numpy as np\n"
        "def many():\n    return np.zeros((12, 28, 28), np.uint8), np.arange(12)\n"
        "def small():\n    return np.zeros((12, 9, 9), np.uint8), np.zeros(12, int)\n"
        "def floats():\n    return np.full((12, 28, 28), 0.3), np.zeros(12, int)\n"
    )
    many, small = f"{tmp_path}/other.py:many", "other:small"
    train = "train", "--epochs", 1, "--out", tmp_path / "w.npz", "--model"
    for arguments, message in (
        (
            ("evaluate", "--model", "lenet5-int8", "--data", many),
            "0..11 but lenet5-int8 has the classes 0..9",
        ),
        (("evaluate", "--model", "lenet5", "--data", many), "labels lie in 0..11"),
        (("evaluate", "--model", "lenet5", "--data", small), "(28, 28, 1)"),
        (("evaluate", "--model", f"{package}.net:make", "--data", small), "fails on an image of (H, W, C)=(9, 9, 1)"),
        ((*train, "lenet5", "--data", many), "labels lie in 0..11"),
        ((*train, f"{package}.net:make", "--data", many), "labels lie in 0..11"),
        ((*train, f"{package}.net:make", "--data", "other:floats"), "needs uint8 images"),
        ((*train, f"{package}.net:none", "--data", many), "has no 'none'"),
    ):
        code, out, err = quant(*arguments)
        assert code == 2 and out == "" and message in err and "Traceback" not in err, (arguments, err)
