"""Every way of post-training quantization ends in a network that three executions agree on, and that files keep."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from accel import model_dir, reference
from accel.names import REQUANTIZERS
from quant.arithmetic.multipliers import hot_bits
from quant.frontend.prepare import prepare, with_pixel_scale
from quant.frontend.read import read_module
from quant.models.sources import load_float_model
from quant.names import CALIBRATIONS, WEIGHT_LEVELS
from quant.ptq.options import PtqOptions
from quant.ptq.pipeline import Normalization, quantize_module, work
from quant.ptq.quantize import quantize
from quant.reference.compare import Comparer
from tests.quant import nets

SHAPE = (8, 7, 2)
NORMALIZED = Normalization((0.49, 0.45), (0.25, 0.3))


def small(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 5, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(5, 4, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24, 6),
        nn.ReLU(),
        nn.Linear(6, 3),
    )


def agree(graph, images):
    comparer = Comparer(graph)
    comparer.add(reference.encode_input(graph, images))
    return comparer.result.ok


options = st.fixed_dictionaries(
    {
        "weight_bits": st.one_of(st.sampled_from([8, 6, 4, 2]), st.tuples(*[st.sampled_from([8, 6, 4, 2])] * 4)),
        "activation_bits": st.one_of(st.sampled_from([8, 4, 2]), st.tuples(*[st.sampled_from([8, 4, 2])] * 3)),
        "rule": st.sampled_from(["half_up", "half_away", "gemmlowp"]),
        "encoding": st.sampled_from(["uint8", "float"]),
        "full_range": st.booleans(),
        "requantizer": st.sampled_from(list(REQUANTIZERS)),
        "weight_levels": st.sampled_from(WEIGHT_LEVELS),
        "calibration": st.sampled_from(CALIBRATIONS),
        "weight_calibration": st.sampled_from(CALIBRATIONS),
        "granularity": st.sampled_from(["channel", "tensor"]),
        "activation_scheme": st.sampled_from(["affine", "symmetric"]),
        "scales": st.sampled_from(["float", "pow2"]),
        "equalize": st.booleans(),
        "bias_correction": st.booleans(),
        "weight_rounding": st.sampled_from(["nearest", "gptq", "awq"]),
    }
)


@given(chosen=options, seed=st.integers(0, 100))
@settings(max_examples=15)
def test_three_executions_agree_whatever_is_chosen(chosen, seed):
    images = nets.random_images(6, SHAPE, seed)
    graph = quantize_module(small(seed), images, options=PtqOptions(**chosen))
    assert agree(graph, images)
    for layer in graph.layers:
        assert np.isfinite(layer.notes["snr_db"])


@pytest.mark.parametrize("rounding", ["nearest", "gptq", "awq"])
def test_every_rounding_goes_through_the_model_directory(rounding, tmp_path):
    images = nets.random_images(8, SHAPE)
    graph = quantize_module(small(), images, options=PtqOptions(weight_bits=4, weight_rounding=rounding))
    assert agree(graph, images) and graph.notes.get("weight_rounding", "nearest") == rounding
    model_dir.save(graph, tmp_path / "model")
    loaded = model_dir.load(tmp_path / "model")
    for left, right in zip(graph.layers, loaded.layers, strict=True):
        assert left.op == "maxpool" or np.array_equal(left.weights, right.weights)
    assert loaded.notes == graph.notes


def test_learned_roundings_lose_less_than_the_nearest():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(120, 3))
    images = nets.random_images(40, SHAPE)
    ratios = {}
    for name in ("nearest", "adaround", "gptq"):
        graph = quantize_module(module, images, options=PtqOptions(weight_bits=4, weight_rounding=name))
        assert agree(graph, images)
        ratios[name] = graph.layers[-1].notes["snr_db"]
    assert ratios["adaround"] > ratios["nearest"] + 2 and ratios["gptq"] > ratios["nearest"] + 2


@pytest.mark.parametrize("encoding", ["uint8", "float"])
@pytest.mark.parametrize("scheme", ["affine", "symmetric"])
@pytest.mark.parametrize("rule", ["half_up", "half_away", "gemmlowp"])
def test_powers_of_two_make_every_multiplier_a_shift(encoding, scheme, rule):
    images = nets.random_images(12, SHAPE)
    chosen = {"encoding": encoding, "activation_scheme": scheme, "rule": rule, "scales": "pow2"}
    graph = quantize_module(small(), images, normalization=NORMALIZED, options=PtqOptions(**chosen))
    narrow = quantize_module(
        small(), images, normalization=NORMALIZED, options=PtqOptions(requantizer="pow2", **chosen)
    )
    for tensor in (graph.input, *(layer.output for layer in graph.layers)):
        assert np.log2(tensor.scale) % 1 == 0
    for layer, same in zip(graph.layers, narrow.layers, strict=True):
        if layer.op == "maxpool":
            continue
        assert (np.log2(layer.weight_scale) % 1 == 0).all() and np.array_equal(layer.weights, same.weights)
        if layer.requantize is not None:
            assert {hot_bits(m) for m in layer.requantize.multiplier} == {1}
    assert agree(graph, images) and graph.notes["scales"] == "pow2"
    assert min(layer.notes["snr_db"] for layer in graph.layers) > 20


def test_another_pixel_scale_is_the_same_network():
    prepared = prepare(read_module(small(), SHAPE), NORMALIZED.mean, NORMALIZED.std)
    other = with_pixel_scale(prepared, 1 / 256)
    images = nets.random_images(3, SHAPE)
    before = prepared.network.run(prepared.input_values(images))
    after = other.network.run(other.input_values(images))
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_symmetric_activations_have_the_zero_point_zero(bits):
    images = nets.random_images(12, SHAPE)
    chosen = PtqOptions(activation_scheme="symmetric", activation_bits=bits, encoding="float")
    graph = quantize_module(small(), images, options=chosen)
    assert {tensor.zero_point for tensor in (graph.input, *(layer.output for layer in graph.layers))} == {0}
    assert agree(graph, images)


def test_an_outlier_image_no_longer_sets_the_range():
    images = nets.random_images(200, SHAPE) // 8
    images[17] = 255
    scales = {
        method: quantize_module(small(), images, options=PtqOptions(calibration=method, activation_bits=4))
        .layers[0]
        .output.scale
        for method in CALIBRATIONS
    }
    assert all(scales[method] < 0.9 * scales["minmax"] for method in ("percentile", "kl", "mse"))


def test_notes_name_what_is_not_the_default():
    images = nets.random_images(4, SHAPE)
    plain = quantize_module(small(), images).notes
    assert plain == {"calibration": "minmax", "calibration_images": 4, "rounding": "half_up"}
    chosen = PtqOptions(
        calibration="percentile",
        percentile=99.0,
        weight_calibration="mse",
        granularity="tensor",
        equalize=True,
        weight_rounding="gptq",
    )
    assert quantize_module(small(), images, options=chosen).notes == {
        **plain,
        "calibration": "percentile",
        "percentile": 99.0,
        "weight_calibration": "mse",
        "granularity": "tensor",
        "equalize": True,
        "weight_rounding": "gptq",
    }


@pytest.mark.parametrize(
    "chosen", [{}, {"calibration": "mse"}, {"calibration": "kl", "bias_correction": True}, {"weight_rounding": "gptq"}]
)
def test_progress_adds_up(chosen):
    images, counts = nets.random_images(7, SHAPE), []
    chosen = PtqOptions(**chosen)
    quantize_module(small(), images, options=chosen, advance=counts.append)
    assert sum(counts) == pytest.approx(work(chosen, 7))


def test_the_defaults_give_the_shipped_network_byte_by_byte(tmp_path):
    shipped = model_dir.load("lenet5-int8")
    module, _, shape = load_float_model("lenet5")
    # The shipped scales are float32((high - low) / 255), which this range gives back.
    ranges = {layer.name: (0.0, 255 * layer.output.scale) for layer in shipped.layers if layer.output.bits == 8}
    graph = quantize(prepare(read_module(module, shape, shipped.name)), ranges, class_names=shipped.class_names)
    for layer, same in zip(graph.layers, shipped.layers, strict=True):
        layer.notes.update(same.notes)
    graph.notes.update(shipped.notes)
    model_dir.save(graph, tmp_path / "again")
    folder = model_dir.resolve("lenet5-int8")
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "again").iterdir())
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes(), name


def test_the_command_takes_every_option(quant, tmp_path):
    np.savez(tmp_path / "images.npz", images=nets.random_images(10, (28, 28, 1)))
    code, out, err = quant(
        "ptq",
        "--model",
        "lenet5",
        "--data",
        tmp_path / "images.npz",
        "--weight-bits",
        "8,4,4,4,8",
        "--activation-bits",
        "8,4,4,8",
        "--weight-levels",
        "khot2",
        "--weight-rounding",
        "gptq",
        "--weight-calibration",
        "mse",
        "--calibration",
        "percentile",
        "--percentile",
        "99.9",
        "--scales",
        "pow2",
        "--equalize",
        "--bias-correction",
        "--layer-images",
        "5",
        "--granularity",
        "tensor",
        "--activation-scheme",
        "symmetric",
        "--out",
        tmp_path / "model",
        "--json",
    )
    assert code == 0, err
    values = json.loads(out)
    assert values["weight_bits"] == [8, 4, 4, 4, 8] and values["activation_bits"] == [8, 4, 4, 8]
    graph = model_dir.load(tmp_path / "model")
    assert graph.name == "lenet5-mixed"
    assert [layer.weight_bits for layer in graph.layers if layer.op != "maxpool"] == [8, 4, 4, 4, 8]
    assert graph.notes == {
        "calibration": "percentile",
        "calibration_images": 10,
        "rounding": "half_up",
        "percentile": 99.9,
        "weight_levels": "khot2",
        "weight_calibration": "mse",
        "granularity": "tensor",
        "activation_scheme": "symmetric",
        "scales": "pow2",
        "equalize": True,
        "bias_correction": True,
        "weight_rounding": "gptq",
    }


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--weight-scheme", "affine"), "weight_scheme=affine cannot be exported"),
        (("--activation-granularity", "channel"), "activation_granularity=channel cannot be exported"),
        (("--weight-bits", "8,4"), "weight_bits 8,4 has 2 values but the network has 5 layers with weights"),
        (("--weight-bits", "5"), "weight_bits=5 is not supported"),
        (("--percentile", "20"), "percentile 20.0 must be above 50"),
    ],
)
def test_the_command_refuses_by_name(quant, tmp_path, arguments, message):
    np.savez(tmp_path / "images.npz", images=nets.random_images(2, (28, 28, 1)))
    code, _, err = quant(
        "ptq", "--model", "lenet5", "--data", tmp_path / "images.npz", "--out", tmp_path / "model", *arguments
    )
    assert code == 2 and message in " ".join(err.split()) and not (tmp_path / "model").exists()


def test_the_comparison_refuses_the_float_model_of_moved_scales(quant, tmp_path):
    np.savez(tmp_path / "images.npz", images=nets.random_images(3, (28, 28, 1)))
    common = ("--data", tmp_path / "images.npz")
    quant("ptq", "--model", "lenet5", *common, "--equalize", "--out", tmp_path / "model")
    code, _, err = quant("compare", "--model", tmp_path / "model", *common, "--float-model", "lenet5")
    assert code == 2 and "was made with equalize=True, which moves scales" in " ".join(err.split())
    assert quant("compare", "--model", tmp_path / "model", *common)[0] == 0
