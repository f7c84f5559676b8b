"""The option --precisions of the conversion, and what the manifest says of widths."""

import json

import numpy as np
import pytest

from accel.compile import compile_graph, fit_config
from accel.config import HardwareConfig
from accel.convert import hardware_config
from accel.errors import FitError, UnsupportedError
from accel.hdl import manifest
from accel.hdl.targets import find_target
from accel.ir import Graph, InputEncoding, TensorType
from accel.options import parse_precisions
from sim.cases import graphs as networks


def mixed_graph():
    rng = np.random.default_rng(2)
    source = TensorType(6, 6, 3, 8, 0.1, 4)
    first = networks.conv(rng, "first", "input", source, 8, (3, 3), weight_bits=6, output_bits=4, spread=True)
    second = networks.conv(rng, "second", "first", first.output, 8, (3, 3), weight_bits=4, spread=True)
    last = networks.dense(rng, "last", "second", second.output, 3, raw=True, weight_bits=2)
    return Graph("mixed", source, InputEncoding(), (first, second, last))


def config_of(precisions=None):
    return hardware_config(mixed_graph(), find_target("arty-a7-35t"), None, None, (), precisions)


def test_the_default_is_what_the_network_needs():
    assert config_of().precisions == (8, 6, 4, 2)
    assert config_of((8, 4, 1)).precisions == (8, 4, 1)
    plain = networks.random_graph(np.random.default_rng(0))
    assert hardware_config(plain, find_target("arty-a7-35t"), 4, 4, ()).precisions == (8,)


@pytest.mark.parametrize(("text", "widths"), [(None, None), ("8", (8,)), ("8,4,1", (8, 4, 1)), ("1, 8", (1, 8))])
def test_precisions_are_read(text, widths):
    assert parse_precisions(text) == widths


@pytest.mark.parametrize("text", ["", "8,", "8;4", "all", "8.0"])
def test_other_text_is_refused(text):
    with pytest.raises(UnsupportedError, match="--precisions .*: must be widths with commas between, such as 8,4,1"):
        parse_precisions(text)


@pytest.mark.parametrize(
    ("precisions", "message"),
    [
        ((4, 1), "must contain 8"),
        ((8, 3), "must be different widths of 8, 6, 4, 2, 1"),
        ((8, 8), "must be different"),
        ((8, 2), "first: the 4-bit output needs a mode that the build does not have; build with --precisions 8,4,2"),
    ],
)
def test_widths_that_do_not_fit_are_refused(precisions, message):
    with pytest.raises(FitError, match=message):
        config_of(precisions)


def test_the_manifest_states_widths_and_bytes():
    graph = mixed_graph()
    config = fit_config(graph, HardwareConfig(rows=8, lanes=8, precisions=(8, 6, 4, 2)))
    program = compile_graph(graph, config)
    entries = json.loads(json.dumps([manifest.layer_entry(layer) for layer in program.layers]))
    widths = [
        [entry[name] for name in ("compute_bits", "weight_bits", "input_bits", "output_bits", "weight_wire_bits")]
        for entry in entries
    ]
    assert widths[0] == [8, 8, 8, 4, 6] and widths[2] == [8, 2, 8, 32, 2]
    assert widths[1][1:] == [4, 4, 8, 4] and program.notes == (f"second: {entries[1]['note']}",)
    assert entries[1]["note"].startswith("computes in 8 bits: the weight -8") and widths[1][0] == 8
    assert sum(entry["weight_bytes"] for entry in entries) == program.weights.size == manifest.weight_bytes(program)
    assert entries[0]["weight_wire_bytes"] * 4 == entries[0]["weight_bytes"] * 3
    assert "weights6" in manifest.memory_map(program)
    assert "weights6" not in manifest.memory_map(
        compile_graph(graph, fit_config(graph, HardwareConfig(precisions=(8, 4, 2))))
    )
