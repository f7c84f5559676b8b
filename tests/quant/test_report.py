"""The report: its figures against plain definitions, its page, the same bytes twice, bad input."""

import json
import re
import xml.etree.ElementTree as tree
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from accel import model_dir
from accel.config import HardwareConfig
from accel.errors import DataError, FitError, ModelError, UnsupportedError
from accel.names import PRECISIONS
from quant.data import datasets
from quant.models.sources import load_float_model
from quant.ptq.options import PtqOptions
from quant.ptq.pipeline import Normalization
from quant.report import compared, gather, histograms, measure, mixed, page, svg, widths

CONFIG = HardwareConfig(rows=16, lanes=16, precisions=PRECISIONS)
HOSTILE = "<script>alert('1')</script> & $x^2$"


@pytest.fixture(scope="module")
def source():
    images, _ = datasets.load("digits")
    module, name, _ = load_float_model("lenet5")
    return compared.source_of(
        module,
        "lenet5",
        name,
        Normalization(),
        datasets.CLASS_NAMES["digits"],
        images,
        PtqOptions(calibration="mse", weight_calibration="mse"),
    )


@pytest.fixture(scope="module")
def entries(source):
    made = [
        compared.after_training(source, width, width.weight_bits, width.activation_bits)
        for width in (widths.INT8, widths.INT4, widths.BINARY)
    ]
    return [*made, *compared.shipped("lenet5", (widths.INT4, widths.MIXED))]


@pytest.fixture(scope="module")
def figures(source, entries):
    test = datasets.load("digits")
    seen = []
    found = gather.report(
        source,
        entries,
        test,
        CONFIG,
        data="digits",
        same_images=True,
        command="python -m quant",
        refused=[{"width": "INT2", "method": "trained", "reason": "x < y"}],
        advance=seen.append,
    )
    assert sum(seen) == gather.steps(source, entries, 100)
    return found


