"""Model directories: round trip, equal bytes, and one clear sentence for every kind of damage."""

import json
import os
import zlib

import numpy as np
import pytest

from accel import limits, model_dir, model_json, reference
from accel.errors import BitloomError, ModelError, OutputError
from accel.ir import Graph, InputEncoding, TensorType
from sim.cases import graphs as networks


def sample_graph():
    rng = np.random.default_rng(4)
    source = TensorType(7, 6, 3, 8, 0.013, -3)
    first = networks.conv(rng, "conv1", "input", source, 5, (3, 2), (1, 2), (1, 0, 0, 1), "gemmlowp", weight_bits=6)
    pool = networks.maxpool("pool1", "conv1", first.output, (2, 2), pads=(0, 1, 0, 0))
    second = networks.conv(rng, "block.1-conv_2", "pool1", pool.output, 3, (1, 1), weight_bits=1, qmin=0)
    last = networks.dense(rng, "fc", second.name, second.output, 4, raw=True, weight_bits=4)
    notes = {"snr_db": 31.25, "range": [0.5, 1], "method": "min-max"}
    object.__setattr__(last, "notes", notes)
    encoding = InputEncoding("float", (0.1, 0.2, 0.3), (1.0, 0.5, 2.0))
    layers = first, pool, second, last
    return Graph("net-1", source, encoding, layers, ("a", "b", "ü", 'd"'), {"origin": "test"})


@pytest.fixture
def saved(tmp_path):
    model_dir.save(sample_graph(), tmp_path / "model")
    return tmp_path / "model"


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def edit(folder, change):
    """Change model.json through `change(values)` and give it a right CRC again."""
    values = json.loads((folder / "model.json").read_text())
    values.pop("crc32")
    change(values)
    body = json.dumps(values, indent=2).removesuffix("\n}") + ",\n"
    crc = f"{zlib.crc32(body.encode()):08x}"
    (folder / "model.json").write_text(f'{body}  "crc32": "{crc}"\n}}\n')


def put(*path_and_value):
    *path, value = path_and_value

    def change(values):
        for step in path[:-1]:
            values = values[step]
        values[path[-1]] = value

    return change


def drop(*path):
    def change(values):
        for step in path[:-1]:
            values = values[step]
        del values[path[-1]]

    return change


def test_round_trip_keeps_everything(saved, tmp_path):
    graph, loaded = sample_graph(), model_dir.load(saved)
    assert (loaded.name, loaded.input, loaded.encoding) == (graph.name, graph.input, graph.encoding)
    assert loaded.class_names == graph.class_names and loaded.notes == graph.notes
    for ours, theirs in zip(graph.layers, loaded.layers, strict=True):
        assert type(ours) is type(theirs) and ours.output == theirs.output and ours.notes == theirs.notes
    q = networks.images(np.random.default_rng(0), graph, 4)
    expected = reference.run(graph, q)
    for name, value in reference.run(loaded, q).items():
        assert np.array_equal(value, expected[name])
    model_dir.save(loaded, tmp_path / "again")
    assert content(tmp_path / "again") == content(saved)


@pytest.mark.parametrize("number", range(10))
def test_random_networks_round_trip(number, tmp_path):
    rng = np.random.default_rng(number)
    graph = networks.random_graph(rng)
    model_dir.save(graph, tmp_path / "a")
    model_dir.save(model_dir.load(tmp_path / "a"), tmp_path / "b")
    assert content(tmp_path / "a") == content(tmp_path / "b")
    q = networks.images(rng, graph, 2)
    last = graph.layers[-1].name
    again = model_dir.load(tmp_path / "b")
    assert np.array_equal(reference.run(again, q)[last], reference.run(graph, q)[last])


@pytest.mark.parametrize("number", range(10))
def test_mixed_networks_round_trip(number, tmp_path):
    rng = np.random.default_rng(number)
    graph = networks.random_mixed_graph(rng)
    model_dir.save(graph, tmp_path / "a")
    again = model_dir.load(tmp_path / "a")
    q = networks.images(rng, graph, 2)
    for name, value in reference.run(again, q).items():
        assert np.array_equal(value, reference.run(graph, q)[name])
    for ours, theirs in zip(graph.layers, again.layers, strict=True):
        assert ours.output == theirs.output and type(ours) is type(theirs)
    model_dir.save(again, tmp_path / "b")
    assert content(tmp_path / "a") == content(tmp_path / "b")


