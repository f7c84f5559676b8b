"""Model directories at the bounds of accel/limits.py: what is built, saved and loaded obeys the same ones."""

import dataclasses
import json
import zlib

import pytest

from accel import limits, model_dir
from accel.errors import ModelError
from tests.core.test_model_dir import edit, put, sample_graph


@pytest.fixture
def saved(tmp_path):
    model_dir.save(sample_graph(), tmp_path / "model")
    return tmp_path / "model"


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


BAD_NOTES = {
    "deep": {"deep": nested(800)},
    "one too deep": {"deep": nested(limits.MAX_DEPTH)},
    "long": {"text": "x" * (limits.MAX_TEXT + 1)},
    "half a character": {"text": "\ud800"},
    "control in a key": {"te\nxt": 1},
    "escape": {"text": "\x1b[2J"},
    "direction mark": {"text": "\u202eabc"},
    "large": {"number": 10**70},
    "small": {"number": -(10**63)},
    "infinite": {"number": float("inf")},
    "many": {"many": [0] * limits.MAX_VALUES},
    "key that is no text": {1: 2},
    "no JSON": {"x": object()},
}


@pytest.mark.parametrize("notes", BAD_NOTES.values(), ids=BAD_NOTES)
def test_notes_that_cannot_be_loaded_cannot_be_made_or_saved(saved, notes, tmp_path):
    """One bound for graphs that are built, saved and loaded."""
    graph = sample_graph()
    with pytest.raises(ModelError, match="net-1: notes"):
        dataclasses.replace(graph, notes=notes)
    with pytest.raises(ModelError, match="conv1: notes"):
        dataclasses.replace(graph.layers[0], notes=notes)
    object.__setattr__(graph, "notes", notes)
    with pytest.raises(ModelError, match="net-1: notes"):
        model_dir.save(graph, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    if all(isinstance(key, str) for key in notes) and "x" not in notes:
        body = (saved / "model.json").read_text().rpartition('  "crc32"')[0]
        body = body.replace('"origin": "test"', f'"origin": {json.dumps(notes)}')
        (saved / "model.json").write_text(f'{body}  "crc32": "{zlib.crc32(body.encode()):08x}"\n}}\n')
        with pytest.raises(ModelError, match="model.json: "):
            model_dir.load(saved)


def test_notes_at_the_bounds_come_back(tmp_path):
    notes = {
        "deep": nested(limits.MAX_DEPTH - 3),
        "text": "x\n\ty" + "ü" * (limits.MAX_TEXT - 4),
        "number": 10**63 - 1,
        "small": -(10**63 - 1),
        "tiny": 5e-324,
    }
    model_dir.save(dataclasses.replace(sample_graph(), notes=notes), tmp_path / "model")
    assert model_dir.load(tmp_path / "model").notes == notes


@pytest.mark.parametrize("text", ["\ud800", "a\nb", "\x00", "\u2028", "\u2066x", "\x9b1m"], ids=ascii)
def test_class_names_hold_no_half_characters_and_controls(saved, text):
    with pytest.raises(ModelError, match="class names: .* holds control characters"):
        dataclasses.replace(sample_graph(), class_names=("a", "b", "c", text))
    edit(saved, put("class_names", 3, text))
    with pytest.raises(ModelError, match="holds control characters"):
        model_dir.load(saved)


def test_values_are_counted_before_they_are_made(saved):
    body = (saved / "model.json").read_text().rpartition('  "crc32"')[0]
    body = body.replace('"origin": "test"', '"origin": [' + "[]," * limits.MAX_VALUES + "[]]")
    (saved / "model.json").write_text(f'{body}  "crc32": "{zlib.crc32(body.encode()):08x}"\n}}\n')
    with pytest.raises(ModelError, match="model.json: holds more than 1048576 values"):
        model_dir.load(saved)


def test_a_model_too_large_for_its_json_is_not_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MAX_JSON_BYTES", 100)
    with pytest.raises(ModelError, match="net-1: its model.json would have .* bytes, at most 100"):
        model_dir.save(sample_graph(), tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_folder_full_of_files_is_refused(saved, monkeypatch):
    monkeypatch.setattr(limits, "MAX_FILES", 3)
    with pytest.raises(ModelError, match="holds more than 3 files"):
        model_dir.load(saved)


def test_all_layers_together_are_bounded_before_a_file_is_read(saved, monkeypatch):
    elements = sum(layer.weights.size for layer in model_dir.load(saved).layers if layer.op != "maxpool")
    (saved / "03_fc.bin").unlink()
    monkeypatch.setattr(limits, "MAX_WEIGHTS", elements - 1)
    with pytest.raises(ModelError, match="fc: weights of shape .* are too large, at most"):
        model_dir.load(saved)
