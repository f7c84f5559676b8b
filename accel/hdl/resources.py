"""What a build needs of a part: LUTs (an estimate), DSP slices, block RAMs, UltraRAMs; the check against a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel.config import SHIFT_ADD
from accel.descriptor import DESCRIPTOR_STRIDE
from accel.errors import FitError
from accel.names import ACTIVATION_BITS
from accel.rtl.output.param_table import memory_bits

if TYPE_CHECKING:
    from accel.config import HardwareConfig
    from accel.hdl.targets import Target

# Half a 36 Kbit block RAM as a simple dual port: bits (parity included) x words. A whole one is two of them.
HALF_BLOCK_SHAPES = ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384))
WRITE_LANE_BITS = 9  # of a block RAM: the least that is written separately
ULTRA_BITS, ULTRA_WORDS = 72, 4096
DISTRIBUTED_WORDS, DISTRIBUTED_BITS = 64, 2048  # up to either, tools take LUTs where they may choose

# The LUT model, 7 series after Yosys: a fixed part, per lane (rotators, FIFOs), per row and lane by array, per lane of
# the requantizer, per lane of a float stream. The figures are those of benchmarks/results (array, requantizer, sizes).
LUTS_FIXED, LUTS_PER_LANE, LUTS_MIXED, LUTS_INT6 = 1720, 124, 420, 250
LUTS_PER_MAC, LUTS_PER_MAC_4, LUTS_PER_MAC_21, LUTS_PER_MAC_UNPACK, LUTS_PER_MAC_SHIFT_ADD = 10, 20, 28, 6.3, 108
LUTS_PER_MAC_APPROXIMATE = 86
LUTS_PER_REQUANTIZER = {"full": 317, "pow2": 416, "khot2": 565, "khot3": 738}
LUTS_FLOAT_INPUT, LUTS_PER_FLOAT_INPUT, LUTS_PER_FLOAT_OUTPUT = 1000, 500, 550


@dataclass(frozen=True)
class Memory:
    """A memory of the accelerator. part_bits: of a part that is written separately, 0 for the whole word. style: as in
    the configuration, "" where the tool chooses. copies: equal ones."""

    name: str
    bits: int
    words: int
    part_bits: int = 0
    style: str = ""
    copies: int = 1

    @property
    def distributed(self) -> bool:
        small = self.words <= DISTRIBUTED_WORDS or self.words * self.bits <= DISTRIBUTED_BITS
        return self.style == "distributed" or not self.style and small

    @property
    def block_rams(self) -> float:
        """36 Kbit blocks of all copies, in the best shape; parts take whole write lanes."""
        if self.distributed or self.style == "ultra":
            return 0
        parts = self.bits // self.part_bits if self.part_bits else 1
        bits = self.bits if parts == 1 else parts * WRITE_LANE_BITS * -(-self.part_bits // WRITE_LANE_BITS)
        halves = min(-(-bits // width) * -(-self.words // depth) for width, depth in HALF_BLOCK_SHAPES)
        return self.copies * halves / 2

    @property
    def ultra_rams(self) -> int:
        if self.style != "ultra":
            return 0
        return self.copies * -(-self.bits // ULTRA_BITS) * -(-self.words // ULTRA_WORDS)

    @property
    def luts(self) -> int:
        """Of all copies in LUTs: four hold three bits of 64 words."""
        return self.copies * 4 * -(-self.bits // 3) * -(-self.words // 64) if self.distributed else 0


@dataclass(frozen=True)
class Resources:
    """What a build needs. luts: an estimate; dsps, block_rams (36 Kbit), ultra_rams: counts by construction."""

    luts: int
    dsps: int
    block_rams: float
    ultra_rams: int


def memories(config: HardwareConfig) -> list[Memory]:
    """Every memory of a build whose size or style can be chosen."""
    ultra = config.ultra_rows or config.rows if config.weight_style == "ultra" else 0
    part = 32 if config.lanes > 4 else 0
    row = ("weights", config.word_bits, config.weight_depth, part)
    found = [Memory(*row, "ultra", ultra), Memory(*row, config.weight_row_style(config.rows - 1), config.rows - ultra)]
    found += [
        Memory(
            "parameters",
            config.req_lanes * bits,
            config.param_group_depth,
            bits if config.req_lanes > 1 else 0,
            config.param_style,
        )
        for bits in memory_bits(config)
    ]
    found += [
        Memory("activations", config.word_bits, config.act_depth, 0, config.act_style),
        Memory("line_buffer", config.word_bits, config.line_depth // 2, 8, config.line_style, 2),
        Memory("pooling", 8 * config.req_lanes, config.pool_depth, 0, config.pool_style),
        Memory("program", 32, DESCRIPTOR_STRIDE * config.max_layers),
    ]
    return [memory for memory in found if memory.copies]


def resources(config: HardwareConfig) -> Resources:
    """The Resources of a build."""
    macs = config.rows * config.lanes
    narrow = [bits for bits in config.modes if bits in ACTIVATION_BITS[1:]]
    per_mac: float = LUTS_PER_MAC
    if config.multiplier == SHIFT_ADD:
        per_mac = LUTS_PER_MAC_SHIFT_ADD
    elif config.approximate:
        per_mac = LUTS_PER_MAC_APPROXIMATE
    per_mac += LUTS_PER_MAC_4 * (4 in narrow) + LUTS_PER_MAC_21 * (2 in narrow or 1 in narrow)
    per_mac += LUTS_PER_MAC_UNPACK * len(narrow)
    luts = LUTS_FIXED + LUTS_PER_LANE * config.lanes + per_mac * macs
    luts += LUTS_PER_REQUANTIZER[config.requantizer] * config.req_lanes
    luts += LUTS_MIXED * config.mixed + LUTS_INT6 * (6 in config.precisions)
    luts += config.float_input * (LUTS_FLOAT_INPUT + LUTS_PER_FLOAT_INPUT * config.float_lanes)
    luts += config.float_output * LUTS_PER_FLOAT_OUTPUT * config.float_lanes
    found = memories(config)
    return Resources(
        round(luts) + sum(memory.luts for memory in found),
        config.dsp_estimate,
        sum(memory.block_rams for memory in found),
        sum(memory.ultra_rams for memory in found),
    )


def ultra_rows(config: HardwareConfig, available: int) -> int:
    """Rows of the weight bank to put into a part's UltraRAMs, 0 where all of them fit."""
    others = sum(memory.ultra_rams for memory in memories(config) if memory.name != "weights")
    fitting = (available - others) // Memory("row", config.word_bits, config.weight_depth, 0, "ultra").ultra_rams
    return 0 if config.weight_style != "ultra" or fitting >= config.rows else max(0, fitting)