@pytest.fixture
def signs(tmp_path):
    rng = np.random.default_rng(4)
    source = TensorType(4, 4, 3, 4, 0.013, -3)
    first = networks.conv(rng, "sign", "input", source, 5, (3, 2), weight_bits=1, output_bits=1)
    last = networks.dense(rng, "fc", "sign", first.output, 4, raw=True, weight_bits=1)
    model_dir.save(Graph("signs", source, InputEncoding("float"), (first, last)), tmp_path / "model")
    return tmp_path / "model"


HOSTILE_SIGNS = {
    "sign: threshold must be a list of 5 numbers": put("layers", 0, "requantize", "threshold", [1]),
    "sign: threshold must lie in -2147483648..2147483648, not 2147483649": put(
        "layers", 0, "requantize", "threshold", 1, 2**31 + 1
    ),
    "sign: threshold must be an integer in -2147483648..2147483648, not 0.5": put(
        "layers", 0, "requantize", "threshold", 1, 0.5
    ),
    "sign: invert must be an integer in 0..1, not True": put("layers", 0, "requantize", "invert", 0, True),
    "sign: invert must lie in 0..1, not 2": put("layers", 0, "requantize", "invert", 0, 2),
    "sign: requantize lacks 'invert'": drop("layers", 0, "requantize", "invert"),
    "sign: requantize has the unknown key 'shift'": put("layers", 0, "requantize", "shift", []),
    "sign: a Threshold puts out 1 bit, not 2": put("layers", 0, "output", "bits", 2),
    "sign: 1-bit output needs a Threshold": put(
        "layers", 0, "requantize", {"rule": "half_up", "multiplier": [1] * 5, "shift": [0] * 5, "qmin": -1, "qmax": 1}
    ),
    "sign output: zero_point must lie in 0..0, not 1": put("layers", 0, "output", "zero_point", 1),
}


@pytest.mark.parametrize("text", HOSTILE_SIGNS)
def test_hostile_thresholds(signs, text):
    edit(signs, HOSTILE_SIGNS[text])
    with pytest.raises(BitloomError) as caught:
        model_dir.load(signs)
    assert text in str(caught.value)


def test_files_are_named_by_index_and_layer(saved):
    names = ["00_conv1.bin", "02_block.1-conv_2.bin", "03_fc.bin", "model.json"]
    assert sorted(content(saved)) == names
    assert os.stat(saved / "00_conv1.bin").st_size == 5 * 3 * 2 * 3 + 5 * 4
    values = json.loads((saved / "model.json").read_text())
    assert list(values)[-1] == "crc32" and values["format_version"] == 1
    assert values["layers"][3]["notes"]["snr_db"] == 31.25


def test_load_error_names_the_directory(saved):
    (saved / "03_fc.bin").unlink()
    with pytest.raises(ModelError) as caught:
        model_dir.load(saved)
    assert str(caught.value) == f"{saved}: 03_fc.bin: is missing"


def cut(name, length):
    def damage(folder):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[:length])

    return damage


def flip(name, position):
    def damage(folder):
        data = bytearray((folder / name).read_bytes())
        data[position] ^= 4
        (folder / name).write_bytes(data)

    return damage


def replace_file(name, data):
    return lambda folder: (folder / name).write_bytes(data)


def link(name, goal):
    def damage(folder):
        (folder / name).unlink()
        (folder / name).symlink_to(goal)

    return damage


def special(name, make):
    def damage(folder):
        (folder / name).unlink()
        make(folder / name)

    return damage


DAMAGE = {
    "00_conv1.bin: has 10 bytes, not 110; the file is truncated": cut("00_conv1.bin", 10),
    "03_fc.bin: has 0 bytes": cut("03_fc.bin", 0),
    "00_conv1.bin: has 111 bytes": lambda folder: replace_file("00_conv1.bin", bytes(111))(folder),
    "00_conv1.bin: CRC-32 is": flip("00_conv1.bin", 3),
    "03_fc.bin: CRC-32 is": flip("03_fc.bin", -1),
    "model.json: is missing": lambda folder: (folder / "model.json").unlink(),
    "model.json: is not valid JSON": cut("model.json", 200),
    "model.json: is not UTF-8": replace_file("model.json", b"\xff\xfe{"),
    "model.json: is not a bitloom-model file": replace_file("model.json", b"[]"),
    "model.json: is nested too deeply": replace_file("model.json", b"[" * 100000),
    "NaN is not allowed": replace_file("model.json", b'{"format": NaN}'),
    "a key is used twice": replace_file("model.json", b'{"format": 1, "format": 1}'),
    "model.json: is not valid JSON (": replace_file("model.json", b'{"format": ' + b"9" * 10000 + b"}"),
    "03_fc.bin: cannot be read": link("03_fc.bin", "/etc/passwd"),
    "model.json: cannot be read": link("model.json", "/etc/passwd"),
    "00_conv1.bin: cannot be read (Is a directory)": special("00_conv1.bin", os.mkdir),
    "02_block.1-conv_2.bin: is not a regular file": special("02_block.1-conv_2.bin", os.mkfifo),
    "'04_extra.bin': is not named in model.json": replace_file("04_extra.bin", b"x"),
}


