"""What a build needs of a part: the list of memories against the converted text, estimates against Yosys."""

import dataclasses
import json
from collections import Counter

import pytest

from accel.compile import compile_graph
from accel.config import HardwareConfig
from accel.convert import hardware_config
from accel.errors import FitError
from accel.hdl.accelerator import convert_accelerator
from accel.hdl.resources import Memory, check_target, memories, resources
from accel.hdl.targets import TARGETS
from accel.model_dir import load
from benchmarks.report import RESULTS

BUILDS = (
    {"rows": 4, "lanes": 4},
    {"rows": 8, "lanes": 8, "precisions": (8, 6, 4, 2, 1), "req_lanes": 1, "acc_bits": 16, "requantizer": "pow2"},
    {"rows": 4, "lanes": 16, "weight_depth": 64, "max_layers": 2, "param_style": "block", "pool_depth": 16},
    {"rows": 8, "lanes": 8, "weight_style": "ultra", "ultra_rows": 5, "act_style": "ultra", "line_style": "block"},
)


def converted_memories(design):
    """{(bits, words, part bits, style): number} of the memories in a converted design, FIFOs and counters left out."""

    def below(module, path=()):
        for name, child in module.instances:
            if child.kind == "ram" and module.kind != "fifo" and "counters" not in name:
                bits = next(port.width for port in child.ports if port.name == "rdata")
                values = child.parameters
                yield bits, values["depth"], values["part_bits"] % bits, values["style"]
            yield from below(child)

    return Counter(below(design.modules[-1]))


@pytest.mark.parametrize("options", BUILDS, ids=lambda options: f"{options['rows']}x{options['lanes']}")
def test_the_list_of_memories_is_what_is_converted(options, tmp_path):
    config = HardwareConfig(**options)
    listed = Counter()
    for memory in memories(config):
        listed[memory.bits, memory.words, memory.part_bits % memory.bits, memory.style] += memory.copies
    assert listed == converted_memories(convert_accelerator(config, tmp_path))


@pytest.mark.parametrize(
    ("memory", "block_rams", "ultra_rams"),
    (
        (Memory("a", 64, 512), 1, 0),
        (Memory("a", 72, 512), 1, 0),
        (Memory("a", 73, 512), 1.5, 0),
        (Memory("a", 36, 1024), 1, 0),
        (Memory("a", 32, 1024, 32), 1, 0),
        (Memory("a", 64, 1024, 32), 2, 0),
        (Memory("a", 64, 128, 8), 1, 0),
        (Memory("a", 22, 256, 11), 0.5, 0),
        (Memory("a", 62, 256, 31), 1, 0),
        (Memory("a", 1, 32768), 1, 0),
        (Memory("a", 9, 4096), 1, 0),
        (Memory("a", 256, 1024, 32, copies=32), 256, 0),
        (Memory("a", 8, 256), 0, 0),
        (Memory("a", 64, 64, 8), 0, 0),
        (Memory("a", 64, 64, style="block"), 1, 0),
        (Memory("a", 64, 512, style="distributed"), 0, 0),
        (Memory("a", 256, 4096, 32, "ultra"), 0, 4),
        (Memory("a", 256, 4097, 32, "ultra"), 0, 8),
        (Memory("a", 72, 1, 0, "ultra", 3), 0, 3),
    ),
)
def test_blocks_of_a_memory(memory, block_rams, ultra_rams):
    assert (memory.block_rams, memory.ultra_rams) == (block_rams, ultra_rams)


def synthesized():
    """(configuration, counted netlist) of every whole accelerator that Yosys made for the 7 series."""
    for name in ("xc7", "sizes"):
        path = RESULTS / f"{name}.json"
        details = json.loads(path.read_text())["details"] if path.exists() else {}
        for values in [details] if "config" in details else details.get("builds", {}).values():
            yield HardwareConfig.from_dict(values["config"]), values


