"""Weight files and where models come from."""

import numpy as np
import pytest
import torch
from torch import nn

from accel.errors import DataError, ModelError, RangeError
from quant.frontend.read import read_module
from quant.models.sources import load_float_model, plain_name
from quant.models.weights import load_weights, save_weights


def network():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def test_npz_round_trip_is_exact_and_stable(tmp_path):
    module = network()
    save_weights(module, tmp_path / "a.npz")
    save_weights(module, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    loaded = load_weights(network(), tmp_path / "a.npz")
    for name, tensor in module.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_weights_of_a_state_dictionary_stay_exact(tmp_path, dtype):
    module = nn.Sequential(nn.Conv2d(1, 2, 3)).to(dtype)
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    loaded = load_weights(nn.Sequential(nn.Conv2d(1, 2, 3)), tmp_path / "weights.pt")
    layer = read_module(loaded, (3, 3, 1)).layers[0]
    assert torch.equal(layer.weight, module[0].weight.double())


def test_files_that_do_not_fit_are_refused(tmp_path):
    save_weights(nn.Sequential(nn.Conv2d(1, 2, 3)), tmp_path / "few.npz")
    with pytest.raises(ModelError, match="it lacks 1.bias, 1.num_batches_tracked"):
        load_weights(network(), tmp_path / "few.npz")
    save_weights(network(), tmp_path / "many.npz")
    with pytest.raises(ModelError, match="it has unknown 1.bias"):
        load_weights(nn.Sequential(nn.Conv2d(1, 2, 3)), tmp_path / "many.npz")
    with pytest.raises(ModelError, match=r"0.weight has shape \(2, 1, 3, 3\), the network needs"):
        load_weights(nn.Sequential(nn.Conv2d(1, 2, 5), nn.BatchNorm2d(2)), tmp_path / "many.npz")
    module = network()
    module[0].weight.data[0, 0, 0, 0] = float("nan")
    save_weights(module, tmp_path / "nan.npz")
    with pytest.raises(RangeError, match="0.weight holds NaN or infinity"):
        load_weights(network(), tmp_path / "nan.npz")


class Harmful:
    """Unpickling it would run a command."""

    def __reduce__(self):
        return exec, ("raise SystemExit('executed')",)


@pytest.mark.parametrize("name", ["weights.npz", "weights.pt", "weights.pth", "weights.bin", "missing.npz"])
def test_files_that_are_no_weights_are_refused_and_never_executed(tmp_path, name):
    if not name.startswith("missing"):
        torch.save({"0.weight": Harmful()}, tmp_path / name)
    with pytest.raises(DataError, match=name):
        load_weights(network(), tmp_path / name)


def test_a_whole_module_is_not_a_state_dictionary(tmp_path):
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    with pytest.raises(DataError, match="save module.state_dict"):
        load_weights(network(), tmp_path / "list.pt")


def test_models_come_from_the_zoo_or_from_a_file(tmp_path):
    module, name, shape = load_float_model("lenet5")
    assert name == "lenet5" and shape == (28, 28, 1) and not module.training
    (tmp_path / "helper.py").write_text("CHANNELS = 3\n")
    path = tmp_path / "my net.py"
    path.write_text("from helper import CHANNELS\nfrom torch import nn\n"
                    "def make():\n    return nn.Sequential(nn.Conv2d(1, CHANNELS, 3))\n"
                    "ready = make()\ndef number():\n    return 3\ndef fails():\n    raise KeyError('gone')\n")
    for factory in ("make", "ready"):
        module, name, shape = load_float_model(f"{path}:{factory}")
        assert (name, shape, module[0].out_channels) == ("my_net", None, 3)
    save_weights(module, tmp_path / "weights.npz")
    again, _, _ = load_float_model(f"{path}:make", tmp_path / "weights.npz")
    assert torch.equal(again[0].weight, module[0].weight)
    for factory, message in (("number", "gives a int; return a torch.nn.Module"), ("fails", "KeyError"),
                             ("other", "has no 'other'"), ("not a name", "path/to/file.py:name")):
        with pytest.raises(ModelError, match=message):
            load_float_model(f"{path}:{factory}")


def test_unknown_models_are_refused(tmp_path):
    with pytest.raises(ModelError, match="model 'alexnet' is unknown; choose one of fashion-cnn, lenet5 or give"):
        load_float_model("alexnet")
    with pytest.raises(DataError, match="file .*none.py not found"):
        load_float_model(f"{tmp_path}/none.py:make")
    (tmp_path / "broken.py").write_text("def make(:\n")
    with pytest.raises(ModelError, match="SyntaxError"):
        load_float_model(f"{tmp_path}/broken.py:make")


def test_names():
    assert plain_name("my net.v2") == "my_net_v2"
    assert plain_name("2nd") == "model_2nd"
    assert np.all([plain_name(text).isascii() for text in ("é", "", "a")])
