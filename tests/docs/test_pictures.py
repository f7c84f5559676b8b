"""The pictures of docs/architecture.md: they are what the scripts draw, and the scripts refuse to draw what is not."""

import json
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel.rtl.array.mac_array import mac_array_latency
from accel.rtl.control.host_port import HOST_READ_LATENCY
from accel.rtl.feed.line_buffer import LINE_READ_LATENCY
from accel.rtl.feed.window import WINDOW_LATENCY
from accel.rtl.output.requantize import REQUANTIZE_LATENCY
from scripts.pictures import timing, top, waves
from scripts.pictures.__main__ import BLOCKS, DOCS, TIMING, block_diagram, timing_diagram
from scripts.pictures.builds import PLAIN, accelerator
from scripts.pictures.scene import Scene
from scripts.pictures.wiring import PictureError, Wiring, find

FILES = [f"pictures/{name}.svg" for name in BLOCKS] + [f"timing/{name}.svg" for name in TIMING]


def assert_up_to_date(files):
    for path, text in files.items():
        assert (DOCS / path).read_text(encoding="utf-8") == text, f"docs/{path} is old; run: make docs"


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_diagram_is_what_the_design_is(name):
    assert_up_to_date(block_diagram(name))


@pytest.mark.parametrize("name", TIMING)
def test_a_timing_diagram_is_what_the_simulation_shows(name):
    assert_up_to_date(timing_diagram(name))


def test_the_page_shows_every_picture_and_no_file_is_left_over():
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    assert re.findall(r"!\[[^\]]{20,}\]\(((?:pictures|timing)/[^)]*)\)", page) == FILES
    kept = {str(path.relative_to(DOCS)) for folder in ("pictures", "timing") for path in (DOCS / folder).iterdir()}
    assert kept == {*FILES, *(f"timing/{name}.json" for name in TIMING)}


@pytest.mark.parametrize("path", FILES)
def test_a_picture_scales_and_its_text_can_be_selected(path):
    root = ElementTree.parse(DOCS / path).getroot()
    kinds = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert "text" in kinds and not kinds & {"image", "foreignObject"}
    x, y, width, height = map(float, root.get("viewBox").split())
    assert (float(root.get("width")), float(root.get("height"))) == (width, height)
    panel = next(element for element in root.iter() if element.tag.endswith("rect"))
    assert panel.get("fill") == "#fff" and float(panel.get("width")) == width  # readable on a dark page
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))


def spans(name):
    """{(row, row): cycles} of the distances that a timing diagram tells."""
    picture = json.loads((DOCS / "timing" / f"{name}.json").read_text(encoding="utf-8"))
    rows = [row for entry in picture["signal"] for row in (entry[1:] if isinstance(entry, list) else [entry])]
    at = {letter: row["name"] for row in rows for letter in row.get("node", "").replace(".", "")}
    return {(at[edge[0]], at[edge[3]]): int(edge[5:]) for edge in picture["edge"]}


def test_the_distances_are_the_latencies_of_the_code():
    assert spans("host") == {("host_read", "host_rdata"): HOST_READ_LATENCY}
    assert {
        ("row filled", "address"): WINDOW_LATENCY,
        ("address", "operands"): LINE_READ_LATENCY,
        ("last of a tile", "tile"): mac_array_latency(timing.TINY),
        ("tile", "group"): REQUANTIZE_LATENCY,
    }.items() <= spans("layer").items()


def test_a_block_that_is_not_drawn_is_named():
    scene = Scene(10, 10, "empty", accelerator(PLAIN), accelerator(PLAIN), whole=True)
    with pytest.raises(PictureError, match="bitloom has a block .*; place it"):
        scene.draw()


def test_an_arrow_between_blocks_that_are_not_connected_is_refused():
    scene = Scene(10, 10, "wrong", accelerator(PLAIN), accelerator(PLAIN))
    for name in ("packer", "pool"):
        scene.block(name, 0, 0, 1, 1)
    scene.stream("packer", "pool")
    with pytest.raises(PictureError, match="packer drives nothing that pool reads"):
        scene.draw()


def test_a_stream_that_is_not_drawn_is_named(monkeypatch):
    draw_stream = Scene.stream
    monkeypatch.setattr(
        Scene, "stream", lambda self, *ends, **given: ends[0] == "pool" or draw_stream(self, *ends, **given)
    )
    with pytest.raises(PictureError, match="add the stream pool -> bit_packer"):
        top.draw()


def test_connections_go_through_the_processes_of_a_parent_but_not_through_blocks():
    design = accelerator(PLAIN)
    named = {name: find(design, f"compute_core/{name}") for name in ("act_reader", "conv2d_engine", "mac_array")}
    wiring = Wiring(design, named | {"memory": find(design, "ram"), "requantize": find(design, "requantize")})
    word, tile = PLAIN.word_bits, PLAIN.result_bits
    assert wiring.width("memory", "conv2d_engine") == word
    assert wiring.width("conv2d_engine", "mac_array") == word and wiring.width("mac_array", "requantize") == tile
    assert not wiring.width("conv2d_engine", "requantize") and not wiring.width("memory", "mac_array", 2)
    with pytest.raises(PictureError, match="bitloom has no block pond"):
        find(design, "pond")


class Recorded:
    """A dut that only counts cycles."""

    def __init__(self):
        self.cycle, self.observers = 0, []


VALUES = st.one_of(st.none(), st.booleans(), st.integers(0, 3))


def shown(picture, row):
    """What a row of a diagram says in each column."""
    line, value, values = picture["signal"][1 + row], None, []
    data = iter(line.get("data", []))
    for letter in line["wave"]:
        if letter not in ".|":
            value = {"0": False, "1": True, "x": None}.get(letter, letter)
            value = next(data) if letter == "=" else value
        values.append(value)
    return values


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=40))
def test_a_diagram_says_what_was_seen_and_leaves_out_only_cycles_in_which_nothing_changed(samples):
    current = [None, None]
    rows = [waves.Row(f"row {i}", lambda i=i: current[i], valid=lambda i=i: current[i] is not None) for i in range(2)]
    recorder = waves.Recorder(Recorded(), {"": rows})
    for sample in samples:
        current[:] = sample
        recorder.sample()
    picture = recorder.json(0, len(samples))
    columns = recorder.columns(0, len(samples), set())
    for i in range(2):
        written = [f"{sample[i]:x}" if type(sample[i]) is int else sample[i] for sample in samples]
        assert shown(picture, i) == [written[cycle] for cycle, _ in columns]
    cycles = {cycle for cycle, _ in columns}
    assert {0, len(samples) - 1} <= cycles and list(cycles) == sorted(cycles)
    assert all(samples[cycle] == samples[cycle - 1] for cycle in set(range(len(samples))) - cycles)
    assert json.loads(waves.text(picture)) == picture
