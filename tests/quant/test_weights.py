"""Weight files and where models come from."""

import warnings
from argparse import Namespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrizations, prune

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
    with pytest.raises(ModelError, match="it lacks 1.bias, 1.running_mean, 1.running_var, 1.weight;"):
        load_weights(network(), tmp_path / "few.npz")
    save_weights(network(), tmp_path / "many.npz")
    with pytest.raises(ModelError, match="it has unknown 1.bias"):
        load_weights(nn.Sequential(nn.Conv2d(1, 2, 3)), tmp_path / "many.npz")
    with pytest.raises(ModelError, match=r"than the network's: 0.weight \(2, 1, 3, 3\) for \(2, 1, 5, 5\); "):
        load_weights(nn.Sequential(nn.Conv2d(1, 2, 5), nn.BatchNorm2d(2)), tmp_path / "many.npz")
    module = network()
    module[0].weight.data[0, 0, 0, 0] = float("nan")
    save_weights(module, tmp_path / "nan.npz")
    with pytest.raises(RangeError, match="0.weight holds NaN or infinity"):
        load_weights(network(), tmp_path / "nan.npz")


def test_every_wrong_shape_is_in_one_message(tmp_path):
    save_weights(nn.Sequential(*(nn.Linear(2, 3) for _ in range(4))), tmp_path / "w.npz")
    with pytest.raises(ModelError) as caught:
        load_weights(nn.Sequential(*(nn.Linear(3, 2) for _ in range(4))), tmp_path / "w.npz")
    assert str(caught.value).count(" for (") == 5 and " and 3 more; give the" in str(caught.value)


def saved(tmp_path, content, suffix=".pt"):
    path = tmp_path / f"w{suffix}"
    torch.save(content, path)
    return path


def prefixed(prefix, state):
    return {f"{prefix}{name}": value for name, value in state.items()}


WRAPPED = {
    "plain": (lambda state: state, ""),
    "data parallel": (lambda state: prefixed("module.", state), "without the prefix 'module.'"),
    "compiled": (lambda state: prefixed("_orig_mod.", state), ""),
    "both": (lambda state: prefixed("module._orig_mod.", state), "without the prefix 'module.'"),
    "compiled layers": (lambda state: {name.replace(".", "._orig_mod."): value for name, value in state.items()}, ""),
    "own name": (lambda state: prefixed("net.backbone.", state), "without the prefix 'net.backbone.'"),
    "state_dict": (lambda state: {"epoch": 3, "state_dict": state}, "read from 'state_dict'"),
    "model": (lambda state: {"model": state, "optimizer": {"state": {0: {"step": torch.ones(())}}}}, "from 'model'"),
    "unknown wrapper": (lambda state: {"best": {"params": state}}, "read from 'best.params'"),
    "the trained one before its average": (
        lambda state: {"ema": {name: value + 1 for name, value in state.items()}, "model_state_dict": state},
        "from 'model_state_dict'",
    ),
    "the one that fits": (
        lambda state: {"state_dict": {"0.weight": torch.ones(2)}, "generator": prefixed("g.", state)},
        "read from 'generator', without the prefix 'g.'",
    ),
    "lightning": (
        lambda state: {"state_dict": prefixed("model.", state), "loops": {"fit": {}}, "hparams_name": "args"},
        "read from 'state_dict', without the prefix 'model.'",
    ),
    "without a counter": (lambda state: {name: value for name, value in state.items() if "num_" not in name}, ""),
    "parameters": (
        lambda state: {
            name: nn.Parameter(value) if value.is_floating_point() else value for name, value in state.items()
        },
        "",
    ),
}


@pytest.mark.parametrize("case", WRAPPED)
def test_wrappers_and_prefixes_are_left_out_and_said(tmp_path, capsys, case):
    wrap, said = WRAPPED[case]
    module = network()
    path = saved(tmp_path, wrap(module.state_dict()), ".ckpt")
    loaded = load_weights(network(), path).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in module.state_dict().items())
    err = capsys.readouterr().err
    assert err.count("\n") == bool(said) and said in err and err.startswith("note: " if said else "")


def test_a_wrapped_network_takes_plain_weights(tmp_path, capsys):
    module = network()
    path = saved(tmp_path, module.state_dict())
    loaded = load_weights(nn.DataParallel(network()), path).module
    assert torch.equal(loaded[0].weight, module[0].weight)
    assert "with the network's prefix 'module.'" in capsys.readouterr().err


def test_safetensors_are_read(tmp_path, capsys):
    module = network()
    save_file(prefixed("model.", module.state_dict()), tmp_path / "w.safetensors")
    assert torch.equal(load_weights(network(), tmp_path / "w.safetensors")[0].weight, module[0].weight)
    assert "without the prefix 'model.'" in capsys.readouterr().err


