"""Exhaustive simulation of the packed multipliers: how many operands were compared, and how many were wrong."""

from __future__ import annotations

from accel.names import ACTIVATION_BITS
from accel.rtl.array.packed_multiplier import operand_bits
from accel.rtl.array.packing import MULTIPLIERS
from sim.engines import open_dut
from sim.pipeline import flag, reset, word
from sim.stand_ins.packing_check import LATENCY, operand_count, packing_checks

STYLES = ("25x18", "27x18", "18x18")


def check_packing(style: str, size: int, operands: int | None = None, *, excluded: bool = True) -> tuple[int, int]:
    """(operands compared, operands wrong) of the four multipliers of a group in a build with all modes.

    style: multiplier of the target. size: bits of the mode. operands: of each multiplier, None for all there are.
    excluded: int4 on 25 bits: take a top weight of -8 for right, which packed_range excludes.
    """
    packed = style != "18x18"
    bits = operand_bits(style, packed)
    ports = {"clk": flag(), "rst": reset(), "checked": word(32 * MULTIPLIERS), "wrong": word(32 * MULTIPLIERS)}
    params = {
        "size": size,
        "modes": ACTIVATION_BITS,
        "packed": packed,
        "bits": bits,
        "skip_lowest": excluded and size == 4 and bits == 25,
    }
    with open_dut(packing_checks, ports, params, "verilator", seed=1) as dut:
        dut.reset()
        dut.step(LATENCY + min(operands or 2 ** operand_count(size, packed), 2 ** operand_count(size, packed)))
        checked, wrong = (
            sum(dut.peek(name) >> 32 * i & 0xFFFFFFFF for i in range(MULTIPLIERS)) for name in ("checked", "wrong")
        )
        return checked, wrong


def all_operands(style: str, size: int) -> int:
    """Operands of the four multipliers of a group. int4 on 25 bits: one in 16 has a top weight of -8, which is not
    exact there and not compared with anything."""
    return MULTIPLIERS * 2 ** operand_count(size, style != "18x18")
