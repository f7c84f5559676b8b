"""The Vivado project of a converted design: kept script and constraints, and the settings of this design."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel import folders
from accel.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from accel.hdl.targets import Target

SCRIPTS = ("create_project.tcl", "copy_memory.tcl")
BOARD_TOP = "board_selftest"
MANAGER_MHZ = 1000  # of the clock manager's own oscillator: 600 to 1200 MHz in every speed grade of the 7 series


def kept_file(name: str) -> str:
    """Text of a script or constraint file that the repository keeps."""
    path = folders.kept_file(f"vivado/{name}")
    try:
        if path is None:
            raise FileNotFoundError(2, "not installed")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise TargetError(
            f"build/vivado/{name}: cannot be read ({error.strerror}); install Bitloom again, or run "
            "from a complete checkout of the repository"
        ) from None


def constraints(target: Target) -> str:
    """Text of the constraint file, with the clock of the target where the file is not for one board."""
    text = kept_file(f"constraints/{target.constraints}")
    if target.board:
        return text
    return text.replace("set period 5.000", f"set period {1000 / target.clock_mhz:.3f}")


def clock_generics(target: Target) -> dict[str, int]:
    """The board wrapper's parameters that make the accelerator's clock of the board's."""
    return {
        "CLOCK_PS": round(1e6 / target.oscillator_mhz),
        "CLOCK_MULTIPLY": round(MANAGER_MHZ / target.oscillator_mhz),
        "CLOCK_DIVIDE": round(MANAGER_MHZ / target.clock_mhz),
    }


def settings(
    target: Target, top: str, hdl: str, files: Mapping[str, Sequence[str]], generics: Mapping[str, int]
) -> str:
    """Text of settings.tcl. files: {rtl, memory, constraint, simulation: [paths in the output folder]}."""
    lines = [
        f"# What create_project.tcl needs to know about this design. Target: {target.title}.",
        f"set project_name {top}",
        f"set part {target.part}",
        f"set top {BOARD_TOP if target.board else top}",
        f"set language {'VHDL' if hdl == 'vhdl' else 'Verilog'}",
        f"set out_of_context {0 if target.board else 1}",
        f"set simulation_top tb_{top}",
        "set generics {" + " ".join(f"{name}={value}" for name, value in generics.items()) + "}",
    ]
    for kind in ("rtl", "memory", "constraint", "simulation"):
        lines.append(f"set {kind}_files {{")
        lines += [f"    {name}" for name in files[kind]]
        lines.append("}")
    return "\n".join(lines) + "\n"
