"""The boards and parts that a design can be made for: one table."""

from __future__ import annotations

from dataclasses import dataclass

from accel.errors import TargetError


@dataclass(frozen=True)
class Target:
    """A part, the size of array that suits it, and how it is constrained.

    part: Vivado's name. rows, lanes: default size. multiplier: of the part's DSP slices. constraints: file in
    build/vivado/constraints. board: the design gets pins through the self-test wrapper; without a board it is
    synthesized out of context, with a clock only. clock_mhz: of the accelerator. luts, dsps, block_rams (36 Kbit),
    ultra_rams: what the part has. oscillator_mhz: on a board, of the clock pin.
    """

    name: str
    title: str
    part: str
    rows: int
    lanes: int
    multiplier: str
    constraints: str
    board: bool
    clock_mhz: float
    luts: int
    dsps: int
    block_rams: int
    ultra_rams: int = 0
    oscillator_mhz: float = 0.0

    @property
    def weight_style(self) -> str:
        """Memory primitive for the weight bank: UltraRAM where the part has it, else what the tool chooses."""
        return "ultra" if self.ultra_rams else ""


TARGETS = {
    target.name: target
    for target in (
        Target(
            "arty-a7-35t",
            "Digilent Arty A7-35T",
            "xc7a35ticsg324-1L",
            8,
            8,
            "25x18",
            "arty_a7.xdc",
            True,
            50.0,
            20_800,
            90,
            50,
            oscillator_mhz=100.0,
        ),
        Target(
            "arty-a7-100t",
            "Digilent Arty A7-100T",
            "xc7a100tcsg324-1",
            16,
            16,
            "25x18",
            "arty_a7.xdc",
            True,
            50.0,
            63_400,
            240,
            135,
            oscillator_mhz=100.0,
        ),
        Target(
            "pynq-z2",
            "TUL PYNQ-Z2",
            "xc7z020clg400-1",
            16,
            16,
            "25x18",
            "pynq_z2.xdc",
            True,
            62.5,
            53_200,
            220,
            140,
            oscillator_mhz=125.0,
        ),
        Target(
            "ultra96v2",
            "Avnet Ultra96-V2 (part only)",
            "xczu3eg-sbva484-1-i",
            16,
            32,
            "27x18",
            "part_only.xdc",
            False,
            200.0,
            70_560,
            360,
            216,
        ),
        Target(
            "zcu104",
            "AMD ZCU104 (part only)",
            "xczu7ev-ffvc1156-2-e",
            32,
            32,
            "27x18",
            "part_only.xdc",
            False,
            200.0,
            230_400,
            1_728,
            312,
            96,
        ),
    )
}
DEFAULT_TARGET = "arty-a7-35t"


def find_target(name: str) -> Target:
    """The target of this name; TargetError where there is none."""
    if name not in TARGETS:
        raise TargetError(f"target {name!r} is unknown; choose one of {', '.join(TARGETS)}")
    return TARGETS[name]
