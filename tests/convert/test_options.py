"""Options of the hardware configuration in the converted text: clean Verilog and VHDL, memory attributes."""

import re
import subprocess

import pytest

from accel.config import MEMORY_STYLES, HardwareConfig
from accel.errors import FitError
from accel.hdl.accelerator import convert_accelerator
from accel.hdl.resources import check_target
from accel.hdl.targets import TARGETS
from sim.engines.verilator_build import lint

SMALL = {
    "rows": 4,
    "lanes": 4,
    "weight_depth": 64,
    "act_depth": 32,
    "line_depth": 32,
    "param_depth": 32,
    "pool_depth": 16,
    "max_layers": 4,
}
BUILDS = {
    "all_modes": {"rows": 8, "lanes": 8, "precisions": (8, 6, 4, 2, 1)},
    "one_lane_out": {"precisions": (8, 4, 2, 1), "req_lanes": 1, "requantizer": "pow2", "acc_bits": 16},
    "binary": {"precisions": (8, 1), "req_lanes": 4, "requantizer": "khot2"},
    "plain_multipliers": {"precisions": (8, 6, 2), "multiplier": "18x18", "requantizer": "khot3"},
    "packed_weights": {"precisions": (8, 6)},
    "no_tlast": {"input_tlast": False},
}
# The memory that each style belongs to: the block that holds it and its words as the converted text has them.
STYLED = {
    "weight_style": ("weight_bank", 64),
    "act_style": ("bitloom", 32),
    "line_style": ("line_buffer", 16),
    "param_style": ("param_table", 32),
    "pool_style": ("pool", 16),
}


@pytest.mark.parametrize("options", BUILDS.values(), ids=BUILDS)
def test_builds_are_clean_verilog(options, tmp_path):
    design = convert_accelerator(HardwareConfig(**SMALL | options), tmp_path)
    assert lint(design.files, design.top) == ""


@pytest.mark.parametrize(
    "options", [BUILDS["all_modes"], BUILDS["plain_multipliers"]], ids=["all_modes", "plain_multipliers"]
)
def test_builds_are_clean_vhdl(options, tmp_path):
    design = convert_accelerator(HardwareConfig(**SMALL | options), tmp_path, hdl="vhdl")
    done = subprocess.run(
        ["ghdl", "-a", "--std=08", f"--workdir={tmp_path}", *design.files], capture_output=True, text=True
    )
    assert done.stdout + done.stderr == "" and done.returncode == 0


def styles_of(design, block):
    """(depth, style) of every memory directly inside the block."""
    modules = {module.name: module for module in design.modules}
    texts = {path.stem: path.read_text() for path in design.files}
    names = [
        child.name
        for module in modules.values()
        if module.kind == block
        for _, child in module.instances
        if child.kind == "ram"
    ]
    found = set()
    for text in (texts[name] for name in names):
        depth = re.search(r"mem \[0:(\d+)\]|array \(0 to (\d+)\)", text)
        style = re.search(r'ram_style = "(\w+)"|ram_style of mem: signal is "(\w+)"', text)
        found.add((int(next(filter(None, depth.groups()))) + 1, next(filter(None, style.groups())) if style else ""))
    return found


@pytest.mark.parametrize("hdl", ("verilog", "vhdl"))
def test_memory_styles_reach_the_text(hdl, tmp_path):
    """Each memory has its own option: in each round every one has another of its styles, or none."""
    for number in range(4):
        options = {option: ("", *styles)[number % (1 + len(styles))] for option, styles in MEMORY_STYLES.items()}
        folder = tmp_path / str(number)
        folder.mkdir()
        design = convert_accelerator(HardwareConfig(**SMALL, **options), folder, hdl=hdl)
        for option, (block, depth) in STYLED.items():
            assert styles_of(design, block) == {(depth, options[option])}


@pytest.mark.parametrize("option", MEMORY_STYLES)
def test_unknown_styles_are_refused_by_name(option):
    unfit = "ultra" if "ultra" not in MEMORY_STYLES[option] else "registers"
    with pytest.raises(FitError, match=f"{option}='{unfit}' is unknown; choose {', '.join(MEMORY_STYLES[option])}"):
        HardwareConfig(**{option: unfit})


@pytest.mark.parametrize("option", ("weight_style", "act_style"))
def test_ultra_needs_a_part_with_it(option):
    config = HardwareConfig(**SMALL, **{option: "ultra"})
    check_target(config, TARGETS["zcu104"])
    for name in set(TARGETS) - {"zcu104"}:
        with pytest.raises(FitError, match=f"target {name}: .* has no UltraRAM; leave out {option}=ultra"):
            check_target(config, TARGETS[name])


def test_requantizers_are_named():
    assert HardwareConfig(rows=8, lanes=8).dsp_estimate == 32 + 8
    assert HardwareConfig(rows=8, lanes=8, requantizer="pow2").dsp_estimate == 32
    with pytest.raises(FitError, match="requantizer=khot4 is unknown; choose one of full, pow2, khot2, khot3"):
        HardwareConfig(requantizer="khot4")