def check_target(config: HardwareConfig, target: Target) -> None:
    """Raise FitError where a build exceeds the target's part in anything, or a memory's style asks for UltraRAM that
    the part has not."""
    for option in ("weight_style", "act_style"):
        if getattr(config, option) == "ultra" and not target.ultra_rams:
            raise FitError(
                f"target {target.name}: {target.part} has no UltraRAM; leave out {option}=ultra or choose "
                "a target that has it"
            )
    needs = resources(config)
    array = "lower rows or lanes, or choose a larger target"
    memory = f"lower {_largest(config)} (--fit makes every memory as small as the network allows), or {array}"
    for count, kind, there, remedy in (
        (needs.dsps, "multipliers", target.dsps, array),
        (needs.luts, "LUTs by estimate", target.luts, f"leave out precisions, or {array}"),
        (needs.ultra_rams, "UltraRAMs", target.ultra_rams, f"lower weight_depth or ultra_rows, or {array}"),
        (needs.block_rams, "block RAMs", target.block_rams, memory),
    ):
        if count > there:
            raise FitError(
                f"target {target.name}: rows={config.rows}, lanes={config.lanes} needs {count:,g} {kind}, "
                f"but {target.part} has {there:,}; {remedy}"
            )


def _largest(config: HardwareConfig) -> str:
    """The depth option of the memory with most block RAMs, with its value."""
    options = {
        "weights": "weight_depth",
        "parameters": "param_depth",
        "activations": "act_depth",
        "line_buffer": "line_depth",
        "pooling": "pool_depth",
        "program": "max_layers",
    }
    name = options[max(memories(config), key=lambda memory: memory.block_rams).name]
    return f"{name}={getattr(config, name)}"
