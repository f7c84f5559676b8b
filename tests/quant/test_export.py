"""Exported tables: NumPy and safetensors read them back, they are enough to compute a layer, bytes are equal."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from safetensors import safe_open

from accel import fixedpoint, model_dir, reference
from quant.export.files import contents
from quant.export.tables import npz_bytes, safetensors_bytes, tables
from sim.cases.graphs import images, random_mixed_graph

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("lenet5-int8", "lenet5-mixed", "lenet5-w1a1")


@pytest.mark.parametrize("name", NAMES)
def test_both_files_hold_every_table(name, tmp_path):
    graph = model_dir.load(name)
    wanted = tables(graph)
    arrays = dict(np.load(io.BytesIO(npz_bytes(graph)), allow_pickle=False))
    text = str(arrays.pop("bitloom"))
    (tmp_path / "tables.safetensors").write_bytes(safetensors_bytes(graph))
    with safe_open(tmp_path / "tables.safetensors", "np") as file:
        assert file.metadata() == {"bitloom": text}
    for found in (arrays, safetensors.numpy.load_file(tmp_path / "tables.safetensors")):
        assert set(found) == set(wanted)
        for key, value in wanted.items():
            assert found[key].dtype == value.dtype and np.array_equal(found[key], value), key
    described = json.loads(text)
    assert described["name"] == name and [layer["name"] for layer in described["layers"]] == [
        layer.name for layer in graph.layers
    ]


@pytest.mark.parametrize("name", NAMES)
def test_tables_are_those_of_the_graph(name):
    graph = model_dir.load(name)
    found = tables(graph)
    for layer in graph.layers:
        assert found[f"{layer.name}.output_scale"] == layer.output.scale
        assert found[f"{layer.name}.output_zero_point"] == layer.output.zero_point
        if layer.op == "maxpool":
            continue
        assert found[f"{layer.name}.weight"].dtype == np.int8
        assert np.array_equal(found[f"{layer.name}.weight"], layer.weights)
        packed = found[f"{layer.name}.weight_packed"]
        assert np.array_equal(fixedpoint.unpack(packed, layer.weight_bits, layer.weights.shape[-1]), layer.weights)
        assert np.array_equal(found[f"{layer.name}.bias"], layer.bias)


def dense_from_tables(found, name, q):
    """A dense layer from its tables alone: sums of stored integers with the folded bias, then the requantization."""
    acc = q @ found[f"{name}.weight"].astype(np.int64).T + found[f"{name}.bias_folded"]
    if f"{name}.threshold" in found:
        return np.where((acc >= found[f"{name}.threshold"]) != found[f"{name}.invert"].astype(bool), 1, -1)
    if f"{name}.multiplier" not in found:
        return acc
    multiplier, shift = (found[f"{name}.{what}"].astype(np.int64) for what in ("multiplier", "shift"))
    y = (acc * multiplier + (1 << (shift - 1))) >> shift
    return np.clip(y + found[f"{name}.output_zero_point"], found[f"{name}.qmin"], found[f"{name}.qmax"])


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_is_computed_from_its_tables(name):
    graph = model_dir.load(name)
    found, q = tables(graph), images(np.random.default_rng(1), graph, 4)
    outputs = reference.run(graph, q)
    source = "pool2"
    for layer in ("fc1", "fc2", "fc3"):
        actual = dense_from_tables(found, layer, outputs[source].reshape(4, -1))
        assert np.array_equal(actual, outputs[layer].reshape(4, -1)), layer
        source = layer


@pytest.mark.parametrize("seed", range(5))
def test_random_networks_have_tables(seed):
    graph = random_mixed_graph(np.random.default_rng(seed))
    for layer in graph.layers:
        if layer.op != "maxpool":
            found = tables(graph)[f"{layer.name}.bias_folded"]
            sums = layer.weights.reshape(len(layer.weights), -1).sum(axis=1)
            assert np.array_equal(found + layer.input.zero_point * sums, layer.bias)


def test_equal_graphs_give_equal_bytes_in_any_process():
    script = (
        "import sys; from accel import model_dir; from quant.export.files import contents; import hashlib\n"
        "for name, data in contents(model_dir.load('lenet5-mixed')).items():\n"
        "    data = data.encode() if isinstance(data, str) else data\n"
        "    print(name, hashlib.sha256(data).hexdigest())\n"
        "assert 'torch' not in sys.modules"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1] and len(runs[0].splitlines()) == 6


def test_only_the_chosen_formats_are_made():
    graph = model_dir.load("lenet5-int8")
    assert set(contents(graph, ("npz",))) == {"lenet5-int8.npz"}
    assert set(contents(graph, ("c",))) == {"lenet5_int8.h", "lenet5_int8.c", "bitloom_run.h"}
    assert set(contents(graph, ("notes", "safetensors"))) == {"lenet5-int8.safetensors", "lenet5-int8-formats.md"}
