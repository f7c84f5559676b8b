"""Networks that are made by name: shapes, ranges, equal bytes, and what the compiler gains with their widths."""

import numpy as np
import pytest

from accel import model_dir, reference, synthetic
from accel.compile import compile_graph, fit_config, precisions_for
from accel.config import HardwareConfig
from accel.errors import ModelError
from sim.cases import graphs as networks


@pytest.mark.parametrize("name", synthetic.NAMES)
def test_names_make_networks(name):
    graph = model_dir.load(name)
    (layer,) = graph.layers
    weight_bits, bits = synthetic.WIDTHS[name.split("-")[1]]
    assert graph.name == name and layer.weight_bits == weight_bits
    assert (layer.input.bits, layer.output.bits) == (bits, bits)
    shape = (16, 16, 128) if name.startswith("conv") else (1, 1, 1024)
    assert layer.input.shape == layer.output.shape == shape
    assert layer.macs == (16 * 16 * 9 * 128 * 128 if name.startswith("conv") else 2**20)
    assert np.abs(layer.weights).max() == {8: 127, 6: 31, 4: 7, 2: 2, 1: 1}[weight_bits]
    q = networks.images(np.random.default_rng(0), graph, 1)
    out = reference.run(graph, q)[layer.name]
    assert len(np.unique(out)) > 2**bits / 2 and layer.output.holds(out)
    spread = out.reshape(-1, shape[2])
    assert name.startswith("dense") or (spread.std(axis=0) > 0).mean() > 0.8


def test_equal_names_give_equal_networks(tmp_path):
    one, two = (model_dir.load("dense1024-w1a1").layers[0] for _ in range(2))
    assert np.array_equal(one.weights, two.weights) and np.array_equal(one.requantize.invert, two.requantize.invert)
    assert not np.array_equal(one.weights, np.sign(model_dir.load("dense1024-w1a8").layers[0].weights))
    model_dir.save(model_dir.load("dense1024-w4a4"), tmp_path / "copy")
    assert model_dir.digest("dense1024-w4a4") == model_dir.digest(tmp_path / "copy")
    assert model_dir.digest("dense1024-w4a4") != model_dir.digest("dense1024-w2a2")


def test_a_directory_comes_before_a_generated_name(tmp_path, monkeypatch):
    model_dir.save(model_dir.load("dense1024-w2a2"), tmp_path / "conv128-w8a8")
    monkeypatch.chdir(tmp_path)
    assert model_dir.load("conv128-w8a8").layers[0].op == "dense"


def test_unknown_names_are_told_what_is_generated():
    with pytest.raises(ModelError, match="these are generated: conv128 or dense1024 with -w8a8, -w6a8, -w4a8, -w4a4"):
        model_dir.load("conv128-w3a3")


LEAST_GAIN = {"conv128": {"w4a4": 1.97, "w2a2": 3.9, "w1a1": 7.8}, "dense1024": {"w4a4": 1.9, "w2a2": 3.7, "w1a1": 7.0}}


@pytest.mark.parametrize("shape", synthetic.SHAPES)
def test_predicted_cycles_fall_with_the_width(shape):
    cycles = {}
    for widths in ("w8a8", *LEAST_GAIN[shape]):
        graph = model_dir.load(f"{shape}-{widths}")
        config = fit_config(graph, HardwareConfig(rows=16, lanes=16, precisions=(8, 6, 4, 2, 1)))
        program = compile_graph(graph, config)
        assert program.layers[0].precision.note == ""
        cycles[widths] = program.predicted_cycles
        assert set(precisions_for(graph)) == {8, *synthetic.WIDTHS[widths]}
    assert {widths: cycles["w8a8"] / cycles[widths] >= least for widths, least in LEAST_GAIN[shape].items()} == (
        dict.fromkeys(LEAST_GAIN[shape], True)
    ), cycles