def test_tied_and_parametrized_weights_are_read(tmp_path):
    def tied():
        module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        module[1].weight = module[0].weight
        return module

    module = tied()
    state = module.state_dict()
    del state["1.weight"]  # as safetensors' save_model does
    assert torch.equal(load_weights(tied(), saved(tmp_path, state))[1].weight, module[1].weight)
    for change in (parametrizations.weight_norm, lambda layer: prune.l1_unstructured(layer, "weight", 0.5)):
        module, other = (nn.Sequential(change(nn.Linear(3, 3))) for _ in range(2))
        path = saved(tmp_path, module.state_dict())
        load_weights(other, path)
        assert torch.equal(other(torch.ones(1, 3)), module(torch.ones(1, 3)))
        with pytest.raises(
            ModelError,
            match=r"it lacks 0.weight; .*call torch.nn.utils.p\w+ize.remove_p\w+ before "
            r"saving|call torch.nn.utils.prune.remove before saving",
        ):
            load_weights(nn.Sequential(nn.Linear(3, 3)), path)


def quantized(tensor):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)


TENSORS = {
    "int8": lambda w: w.to(torch.int8),
    "int64": lambda w: w.long(),
    "bool": lambda w: w > 0,
    "complex": lambda w: w.to(torch.complex64),
    "float8": lambda w: w.to(torch.float8_e4m3fn),
    "quantized": quantized,
    "sparse": lambda w: w.to_sparse(),
    "meta": lambda w: w.to("meta"),
}


@pytest.mark.parametrize("case", TENSORS)
def test_tensors_that_are_no_dense_floats_are_refused(tmp_path, case):
    state = nn.Linear(2, 3).state_dict()
    state["weight"] = TENSORS[case](state["weight"])
    with pytest.raises(DataError, match=f"w.pt: .*weight.*{case}"):
        load_weights(nn.Linear(2, 3), saved(tmp_path, state))


@pytest.mark.parametrize("kind", ["i1", "u8", "?", "c8", "S3", "U3", "M8[s]", "m8[s]", "V4", "f4,f4", "O"])
def test_arrays_that_are_no_floats_are_refused(tmp_path, kind):
    np.savez(tmp_path / "w.npz", weight=np.zeros((3, 2), kind), bias=np.zeros(3, np.float32))
    with pytest.raises(DataError, match="w.npz: weight"):
        load_weights(nn.Linear(2, 3), tmp_path / "w.npz")


@pytest.mark.parametrize("kind", ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"])
def test_arrays_of_every_byte_order_are_read(tmp_path, kind):
    weight = np.asfortranarray(np.arange(6).reshape(3, 2) / 4)
    np.savez(tmp_path / "w.npz", weight=weight.astype(kind), bias=np.zeros(3, kind))
    loaded = load_weights(nn.Linear(2, 3), tmp_path / "w.npz")
    assert torch.equal(loaded.weight.double(), torch.from_numpy(weight.copy()))


@pytest.mark.parametrize(
    "content",
    [
        {1: torch.ones(3)},
        {1: torch.ones(3), "a": torch.ones(3)},
        torch.ones(3),
        5,
        {},
        {"a": {"b": 3}},
        {"a": 1.0},
        None,
    ],
)
def test_what_is_no_state_dictionary_is_refused(tmp_path, content):
    with pytest.raises(DataError, match="is not a state dictionary, names with their tensors; save module.state_dict"):
        load_weights(network(), saved(tmp_path, content))


def test_foreign_names_are_shortened(tmp_path):
    content = {**network().state_dict(), **{f"{index}\x1b" + "x" * 500: torch.ones(1) for index in range(10)}}
    with pytest.raises(ModelError) as caught:
        load_weights(network(), saved(tmp_path, content))
    text = str(caught.value)
    assert text.isprintable() and len(text) < 500 and "and 5 more; give the weights of this network" in text


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
    with pytest.raises(
        DataError,
        match="is a pickled object of torch.nn.modules.container.Sequential, which is never "
        "executed; save module.state_dict",
    ):
        load_weights(network(), saved(tmp_path, network()))
    content = {"state_dict": network().state_dict(), "hyper_parameters": Namespace(rate=1)}
    with pytest.raises(
        DataError,
        match="holds at hyper_parameters a pickled argparse.Namespace, which is never "
        "executed; save the weights alone where it was trained: torch.save",
    ):
        load_weights(network(), saved(tmp_path, content, ".ckpt"))


def test_models_come_from_the_zoo_or_from_a_file(tmp_path):
    module, name, shape = load_float_model("lenet5")
    assert name == "lenet5" and shape == (28, 28, 1) and not module.training
    (tmp_path / "helper.py").write_text("CHANNELS = 3\n")
    path = tmp_path / "my net.py"
    path.write_text(
        "from helper import CHANNELS\nfrom torch import nn\n"
        "def make():\n    return nn.Sequential(nn.Conv2d(1, CHANNELS, 3))\n"
        "ready = make()\ndef number():\n    return 3\ndef fails():\n    raise KeyError('gone')\n"
    )
    for factory in ("make", "ready"):
        module, name, shape = load_float_model(f"{path}:{factory}")
        assert (name, shape, module[0].out_channels) == ("my_net", None, 3)
    save_weights(module, tmp_path / "weights.npz")
    again, _, _ = load_float_model(f"{path}:make", tmp_path / "weights.npz")
    assert torch.equal(again[0].weight, module[0].weight)
    for factory, message in (
        ("number", "gives a int; return a torch.nn.Module"),
        ("fails", "KeyError"),
        ("other", "has no 'other'"),
        ("not a name", "path/to/file.py:name"),
    ):
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
