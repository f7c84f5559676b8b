"""Bundles of ports: flattened into the same text, given whole or port by port, refused by name where they don't fit."""

import importlib
import pkgutil

import pytest
from myhdl import Signal, always, always_comb, intbv

import accel.rtl
from accel.hdl.design import convert_design
from accel.rtl.parts.bundles import Bundle, Groups, Stream, fields
from accel.rtl.parts.module import module


class Switches(Bundle):
    """Two bare wires."""

    members = ("fast", "slow")
    prefix = False


@module
def flat(clk, s_data, s_valid, m_data, m_valid, fast, qmin):
    step = Signal(bool(0))
    inner_data = Signal(intbv(0)[8:])
    inner_valid = Signal(bool(0))

    @always(clk.posedge)
    def move():
        step.next = s_valid and fast
        inner_data.next[4:] = s_data[4:]
        inner_data.next[8:4] = qmin[4:]
        inner_valid.next = s_valid

    @always_comb
    def present():
        m_data.next = inner_data
        m_valid.next = inner_valid or step

    return move, present


@module
def bundled(clk, s: Stream, m: Stream, switches: Switches, layer: fields("qmin")):
    step = Signal(bool(0))
    inner = Stream(Signal(intbv(0)[8:]), Signal(bool(0)))

    @always(clk.posedge)
    def move():
        step.next = s.valid and switches.fast
        inner.data.next[4:] = s.data[4:]
        inner.data.next[8:4] = layer.qmin[4:]
        inner.valid.next = s.valid

    @always_comb
    def present():
        m.data.next = inner.data
        m.valid.next = inner.valid or step

    return move, present


def ports():
    def bit():
        return Signal(bool(0))

    def byte():
        return Signal(intbv(0)[8:])

    return {
        "clk": bit(), "s_data": byte(), "s_valid": bit(), "m_data": byte(), "m_valid": bit(), "fast": bit(),
        "qmin": byte(),
    }  # fmt: skip


def whole():
    p = ports()
    return (
        p["clk"], Stream(p["s_data"], p["s_valid"]), Stream(p["m_data"], p["m_valid"]), Switches(p["fast"]),
        fields("qmin")(p["qmin"]),
    )  # fmt: skip


def text(factory, hdl, folder):
    (converted,) = convert_design(factory, hdl, folder).modules
    return converted.body.replace("bundled", "flat"), converted.ports


@pytest.mark.parametrize("hdl", ["verilog", "vhdl"])
def test_bundled_and_flat_ports_give_the_same_text(hdl, tmp_path):
    expected = text(lambda: flat(**ports()), hdl, tmp_path)
    assert text(lambda: bundled(**ports()), hdl, tmp_path) == expected
    assert text(lambda: bundled(*whole()), hdl, tmp_path) == expected
    assert [port.name for port in expected[1]] == list(ports())


def test_ports_are_named_after_parameter_and_member():
    assert bundled.port_names == (
        "clk", *(f"{name}_{member}" for name in "sm" for member in Stream.members), "fast", "slow", "qmin"
    )  # fmt: skip
    assert bundled.optional_ports == set(bundled.port_names) - {"clk"}


def given(*args, **named):
    with pytest.raises(TypeError) as refused:
        bundled(*args, **named)
    return str(refused.value)


def test_what_does_not_fit_is_refused_by_name():
    p, (clk, s, m, switches, layer) = ports(), whole()
    assert given(clk, m, switches, s, layer) == "bundled: m has no fast; it holds data, valid, ready, keep, last"
    assert given(clk, s.data, m, switches, layer) == "bundled: s takes Stream, not _Signal"
    assert given(clk, s, m, switches, layer, layer) == "bundled: 6 ports given, but it has 5"
    assert given(clk, s, m, switches, layer, s_valid=p["s_valid"]) == (
        "bundled: s_valid given twice, in a bundle and by itself"
    )
    assert given(s=s, m=m, switches=switches, layer=layer).startswith("bundled: port clk is not connected")
    assert given(clk, Stream(3), m, switches, layer).startswith(
        "bundled: port s_data must be a Signal or None, not int"
    )


def test_a_bundle_holds_its_members_only():
    with pytest.raises(TypeError, match="Groups holds data, count, valid, pixel_last, last, not ready"):
        Groups(ready=Signal(bool(0)))
    with pytest.raises(TypeError, match="Switches holds fast, slow, not 0, 1, 2"):
        Switches(1, 2, 3)
    with pytest.raises(ValueError, match="no field qminimum"):
        fields("qmin", "qminimum")


def test_two_ports_need_two_names():
    with pytest.raises(TypeError, match="two ports have one name"):

        @module
        def twice(clk, s: Stream, s_data):
            return ()


def modules_of_the_hardware():
    for found in pkgutil.walk_packages(accel.rtl.__path__, "accel.rtl."):
        yield importlib.import_module(found.name)


def test_blocks_and_bundles_stay_small():
    things = {id(thing): thing for file in modules_of_the_hardware() for thing in vars(file).values()}.values()
    blocks = {thing.func.__name__: len(thing.bundles) for thing in things if isinstance(thing, type(flat))}
    bundles = [thing for thing in things if isinstance(thing, type) and issubclass(thing, Bundle)]
    bundles = [bundle for bundle in bundles if bundle.__name__ != fields().__name__]  # fields of a layer may be many
    assert len(blocks) > 50 and len(bundles) > 15
    assert {name: count for name, count in blocks.items() if count > 12} == {}
    assert {bundle.__name__ for bundle in bundles if len(bundle.members) > 8} == set()
    assert [bundle.__name__ for bundle in bundles if not bundle.__doc__] == []
