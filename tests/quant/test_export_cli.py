"""`python -m quant export`: files, JSON, exit codes, and that bad input leaves nothing behind."""

import json

import numpy as np
import pytest

from accel import model_dir


def test_all_formats_without_a_choice(quant, tmp_path):
    code, out, _ = quant("export", "--model", "lenet5-int8", "--out", tmp_path / "tables")
    names = {
        "lenet5-int8.npz",
        "lenet5-int8.safetensors",
        "lenet5_int8.h",
        "lenet5_int8.c",
        "bitloom_run.h",
        "lenet5-int8-formats.md",
    }
    assert code == 0 and {path.name for path in (tmp_path / "tables").iterdir()} == names
    assert all(name in out for name in names)


def test_a_model_directory_into_the_default_folder(quant, tmp_path, monkeypatch):
    model_dir.save(model_dir.load("lenet5-w4a4"), tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    code, out, _ = quant("export", "--c", "--model", "mine", "--json")
    values = json.loads(out)
    assert code == 0 and values["name"] == "lenet5-w4a4" and values["out"] == "lenet5-w4a4-tables"
    assert [item["file"] for item in values["files"]] == ["lenet5_w4a4.h", "lenet5_w4a4.c", "bitloom_run.h"]
    assert all(
        (tmp_path / "lenet5-w4a4-tables" / item["file"]).stat().st_size == item["bytes"] for item in values["files"]
    )


def test_the_model_directory_is_one_of_the_formats(quant, tmp_path):
    code, out, _ = quant("export", "--model", "lenet5-mixed", "--model-dir", "--out", tmp_path, "--json")
    assert code == 0 and [item["file"] for item in json.loads(out)["files"]] == ["lenet5-mixed"]
    again = model_dir.load(tmp_path / "lenet5-mixed")
    assert np.array_equal(again.layers[0].weights, model_dir.load("lenet5-mixed").layers[0].weights)


def test_a_second_format_joins_the_first(quant, tmp_path):
    for choice in ("--npz", "--notes"):
        assert quant("export", "--model", "lenet5-int8", choice, "--out", tmp_path)[0] == 0
    assert len(list(tmp_path.iterdir())) == 2


def test_a_generated_network_is_exported(quant, tmp_path):
    code, _, _ = quant("export", "--model", "dense1024-w1a1", "--npz", "--out", tmp_path)
    assert code == 0 and np.load(tmp_path / "dense1024-w1a1.npz")["dense.weight"].shape == (1024, 1024)


@pytest.mark.parametrize(
    "model, message",
    (
        ("lenet5", "is a float network, which has no integers; quantize it first"),
        ("lenet6", "is neither a model directory nor a model that ships"),
    ),
)
def test_a_model_that_is_none_ends_with_code_two(quant, tmp_path, model, message):
    code, _, err = quant("export", "--model", model, "--out", tmp_path / "tables")
    assert code == 2 and message in err and not (tmp_path / "tables").exists()


def test_a_damaged_directory_leaves_nothing(quant, tmp_path):
    model_dir.save(model_dir.load("lenet5-int8"), tmp_path / "mine")
    binary = tmp_path / "mine" / "00_conv1.bin"
    binary.write_bytes(b"\xff" + binary.read_bytes()[1:])
    code, _, err = quant("export", "--model", tmp_path / "mine", "--out", tmp_path / "tables")
    assert code == 2 and "CRC-32" in err and not (tmp_path / "tables").exists()


def test_a_file_in_the_place_of_the_folder_is_refused(quant, tmp_path):
    (tmp_path / "taken").write_text("mine")
    code, _, err = quant("export", "--model", "lenet5-int8", "--out", tmp_path / "taken")
    assert code == 2 and "is not a folder" in err and (tmp_path / "taken").read_text() == "mine"
