"""A network of all widths, converted: its test bench passes in Verilog, preset and loaded by the host, and in VHDL."""

import dataclasses
import json
import subprocess

import numpy as np
import pytest

from accel import model_dir
from accel.ir import Graph, InputEncoding, TensorType
from sim.cases import graphs as networks
from sim.engines.verilator_build import lint
from tests.convert.test_convert import convert, rtl_files, run_bench

SIZE = "--build", "4x8"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """W6A8, W4A4, W2A2, W1A1 and W8A1 layers, 1-bit outputs pooled, raw logits."""
    rng = np.random.default_rng(7)
    source = TensorType(5, 5, 3, 8, 0.02, -5)
    first = networks.conv(
        rng, "first", "input", source, 10, (3, 3), pads=(1, 1, 1, 1), weight_bits=6, output_bits=4, spread=True
    )
    second = networks.conv(
        rng, "second", "first", first.output, 11, (2, 2), pads=(1, 0, 0, 1), weight_bits=4, output_bits=2, spread=True
    )
    second = dataclasses.replace(second, weights=np.maximum(second.weights, -7))
    third = networks.conv(rng, "third", "second", second.output, 12, (2, 2), weight_bits=2, output_bits=1, spread=True)
    pool = networks.maxpool("pool", "third", third.output, (2, 2))
    fourth = networks.conv(
        rng, "fourth", "pool", pool.output, 9, (2, 2), pads=(1, 1, 1, 1), weight_bits=1, output_bits=1, spread=True
    )
    last = networks.dense(rng, "last", "fourth", fourth.output, 5, raw=True, weight_bits=8, spread=True)
    folder = tmp_path_factory.mktemp("model") / "all-widths"
    model_dir.save(Graph("all-widths", source, InputEncoding(), (first, second, third, pool, fourth, last)), folder)
    return folder


def test_verilog_runs_every_mode(model, tmp_path):
    out = tmp_path / "design"
    done = convert("--model", model, *SIZE, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["precisions"] == [8, 6, 4, 2, 1] and figures["notes"] == []
    assert lint(rtl_files(out), "bitloom", out) == ""
    assert "PASS: 2 images" in run_bench(out)
    loaded = run_bench(out, "+load", "+stalls")
    assert "through the host port" in loaded and "PASS: 2 images" in loaded
    entries = json.loads((out / "manifest.json").read_text())["layers"]
    assert [entry["compute_bits"] for entry in entries] == [8, 4, 2, 1, 8]
    assert [entry["weight_wire_bits"] for entry in entries] == [6, 4, 2, 1, 8]


def test_vhdl_runs_every_mode(model, tmp_path):
    out = tmp_path / "design"
    done = convert("--model", model, *SIZE, "--hdl", "vhdl", "--golden", 1, "--out", out)
    assert done.returncode == 0, done.stderr
    run = subprocess.run(["sh", out / "sim" / "run_ghdl.sh"], capture_output=True, text=True, timeout=1800)
    assert run.returncode == 0 and "PASS: 1 images" in run.stdout, run.stdout[-2000:] + run.stderr


def test_a_build_without_a_mode_is_refused(model, tmp_path):
    done = convert("--model", model, *SIZE, "--precisions", "8,6,4,1", "--out", tmp_path / "design")
    assert done.returncode == 2 and list(tmp_path.iterdir()) == []
    assert (
        "second: the 2-bit output needs a mode that the build does not have; build with --precisions 8,6,4,2,1"
        in done.stderr
    )
