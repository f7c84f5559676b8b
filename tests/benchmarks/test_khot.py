"""The tables of the benchmarks on multiplier-free element-wise layers and exported networks, from made-up figures."""

import json

import pytest

from benchmarks import exported_networks, families, khot_accuracy, khot_synthesis
from benchmarks.families import CYCLONE_V, ECP5, FAMILIES, XC7


def sizes(full, hot, dsps=4, left=0):
    return {"full": {"luts": full, "dsps": dsps}, "khot2": {"luts": hot, "dsps": left}}


def lanes(**changed):
    return {family.name: sizes(200, 300, **changed) for family in FAMILIES}


def test_cells_of_a_family_are_counted(tmp_path):
    counts = {"LUT6": 5, "INV": 1, "RAM32M": 2, "DSP48E1": 3, "FDRE": 7, "FDSE": 1, "RAMB18E1": 2, "MUXF7": 9}
    assert XC7.size(counts) == {"luts": 14, "dsps": 3, "flip_flops": 8, "memories": 2}
    assert ECP5.size({"LUT4": 5, "CCU2C": 2, "TRELLIS_DPR16X4": 1, "MULT18X18D": 1})["luts"] == 15
    assert CYCLONE_V.size({"MISTRAL_ALUT2": 1, "MISTRAL_ALUT_ARITH": 4, "MISTRAL_MUL18X18": 2}) == {
        "luts": 5,
        "dsps": 2,
        "flip_flops": 0,
        "memories": 0,
    }
    path = tmp_path / "netlist.json"
    cells = {f"c{i}": {"type": kind} for i, kind in enumerate(("LUT4", "CCU2C", "LUT4"))}
    path.write_text(json.dumps({"modules": {"top": {"cells": cells}, "other": {"cells": {"x": {"type": "LUT4"}}}}}))
    assert families.count_cells(path, "top") == {"CCU2C": 1, "LUT4": 2}


def test_overhead_is_in_per_cent_and_no_dsp_may_be_left():
    assert khot_synthesis.overhead(sizes(200, 300)) == pytest.approx(50)
    assert khot_synthesis.overhead(sizes(1000, 1058)) == pytest.approx(khot_synthesis.PUBLISHED)
    (row,) = khot_synthesis.summarize(lanes(), {}, FAMILIES).rows
    assert row.met and "xc7 4 -> 0 DSP, 200 -> 300 LUT (+50.0 %)" in row.measured
    assert not khot_synthesis.summarize(lanes(left=1), {}, FAMILIES).met


def test_the_accelerator_keeps_the_multipliers_of_its_array_only():
    fits = {family.name: sizes(5000, 5400, dsps=40, left=32) for family in FAMILIES}  # two lanes of four
    result = khot_synthesis.summarize(lanes(), fits, FAMILIES)
    assert result.met and "40 -> 32 DSP, 5,000 -> 5,400 LUT (+8.0 %)" in result.rows[1].measured
    assert "40 -> 32 DSP, 5,000 -> 5,400 LUT4 (+8.0 %)" in result.rows[1].note
    fits["ecp5"]["khot2"]["dsps"] = 33
    assert not khot_synthesis.summarize(lanes(), fits, FAMILIES).met


@pytest.mark.parametrize(("hot", "wrong", "met"), [(0.976, 0, True), (0.975, 0, False), (0.99, 1, False)])
def test_two_shifts_may_cost_four_tenths_of_a_point(hot, wrong, met):
    shares = {"8-bit multiplier": {1: 0.979, 2: 0.981}, "2-hot": {1: hot, 2: hot}}
    result = khot_accuracy.summarize(shares, {"8-bit multiplier": 0, "2-hot": wrong}, {})
    assert result.met == met
    assert f"{100 * (0.98 - hot):+.2f} points lost" in result.rows[0].measured


def test_a_network_that_differs_is_named():
    equal = {"build": "full", "rtl_layers": 0, "rtl_outputs": 0, "torch": 0, "cycles": 7, "predicted_cycles": 7}
    figures = {"a": equal, "b": equal | {"build": exported_networks.KHOT}}
    result = exported_networks.summarize(figures, 1000, 10)
    assert result.met and result.rows[0].measured == "equal" and "1 of them on a build" in result.rows[0].note
    for key in ("rtl_layers", "rtl_outputs", "torch"):
        result = exported_networks.summarize(figures | {"c": equal | {key: 1}}, 1000, 10)
        assert not result.met and result.rows[0].measured == "different: c"


def test_every_shipped_network_is_run_and_every_choice_is_one_of_the_tools():
    from quant.ptq.quantize import PtqOptions

    shipped = exported_networks.shipped()
    assert {"lenet5-int8", "lenet5-w1a1", "lenet5-mixed"} <= set(shipped)
    assert all(
        data == ("fashion_mnist" if name.startswith("fashion") else "mnist") for name, (_, data) in shipped.items()
    )
    for source, choice in exported_networks.PTQ.values():
        assert PtqOptions(**choice) and source in exported_networks.DATA
    assert set(exported_networks.QUICK) <= {*exported_networks.PTQ, *exported_networks.QFX}
