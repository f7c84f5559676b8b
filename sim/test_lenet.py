"""LeNet-5 on the whole accelerator, layer by layer, and the command `python -m sim run`."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from accel import model_dir, reference
from accel.compile import compile_graph, fit_config
from accel.config import HardwareConfig
from accel.errors import TargetError
from accel.hdl.accelerator import preset_images, presets
from quant.data.datasets import load
from sim import cli, comparison
from sim.accelerator import open_accelerator
from sim.bus import STALLS
from sim.cases.mixed import every_mode
from sim.comparison import compare_on, find_mismatches, run_network
from sim.driver import AcceleratorError
from sim.engines.cache import REPOSITORY


@pytest.fixture(scope="module")
def lenet():
    return model_dir.load("lenet5-int8")


@pytest.fixture(scope="module")
def digits(lenet):
    return reference.encode_input(lenet, load("digits")[0])


def program_for(graph, size):
    return compile_graph(graph, fit_config(graph, HardwareConfig(rows=size, lanes=size)))


def check(run):
    assert not run.mismatches, "\n".join(map(str, run.mismatches[:5]))


def check_digits(lenet, digits, layers):
    run = run_network(lenet, program_for(lenet, 8), digits, "verilator", layers=layers)
    check(run)
    assert len(run.outputs) == len(digits)
    assert len(set(run.cycles)) == 1 and run.cycles_per_image <= 9200


def test_lenet_on_every_digit(lenet, digits):
    assert len(digits) >= 100
    check_digits(lenet, digits, layers=False)
    check_digits(lenet, digits[:16], layers=True)


@pytest.mark.long
def test_lenet_every_layer_of_every_digit(lenet, digits):
    check_digits(lenet, digits, layers=True)


@pytest.mark.parametrize("stalls", ["source", "sink", "both", "bursts"])
def test_lenet_with_stalls(lenet, digits, stalls, seed):
    program = program_for(lenet, 8)
    with open_accelerator(program.config) as accelerator:
        check(compare_on(accelerator, lenet, program, digits[:8], stalls=STALLS[stalls], seed=seed))


def test_ten_images_back_to_back_equal_single_runs(lenet, digits):
    program = program_for(lenet, 8)
    inputs = [program.encode_input(image) for image in digits[:10]]
    with open_accelerator(program.config) as accelerator:
        accelerator.load(program)
        steady = accelerator.run(inputs, isolated=False)
        single = accelerator.run(inputs)
    assert steady.outputs == single.outputs
    assert steady.total_cycles < sum(single.cycles_per_image) + 400


def test_power_up_contents_do_not_matter(lenet, digits, seed):
    program = program_for(lenet, 8)
    with open_accelerator(program.config, power_up="random", seed=seed) as accelerator:
        check(compare_on(accelerator, lenet, program, digits[:2]))


def test_lenet_on_icarus(lenet, digits):
    check(run_network(lenet, program_for(lenet, 4), digits[:1], "icarus"))


@pytest.mark.long  # 31,938 cycles; test_presets.py runs smaller networks from memory images on every engine
def test_lenet_on_myhdl_from_memory_images(lenet, digits, tmp_path):
    program = program_for(lenet, 4)
    for name, text in preset_images(program).items():
        (tmp_path / name).write_text(text)
    with open_accelerator(program.config, "myhdl", params={"presets": presets(program, tmp_path)}) as accelerator:
        run = accelerator.run([program.encode_input(digits[0])])
    output = program.decode_output(run.outputs[0])
    expected = reference.run(lenet, digits[:1])[lenet.layers[-1].name]
    assert not find_mismatches("fc3", expected.reshape(1, *output.shape), output[None])


def test_mismatches_name_layer_and_coordinate():
    expected = np.arange(48).reshape(2, 2, 3, 4)
    got = expected.copy()
    got[1, 1, 2, 3] += 5
    got[1, 1, 0, 1] -= 9
    (mismatch,) = find_mismatches("conv2", expected, got, first_image=10)
    assert str(mismatch) == ("image 11, layer conv2, (h,w,c)=(1,0,1): expected 37, got 28 (2 of 24 integers differ)")


def sim_run(*arguments):
    command = [sys.executable, "-m", "sim", "run", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)


KEYS = [
    "model",
    "rows",
    "lanes",
    "precisions",
    "engine",
    "count",
    "correct",
    "mismatches",
    "cycles_per_image",
    "predicted_cycles_per_image",
    "utilization",
    "images_per_second",
    "layers",
]
LAYER_KEYS = [
    "name",
    "op",
    "compute_bits",
    "weight_bits",
    "input_bits",
    "output_bits",
    "cycles",
    "predicted_cycles",
    "utilization",
    "note",
]


@pytest.mark.parametrize("engine", ["verilator", "reference"])
def test_sim_run_json(engine):
    done = sim_run("--model", "lenet5-int8", "--count", "5", "--engine", engine, "--json")
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert list(values) == KEYS
    assert (values["rows"], values["lanes"], values["engine"], values["count"]) == (8, 8, engine, 5)
    assert values["correct"] == 5 and values["mismatches"] == 0
    assert values["precisions"] == [8]
    assert [list(layer) for layer in values["layers"]] == [LAYER_KEYS] * 5
    assert sum(layer["predicted_cycles"] for layer in values["layers"]) == values["predicted_cycles_per_image"]
    if engine == "verilator":
        assert values["cycles_per_image"] <= 9200 and 0.7 < values["utilization"] < 1
        assert [layer["cycles"] for layer in values["layers"]] == [
            layer["predicted_cycles"] for layer in values["layers"]
        ]


def test_sim_run_table_and_images_from_a_file(tmp_path):
    np.save(tmp_path / "images.npy", load("digits")[0][:3])
    done = sim_run("--model", "lenet5-int8", "--data", str(tmp_path / "images.npy"), "--layers")
    assert done.returncode == 0, done.stderr
    assert "cycles per image" in done.stdout and "predicted" in done.stdout
    assert re.search(r"conv2 .*conv2d .* 8 .* 8 .* 8 .* 8 ", done.stdout)


def test_sim_run_without_images_takes_random_ones(tmp_path):
    rng = np.random.default_rng(3)
    graph = every_mode(rng)
    model_dir.save(graph, tmp_path / "mixed")
    done = sim_run("--model", tmp_path / "mixed", "--count", "2", "--engine", "reference", "--json")
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert values["precisions"] == [8, 4, 2, 1] and values["correct"] is None
    assert [layer["compute_bits"] for layer in values["layers"]] == [8, 4, 2, 1, 4, 8]
    assert [layer["weight_bits"] for layer in values["layers"]] == [8, 4, 2, 1, 4, 2]
    assert np.array_equal(cli.random_inputs(graph, 2), cli.random_inputs(graph, 2))


def test_sim_run_reports_mismatches(monkeypatch, tmp_path, capsys):
    run = reference.run

    def wrong_reference(graph, q, names, **options):
        outputs = run(graph, q, names, **options)
        outputs["pool2"][1, 2, 3, 4] += 1
        return outputs

    monkeypatch.setattr(comparison.reference, "run", wrong_reference)
    monkeypatch.setattr(comparison, "WAVES", tmp_path)
    code = cli.main.main(["run", "--model", "lenet5-int8", "--count", "3", "--layers", "--json"], standalone_mode=False)
    output = capsys.readouterr()
    assert code == 1
    assert json.loads(output.out)["mismatches"] == 1
    assert "mismatch: image 1, layer pool2, (h,w,c)=(2,3,4): expected" in output.err
    wave = tmp_path / "lenet5-int8-image1-verilator.vcd"
    assert f"waveform: {wave}" in output.err and wave.stat().st_size > 1000


def test_sim_run_reports_a_stuck_accelerator(monkeypatch, capsys):
    def stuck(*_, **__):
        raise AcceleratorError("0 of 1 images came out in 99 cycles")

    monkeypatch.setattr(cli, "run_network", stuck)
    assert cli.main.main(["run", "--model", "lenet5-int8", "--count", "1", "--json"], standalone_mode=False) == 1
    output = capsys.readouterr()
    assert "mismatch: lenet5-int8 on verilator: 0 of 1 images" in output.err and output.out == ""


@pytest.mark.parametrize(
    ("engine", "needs"), [("icarus", "apt install iverilog"), ("verilator", "apt install g\\+\\+")]
)
def test_sim_run_says_which_tool_is_missing(engine, needs, monkeypatch):
    monkeypatch.setattr(cli.shutil, "which", lambda name: None)
    with pytest.raises(TargetError, match=needs):
        cli.main.main(["run", "--model", "lenet5-int8", "--count", "1", "--engine", engine], standalone_mode=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-model"], "no-such-model"),
        (["--model", "lenet5-int8", "--data", "no-such-file.npy"], "neither a file nor a data set"),
        (["--model", "lenet5-int8", "--data", "mnist", "--data-dir", "/nowhere"], "not found"),
        (["--model", "lenet5-int8", "--build", "7x8"], "rows=7 must be a power of two"),
        (["--model", "lenet5-int8", "--engine", "vcs"], "'vcs' is not one of"),
        (["--model", "lenet5-int8", "--count", "0"], "0 is not in the range"),
        (["--model", "lenet5-int8", "--precisions", "8,4,x"], "--precisions '8,4,x': must be widths with commas"),
        (["--model", "lenet5-int8", "--precisions", "4,2"], "precisions=4,2 must contain 8"),
        (["--model", "lenet5-int8", "--option", "weight_depth=16"], "weight_depth is 16"),
        (["--model", "lenet5-int8", "--option", "float_output=1"], "float_output: this command compares integers"),
    ],
)
def test_sim_run_refuses_bad_input(arguments, message):
    done = sim_run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr and done.stdout == ""


def test_sim_run_refuses_bad_files(tmp_path):
    np.save(tmp_path / "small.npy", np.zeros((2, 27, 28, 1), np.uint8))
    (tmp_path / "text.npy").write_text("no array")
    model = tmp_path / "model"
    model_dir.save(model_dir.load("lenet5-int8"), model)
    os.truncate(model / "04_fc1.bin", 100)
    for arguments, message in (
        (["--model", "lenet5-int8", "--data", tmp_path / "small.npy"], "images must have shape (N, 28, 28, 1)"),
        (["--model", "lenet5-int8", "--data", tmp_path / "text.npy"], "cannot be read as an .npy file"),
        ([model], "the file is truncated or damaged"),
    ):
        done = sim_run(*arguments)
        assert done.returncode == 2 and done.stdout == ""
        assert message in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_sim_help_has_an_example():
    for arguments in ([], ["run"]):
        done = subprocess.run(
            [sys.executable, "-m", "sim", *arguments, "--help"], cwd=REPOSITORY, capture_output=True, text=True
        )
        assert done.returncode == 0 and "Example: python -m sim run" in done.stdout