def test_estimates_are_near_what_yosys_counts():
    found = list(synthesized())
    assert found
    for config, counted in found:
        needs = resources(config)
        assert needs.dsps == counted["dsps"]
        assert abs(needs.block_rams - counted["ramb36"]) <= 1
        assert abs(needs.luts / counted["luts"] - 1) < 0.15, f"{config}: {needs.luts} against {counted['luts']} LUTs"


@pytest.mark.parametrize("model", ("lenet5-int8", "lenet5-mixed"))
@pytest.mark.parametrize("name", TARGETS)
def test_every_target_fits_its_part_by_default(name, model):
    target = TARGETS[name]
    needs = resources(hardware_config(load(model), target, None, None, ()))
    assert needs.luts <= target.luts and needs.dsps <= target.dsps
    assert needs.block_rams <= target.block_rams and needs.ultra_rams <= target.ultra_rams


def test_rows_that_ultra_rams_cannot_hold_are_in_block_ram(tmp_path):
    config = hardware_config(load("lenet5-int8"), TARGETS["zcu104"], None, None, ())
    assert (config.rows, config.ultra_rows, resources(config).ultra_rams) == (32, 24, 96)
    assert [config.weight_row_style(row) for row in (0, 23, 24, 31)] == ["ultra", "ultra", "block", "block"]
    smaller = hardware_config(load("lenet5-int8"), TARGETS["zcu104"], 16, 16, ())
    assert smaller.ultra_rows == 0 and resources(smaller).ultra_rams == 32
    with pytest.raises(FitError, match="needs 128 UltraRAMs, but xczu7ev-ffvc1156-2-e has 96; lower weight_depth or"):
        check_target(dataclasses.replace(config, ultra_rows=0), TARGETS["zcu104"])
    with pytest.raises(FitError, match="needs .* UltraRAMs, but xczu7ev-ffvc1156-2-e has 96"):  # no row is left a place
        hardware_config(load("lenet5-int8"), TARGETS["zcu104"], 4, 64, ("act_style=ultra", "act_depth=65536"))


@pytest.mark.parametrize(
    ("target", "options", "message"),
    (
        ("arty-a7-35t", {"rows": 16, "lanes": 16}, "needs 144 multipliers, but xc7a35ticsg324-1L has 90; lower rows"),
        (
            "arty-a7-35t",
            {"rows": 16, "lanes": 16, "multiplier": "shift_add", "requantizer": "pow2"},
            r"LUTs by estimate, but xc7a35ticsg324-1L has 20,800; leave out precisions",
        ),
        (
            "arty-a7-35t",
            {"weight_depth": 4096},
            r"needs 70.5 block RAMs, but .* has 50; lower weight_depth=4096 \(--fit",
        ),
        ("arty-a7-35t", {"act_depth": 65536, "weight_depth": 16}, r"block RAMs, but .* has 50; lower act_depth=65536"),
    ),
)
def test_what_exceeds_a_part_is_named(target, options, message):
    with pytest.raises(FitError, match=message):
        check_target(HardwareConfig(**options), TARGETS[target])


@pytest.mark.parametrize(("ultra", "style"), ((-1, "ultra"), (9, "ultra"), (1, ""), (1, "block")))
def test_rows_in_ultra_ram_are_checked(ultra, style):
    with pytest.raises(FitError, match=f"ultra_rows={ultra} must be 0 to rows=8, and 0 without weight_style=ultra"):
        HardwareConfig(weight_style=style, ultra_rows=ultra)


def test_fit_makes_memories_as_small_as_the_network_allows():
    graph, target = load("lenet5-int8"), TARGETS["arty-a7-100t"]
    roomy, fitted = (hardware_config(graph, target, None, None, (), fit=fit) for fit in (False, True))
    assert (roomy.weight_depth, fitted.weight_depth) == (1024, 512)
    assert resources(fitted).block_rams <= resources(roomy).block_rams - 32
    compile_graph(graph, fitted)
    chosen = hardware_config(graph, target, None, None, ("act_depth=2048",), fit=True)
    assert chosen == dataclasses.replace(fitted, act_depth=2048)
