"""Path analysis on small netlists whose answer is known by looking at them."""

import json

import pytest

from benchmarks.netlist import Netlist

OUTPUTS = {"FDRE": "Q", "LUT2": "O", "LUT6": "O", "INV": "O", "CARRY4": "CO", "DSP48E1": "P", "RAM64M": "DOA"}


def cell(kind, parameters=None, **ports):
    """A cell; ports: name -> list of nets. The output port of the kind is told by OUTPUTS."""
    ways = {port: "output" if port == OUTPUTS.get(kind) else "input" for port in ports}
    return {"type": kind, "parameters": parameters or {}, "port_directions": ways, "connections": ports}


def dsp(output, inputs, **registers):
    wanted = {"AREG": 0, "BREG": 0, "MREG": 0, "PREG": 0} | registers
    return cell("DSP48E1", {name: f"{value:b}" for name, value in wanted.items()}, P=[output], A=[inputs])


def netlist(tmp_path, **cells):
    names = {f"net{bit}": {"bits": [bit], "hide_name": 0} for bit in range(50)}
    design = {"modules": {"top": {"attributes": {"top": "1"}, "cells": cells, "netnames": names}}}
    path = tmp_path / "netlist.json"
    path.write_text(json.dumps(design))
    return Netlist(path)


def register(output, source):
    return cell("FDRE", Q=[output], D=[source], C=[0], CE=["1"])


def test_levels_are_counted_from_register_to_register(tmp_path):
    found = netlist(
        tmp_path,
        start=register(1, 4),
        a=cell("LUT2", I0=[1], I1=[1], O=[2]),
        b=cell("INV", I=[2], O=[3]),
        c=cell("LUT6", I0=[3], I1=[1], O=[4]),
        end=register(5, 4),
    )
    by_luts, by_dsps = found.longest_paths()
    assert (by_luts.luts, by_luts.dsps, by_dsps.dsps) == (3, 0, 0)
    assert str(by_luts) == "FDRE (net1) > LUT2 > INV > LUT6 > FDRE.D (net1)"
    assert found.luts() == 3 and found.flip_flops() == 2


def test_a_carry_chain_is_no_lut_level_and_depends_on_lower_bits_only(tmp_path):
    chain = cell("CARRY4", CI=["0"], CYINIT=["0"], DI=[1, 1, 1, 1], S=[1, 3, 1, 1], CO=[2, 4, 5, 6])
    found = netlist(tmp_path, start=register(1, 6), chain=chain, s=cell("LUT2", I0=[2], I1=[1], O=[3]))
    assert found.longest_paths()[0].luts == 1


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({}, {}, 2),  # nothing registered: one path through both
        ({"PREG": 1}, {}, 1),  # ends and starts again at the first one's output register
        ({"MREG": 1}, {"AREG": 1}, 1),  # starts at the first one's product, ends at the second one's input
        ({"PREG": 1}, {"PREG": 1}, 1),  # ends inside the second one
    ],
)
def test_dsps_on_a_path(tmp_path, first, second, expected):
    found = netlist(tmp_path, start=register(1, 3), a=dsp(2, 1, **first), b=dsp(3, 2, **second))
    assert found.longest_paths()[1].dsps == expected
    assert found.dsps() == 2


def test_a_distributed_memory_is_read_through_its_own_address_only(tmp_path):
    memory = cell("RAM64M", ADDRA=[1], ADDRD=[2], DIA=[2], WCLK=[0], DOA=[2])
    found = netlist(tmp_path, start=register(1, 2), memory=memory)
    assert found.longest_paths()[0].luts == 1
    assert found.luts() == 4


def test_a_combinational_loop_is_named(tmp_path):
    found = netlist(tmp_path, a=cell("LUT2", I0=[2], O=[1]), b=cell("INV", I=[1], O=[2]), end=register(3, 2))
    with pytest.raises(ValueError, match="combinational loop through [ab]"):
        found.longest_paths()


def test_block_memories_count_in_units_of_36_kilobits(tmp_path):
    found = netlist(tmp_path, a=cell("RAMB36E1"), b=cell("RAMB18E1"), c=cell("RAMB18E1"), d=cell("RAMB18E1"))
    assert found.block_rams() == 2.5