class Page(HTMLParser):
    """Checks that tags nest, and collects ids, references, texts and attributes."""

    VOID = ("meta", "link", "br", "img", "input", "hr")

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.references, self.tags = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append((tag, found))
        if "id" in found:
            self.ids.append(found["id"])
        self.references += [found[name] for name in ("href", "src", "xlink:href") if name in found]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_figures_are_those_of_the_definitions(source, entries, figures):
    images, labels = datasets.load("digits")
    rows = {item["key"]: item for item in figures["networks"]}
    assert list(rows) == ["fp32", "int8-ptq", "int4-ptq", "binary-ptq", "int4-trained", "mixed-trained"]
    for entry in entries:
        found = rows[entry.key]
        matrix = np.array(found["confusion"])
        classes = measure.integer_classes(entry.graph, images)
        assert matrix.sum() == 100 and np.trace(matrix) == found["correct"] == (classes == labels).sum()
        assert matrix.sum(1).tolist() == [10] * 10
        bits = sum(layer.weights.size * layer.weight_bits for layer in entry.graph.layers if layer.op != "maxpool")
        assert found["weight_bytes"] == -(-bits // 8) and found["cycles"] > 1000
        assert found["change_points"] == found["correct"] - rows["fp32"]["correct"]
        low, high = found["interval_95"]
        assert 0 <= low <= found["accuracy"] <= high <= 1
    assert rows["fp32"]["weight_bytes"] == 4 * 61470 == 4 * figures["weights"]
    assert rows["int8-ptq"]["verdict"] == "better" and rows["binary-ptq"]["verdict"] == "worse"
    assert rows["mixed-trained"]["weight_bits"] == [8, 4, 2, 1, 6]
    assert rows["int8-ptq"]["cycles"] > rows["int4-ptq"]["cycles"]
    assert set(figures["layer_snr_db"]["fc3"]) == {"int8-ptq", "int4-ptq", "binary-ptq"}
    assert [row["layer"] for row in figures["feasibility"]["weights"]] == ["conv1", "conv2", "fc1", "fc2", "fc3"]


def test_histograms_count_every_value(source, figures):
    found = figures["histograms"]
    for layer, item in zip(figures["layers"], found["weights"].values(), strict=True):
        assert {sum(counts) for counts in item["counts"].values()} == {layer["weights"]}
    outputs = found["activations"]["fc3"]
    assert {sum(counts) for counts in outputs["counts"].values()} == {100 * 10}
    binary = found["weights"]["fc3"]["counts"]["binary-ptq"]
    assert sum(count > 0 for count in binary) == 2
    one = histograms.Histogram(3.0, 3.0)
    one.add("x", np.array([3.0, 99.0, -99.0]))
    assert sum(one.as_json()["counts"]["x"]) == 3


def test_the_confidence_interval_is_wilsons():
    for correct, total in ((0, 10), (10, 10), (81, 263), (9956, 10000)):
        expected = stats.binomtest(correct, total).proportion_ci(method="wilson")
        assert measure.wilson_interval(correct, total) == pytest.approx(tuple(expected), abs=1e-9)


def test_expected_and_measured():
    cases = ((-0.4, "better"), (-0.5, "as expected"), (-1.0, "as expected"), (-1.01, "worse"), (0.2, "better"))
    assert [widths.verdict(change, widths.INT8.expected) for change, _ in cases] == [text for _, text in cases]
    assert widths.verdict(-50, None) == ""
    with pytest.raises(UnsupportedError, match="width 'int5' is unknown; choose from int8"):
        widths.choose(["int8", "int5"])


def test_confused_classes_come_first():
    matrix = np.array([[5, 0, 3], [1, 9, 0], [0, 0, 4]])
    assert measure.most_confused(matrix, "abc") == [("a", "c", 3), ("b", "a", 1)]
    np.testing.assert_array_equal(
        measure.confusion(np.array([0, 2, 2]), np.array([1, 2, 2]), 3), [[0, 1, 0], [0, 0, 0], [0, 0, 2]]
    )


def test_the_page_is_whole_self_contained_and_the_same_again(figures):
    text = page.render(figures)
    assert text == page.render(json.loads(json.dumps(figures)))
    found = Page(text)
    assert len(set(found.ids)) == len(found.ids)
    assert all(link.startswith("#") and link[1:] in found.ids for link in found.references)
    assert not re.search(r"https?:|@import|url\((?!#)|<script|<link|<img|javascript", text)
    assert all(name in found.ids for name in re.findall(r"url\(#([^)]+)\)", text))
    assert "default-src 'none'" in text and 'lang="en"' in text
    assert not re.search(r"#0101[0-9a-f]{2}|mathdefault|nan|None\b|Undefined", text)
    for tag, attributes in found.tags:
        if tag == "th":
            assert attributes.get("scope") in ("col", "row", "rowgroup")
        if tag == "svg":
            assert attributes["role"] == "img" and all(
                name in found.ids for name in attributes["aria-labelledby"].split()
            )
    used, known = set(re.findall(r"var\(--([a-z0-9-]+)\)", text)), set(re.findall(r"--([a-z0-9-]+):", text))
    assert used <= known and {"ptq", "w-int8"} <= used
    assert text.count('<table class="matrix">') == len(figures["networks"])
    for chart in re.findall(r"<svg.*?</svg>", text, re.S):
        assert tree.fromstring(chart).tag == "svg"


def test_names_from_outside_cannot_become_markup(figures):
    hostile = json.loads(json.dumps(figures))
    hostile["classes"][3] = hostile["data"] = hostile["model"] = HOSTILE
    hostile["networks"][1]["title"] = HOSTILE
    hostile["refused"][0]["reason"] = HOSTILE
    for kind in ("weights", "activations"):
        hostile["histograms"][kind] = {
            (HOSTILE if name == "fc3" else name): item for name, item in hostile["histograms"][kind].items()
        }
    hostile["layer_snr_db"] = {
        (HOSTILE if name == "fc3" else name): item for name, item in hostile["layer_snr_db"].items()
    }
    text = page.render(hostile)
    assert "<script" not in text and text.count("&lt;script&gt;") > 10
    Page(text)


def test_findings_name_the_smallest_and_the_lost(figures):
    told = page.findings(figures)
    assert "mixed (trained)" in told[0] and "6.2\u00a0%" in told[0]
    assert any("binary (after training" in line and "need training" in line for line in told)
    assert any("same 100 images" in line for line in told)
    assert page.findings({**figures, "networks": figures["networks"][:1]}) == [
        "No quantized network is in this report."
    ]


def test_a_drawing_does_not_change_the_users_settings():
    import matplotlib

    before = dict(matplotlib.rcParams)
    with svg.drawing(2, 1) as figure:
        figure.subplots().plot([1, 2], color=svg.COLOURS["ptq"])
        text = svg.inline(figure, "name", "a < b", "c & d")
    assert dict(matplotlib.rcParams) == before
    assert "var(--ptq)" in text and "a &lt; b" in text and "c &amp; d" in text


def test_a_trained_network_of_the_report(source):
    images, labels = datasets.load("digits")
    for width in (widths.INT4, widths.BINARY):
        bits = compared.training_widths(width, source.layers)
        entry = compared.trained(source, width, bits, images, labels, 1, 1)
        assert entry.key == f"{width.key}-trained" and entry.how == "1 epoch on 100 images, seed 1"
        assert entry.graph.layers[0].output.bits == (4 if width == widths.INT4 else 1)
        classes = measure.integer_classes(entry.graph, images)
        assert (classes == labels).mean() > (0.9 if width == widths.INT4 else 0.1)
    assert compared.training_widths(widths.BINARY, 1) == ((8,), (1,))


def test_what_cannot_be_made_is_noted_and_bad_data_is_not():
    refused = []

    def fails(error):
        raise error

    assert gather.attempt(refused, widths.INT2, "trained", lambda: fails(FitError("too small"))) == []
    assert refused == [{"width": "INT2", "method": "trained", "reason": "too small"}]
    with pytest.raises(DataError):
        gather.attempt(refused, widths.INT2, "trained", lambda: fails(DataError("no labels")))


def test_a_given_network_must_be_for_the_same_task(tmp_path):
    entry = compared.given("mine", "lenet5-int8", (28, 28, 1), 10)
    assert entry.key == "own-mine" and entry.title == "mine" and entry.method == compared.GIVEN
    with pytest.raises(ModelError, match="takes images of .* not \\(32, 32, 3\\)"):
        compared.given("mine", "lenet5-int8", (32, 32, 3), 10)


def test_the_command_writes_a_page_and_its_figures_twice_alike(quant, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = (
        "report",
        "--data",
        "digits",
        "--widths",
        "int8,int4,mixed",
        "--weight-rounding",
        "nearest",
        "--calibration-images",
        60,
        "--network",
        "own=lenet5-int8",
        "--out",
        "report.html",
    )
    code, out, err = quant(*command, "--json")
    assert code == 0, err
    values = json.loads(out)
    assert set(values) == {"model", "data", "out", "json", "networks", "refused"}
    keys = [item["key"] for item in values["networks"]]
    assert [key for key in keys if "mixed" not in key] == [
        "fp32",
        "int8-ptq",
        "int4-ptq",
        "int8-trained",
        "int4-trained",
        "own-own",
    ]
    left_out = [item for item in values["refused"] if item["reason"].startswith("none is better: INT")]
    assert left_out == values["refused"] and len(left_out) + len(keys) == 8
    first = [(tmp_path / name).read_bytes() for name in ("report.html", "report.json")]
    figures = json.loads(first[1])
    assert figures["search"]["chosen"]["file_bytes"] <= 0.6 * 61470
    assert not any(item["width"] == "mixed" and item["weight_bytes"] > 0.6 * 61470 for item in figures["networks"])
    Page(first[0].decode())
    assert quant(*command, "--json")[0] == 0
    assert [(tmp_path / name).read_bytes() for name in ("report.html", "report.json")] == first


BAD = {
    "page": (("--out", "{tmp}/report.pdf"), "end the name with .html"),
    "folder": (("--out", "{tmp}/file/report.html"), "is not a folder"),
    "widths": (("--widths", "int3"), "width 'int3' is unknown"),
    "no widths": (("--widths", ","), "names nothing"),
    "network": (("--network", "mine"), "is not NAME=DIR"),
    "twice": (("--network", "a=lenet5-int8", "--network", "a=lenet5-w4a4"), "the same name"),
    "missing network": (("--network", "a={tmp}/none"), "is neither a model directory"),
    "labels": (("--data", "{tmp}/plain.npy"), "has no labels"),
    "floats": (("--data", "{tmp}/floats.npz"), "uint8 images"),
    "classes": (("--data", "{tmp}/classes.npz"), "labels lie in 0..10 but lenet5 has the classes 0..9"),
    "size": (("--data", "{tmp}/small.npz"), "(28, 28, 1)"),
    "build": (("--build", "5x16"), "must be a power of two"),
    "budget": (("--budget", "0"), "0"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_with_2_and_leaves_nothing(quant, tmp_path, case):
    (tmp_path / "file").write_text("")
    np.save(tmp_path / "plain.npy", np.zeros((2, 28, 28), np.uint8))
    np.savez(tmp_path / "floats.npz", images=np.zeros((2, 28, 28)), labels=np.zeros(2, int))
    np.savez(tmp_path / "classes.npz", images=np.zeros((11, 28, 28), np.uint8), labels=np.arange(11))
    np.savez(tmp_path / "small.npz", images=np.zeros((2, 9, 9), np.uint8), labels=np.zeros(2, int))
    before = sorted(tmp_path.iterdir())
    arguments, message = BAD[case]
    command = {"--data": "digits", "--widths": "int8", "--out": "{tmp}/report.html"}
    extra = [part for name, value in command.items() if name not in arguments for part in (name, value)]
    code, out, err = quant("report", *(part.replace("{tmp}", str(tmp_path)) for part in (*arguments, *extra)))
    assert code == 2 and out == "" and message in err and "Traceback" not in err, err
    assert sorted(tmp_path.iterdir()) == before


def test_the_shipped_networks_are_those_of_the_zoo():
    found = compared.shipped("lenet5", tuple(widths.WIDTHS.values()))
    assert [entry.width for entry in found] == ["int8", "int6", "int4", "int2", "binary", "mixed"]
    assert compared.shipped("none", tuple(widths.WIDTHS.values())) == []
    assert found[2].graph.layers[0].weight_bits == model_dir.load("lenet5-w4a4").layers[0].weight_bits == 4


def row(key, width, method, correct, weight_bytes, cycles):
    return {
        "key": key,
        "width": width,
        "title": width,
        "method": method,
        "correct": correct,
        "weight_bytes": weight_bytes,
        "cycles": cycles,
    }


@pytest.mark.parametrize(
    ("other", "is_beaten"),
    [
        (("int4", "after training", 90, 500, 100), True),
        (("int4", "after training", 91, 600, 200), True),
        (("int4", "after training", 90, 600, 200), False),
        (("int4", "after training", 89, 500, 100), False),
        (("int4", "after training", 95, 601, 100), False),
        (("int4", "after training", 95, 500, 201), False),
        (("int4", "after training", 90, 500, None), True),
        (("int4", "trained", 95, 500, 100), False),
        (("own", "given", 95, 500, 100), False),
        (("fp32", "float", 95, 500, 100), False),
    ],
)
def test_a_mixed_network_that_equal_widths_beat_is_found(other, is_beaten):
    found = mixed.dominated([row("mixed-ptq", "mixed", "after training", 90, 600, 200), row("other", *other)])
    assert [key for key, _ in found] == (["mixed-ptq"] if is_beaten else [])
    assert all("none is better: int4 classifies" in reason for _, reason in found)


def test_the_report_says_that_no_mixed_network_is_better(source, entries, monkeypatch):
    monkeypatch.setattr(
        gather,
        "networks",
        lambda *_given: [
            row("fp32", "fp32", "float", 100, 900, None),
            row("int4-trained", "int4", "trained", 99, 100, 10),
            row("mixed-trained", "mixed", "trained", 98, 100, 10),
        ],
    )
    monkeypatch.setattr(gather, "feasibility", lambda *_given: {})
    figures = gather.report(source, entries, datasets.load("digits"), CONFIG, data="digits", same_images=True)
    assert [item["key"] for item in figures["networks"]] == ["fp32", "int4-trained"]
    (note,) = figures["refused"]
    assert (note["width"], note["method"]) == ("mixed", "trained") and note["reason"].startswith("none is better: int4")
    assert "mixed-trained" not in str(figures["histograms"])


def test_the_mixed_network_is_chosen_beyond_equal_widths():
    def point(kl, file_bytes, cycles=10):
        return SimpleNamespace(costs={"file_bytes": file_bytes, "cycles": cycles}, figures=SimpleNamespace(kl=kl))

    chosen, cheaper, costly, uniform = point(0.3, 60), point(0.4, 40), point(0.1, 90), point(0.3, 50)
    result = SimpleNamespace(
        chosen=chosen, front=(cheaper, uniform, costly), uniform={(4, 4): uniform}, limits={"file_bytes": 70}
    )
    assert mixed._undominated(result) is cheaper
    result.uniform = {(4, 4): point(0.5, 50)}
    assert mixed._undominated(result) is chosen
    result.uniform = {(4, 4): point(0.0, 10)}
    assert mixed._undominated(result) is chosen, "which the report then leaves out"