@pytest.mark.parametrize("text", DAMAGE)
def test_damaged_files(saved, text):
    DAMAGE[text](saved)
    with pytest.raises(BitloomError) as caught:
        model_dir.load(saved)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400 + len(str(saved))


def test_every_flipped_bit_of_model_json_is_noticed(saved):
    data = (saved / "model.json").read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.choice(len(data), 150, replace=False):
        damaged = bytearray(data)
        damaged[position] ^= 1 << int(rng.integers(8))
        (saved / "model.json").write_bytes(damaged)
        with pytest.raises(BitloomError):
            model_dir.load(saved)


def test_every_truncation_of_model_json_is_noticed(saved):
    data = (saved / "model.json").read_bytes()
    for length in range(0, len(data), 97):
        (saved / "model.json").write_bytes(data[:length])
        with pytest.raises(BitloomError):
            model_dir.load(saved)


HOSTILE = {
    "format version 2 is not supported": put("format_version", 2),
    "format version True is not supported": put("format_version", True),
    "format version '1' is not supported": put("format_version", "1"),
    "model.json has the unknown key 'exec'": put("exec", "rm"),
    "model.json lacks 'encoding'": drop("encoding"),
    "input: height must lie in 1..65535, not -4": put("input", "height", -4),
    "input: width must lie in 1..65535, not a 2": put("input", "width", 10**62),
    "input must be an object, not [1, 2]": put("input", [1, 2]),
    "layers must be a list": put("layers", {}),
    "layers must be a list of 1..1024": put("layers", []),
    "layers[0]: op must be one of conv2d, dense, maxpool, not 'gru'": put("layers", 0, "op", "gru"),
    "layers[1]: op must be one of": put("layers", 1, 7),
    "layers[0] lacks 'pads'": drop("layers", 0, "pads"),
    "layers[0] has the unknown key 'code'": put("layers", 0, "code", "x"),
    "layers[0] name must be letters": put("layers", 0, "name", "../conv"),
    "conv1 output: channels must lie in 1..65535, not 1000000000000": put("layers", 0, "output", "channels", 10**12),
    "conv1: weight_scale must be a list of 5 numbers": put("layers", 0, "weight_scale", "x"),
    "conv1: multiplier must be a list of 65535 numbers": put("layers", 0, "output", "channels", 65535),
    "conv1: kernel must lie in 1..65535, not -3": put("layers", 0, "kernel", [-3, 2]),
    "conv1: weights of shape (5, 60000, 60000, 3) are too large": put("layers", 0, "kernel", [60000, 60000]),
    "conv1: bytes must lie in 110..110, not 109": put("layers", 0, "bytes", 109),
    "conv1: bytes must be an integer in 110..110, not None": put("layers", 0, "bytes", None),
    "conv1: weight_bits must be one of 8, 6, 4, 2, 1, not 7": put("layers", 0, "weight_bits", 7),
    "conv1: weight_bits must be one of 8, 6, 4, 2, 1, not {}": put("layers", 0, "weight_bits", {}),
    "conv1: weight_scale must be a number, not None": put("layers", 0, "weight_scale", 0, None),
    "conv1: weight_scale must be positive and finite, not -1.0": put("layers", 0, "weight_scale", 0, -1),
    "a number has 401 characters, at most 64": put("layers", 0, "weight_scale", 0, 10**400),
    "conv1: multiplier must be a list of 5": put("layers", 0, "requantize", "multiplier", [1]),
    "conv1: multiplier must lie in 0..2147483647, not 2147483648": put(
        "layers", 0, "requantize", "multiplier", 2, 2**31
    ),
    "conv1: shift must be an integer in -31..62, not 1.5": put("layers", 0, "requantize", "shift", 0, 1.5),
    "conv1: qmin must lie in": put("layers", 0, "requantize", "qmin", -1000),
    "conv1: rounding rule 'x' is unknown": put("layers", 0, "requantize", "rule", "x"),
    "conv1: requantize lacks 'shift'": drop("layers", 0, "requantize", "shift"),
    "conv1: file name '../x.bin' must be a plain name": put("layers", 0, "file", "../x.bin"),
    "conv1: file name '/etc/passwd' must be a plain name": put("layers", 0, "file", "/etc/passwd"),
    "conv1: file name '..' must be a plain name": put("layers", 0, "file", ".."),
    "conv1: file name 'a\\\\b.bin' must be a plain name": put("layers", 0, "file", "a\\b.bin"),
    "conv1: file name '00_conv1.bin\\n' must be a plain name": put("layers", 0, "file", "00_conv1.bin\n"),
    "model.json: 'a\\x00b' holds control characters": put("layers", 0, "file", "a\0b"),
    "conv1: file name 3 must be a plain name": put("layers", 0, "file", 3),
    "block.1-conv_2: file name '00_conv1.bin' is used twice": put("layers", 2, "file", "00_conv1.bin"),
    "other.bin: is missing": put("layers", 0, "file", "other.bin"),
    "conv1: notes must be an object": put("layers", 0, "notes", []),
    "class_names must be a list": put("class_names", "abcd"),
    "class names must be texts": put("class_names", [1, 2, 3, 4]),
    "3 class names do not fit 4 outputs": put("class_names", ["a", "b", "c"]),
    "input encoding must be one of uint8, float, not []": put("encoding", "kind", []),
    "input mean must be a number, not 'x'": put("encoding", "mean", ["x"]),
    "encoding lacks 'std'": drop("encoding", "std"),
    "pool1: reads 'input' but the layer before is 'conv1'": put("layers", 1, "input", "input"),
    "pool1: kernel must be 2 integers": put("layers", 1, "kernel", 2),
    "graph name must be letters": put("name", "a b"),
    "fc: raw int32 output must not have": put(
        "layers", 3, "requantize", {"rule": "half_up", "multiplier": [1] * 4, "shift": [0] * 4, "qmin": 0, "qmax": 1}
    ),
}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_values(saved, text):
    edit(saved, HOSTILE[text])
    with pytest.raises(BitloomError) as caught:
        model_dir.load(saved)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_edit_alone_is_harmless(saved):
    edit(saved, lambda values: None)
    model_dir.load(saved)
    (saved / "README").write_text("other files are nobody's business")
    model_dir.load(saved)


def test_hand_edited_model_json_is_refused(saved):
    text = (saved / "model.json").read_text()
    (saved / "model.json").write_text(text.replace('"qmin": -128', '"qmin": -127', 1))
    with pytest.raises(ModelError, match="its CRC-32 does not match; the file is damaged or was edited"):
        model_dir.load(saved)


def test_huge_model_json_is_refused_unread(saved, monkeypatch):
    monkeypatch.setattr(limits, "MAX_JSON_BYTES", 100)
    with pytest.raises(ModelError, match="model.json: has .* bytes, at most 100 are allowed"):
        model_dir.load(saved)


@pytest.mark.parametrize("name", ["no-such-model", "/no/such/folder", "..", "", "a\0b"])
def test_unknown_model(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError):
        model_dir.load(name)


def test_zoo_names_resolve(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(model_dir, "ZOO", tmp_path)
    monkeypatch.chdir(saved)
    assert model_dir.zoo_names() == ["model"]
    assert model_dir.load("model").name == "net-1"
    with pytest.raises(ModelError, match="model 'other': is neither .*these ship: model"):
        model_dir.resolve("other")


def test_notes_must_be_plain(tmp_path):
    graph = sample_graph()
    object.__setattr__(graph, "notes", {"x": object()})
    with pytest.raises(ModelError, match="net-1: notes must be plain JSON"):
        model_dir.save(graph, tmp_path / "model")
    object.__setattr__(graph, "notes", {"x": float("nan")})
    with pytest.raises(ModelError, match="net-1: notes: the number nan must be finite"):
        model_dir.save(graph, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_saving_replaces_a_model_but_nothing_else(saved, tmp_path):
    before = content(saved)
    model_dir.save(sample_graph(), saved)
    assert content(saved) == before
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("x")
    with pytest.raises(OutputError, match="is not replaced, because model.json: is missing"):
        model_dir.save(sample_graph(), other)
    assert content(other) == {"thesis.txt": b"x"}


def test_failed_save_leaves_the_old_model(saved, tmp_path, monkeypatch):
    before = content(saved)

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OutputError, match="cannot be written .No space left on device."):
        model_dir.save(sample_graph(), saved)
    monkeypatch.undo()
    assert content(saved) == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_json_text_is_readable_and_parses_back():
    values = {"a": [], "b": {}, "c": [1, 2], "d": [{"e": "ü"}, [1]], "f": None}
    text = model_json.dump(values)
    assert json.loads(text) == values
    assert '"c": [1, 2]' in text
