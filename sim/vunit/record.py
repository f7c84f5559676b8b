"""Record what a block case does, cycle by cycle, as the text file that the VHDL bench replays.

One line is one clock cycle, all words hexadecimal and separated by blanks:

    <which outputs are compared, bit 0 = first> <each input> ... <each output just before the rising edge> ...

The run that makes the file is the case's own: it checks every answer against the Python reference while it records.
It runs on Verilator, whose models the tests of the blocks need anyway and which is faster than MyHDL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.bus import STALLS
from sim.cases.bench import run_once

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from sim.cases.bench import BlockCase
    from sim.engines.dut import Dut


def record_case(case: BlockCase, directions: Mapping[str, str], stalls: str, seed: int, path: Path) -> int:
    """Write the trace of one run; `directions` are those of the converted block. Returns the cycle count."""
    lines: list[str] = []

    def observe(dut: Dut) -> None:
        inputs = [name for name in dut.ports if directions.get(name) == "input" and name != dut.clock]
        outputs = [name for name in dut.ports if directions.get(name) == "output"]
        dut.observers.append(lambda: lines.append(_line(dut, case, inputs, outputs)))

    run_once(case, STALLS[stalls], "verilator", seed, observe=observe)
    path.write_text("\n".join(lines) + "\n")
    return len(lines)


def _line(dut: Dut, case: BlockCase, inputs: Iterable[str], outputs: Sequence[str]) -> str:
    compared = 0
    if not ("rst" in dut.ports and dut.peek("rst")) and dut.cycle >= case.vhdl_skip:
        for index, name in enumerate(outputs):
            qualifier = case.vhdl_compare.get(name)
            if qualifier is None:
                counts = True
            else:
                counts = bool(qualifier(dut) if callable(qualifier) else dut.peek(qualifier))
            compared |= counts << index
    words = [f"{compared:0{hex_digits(len(outputs))}x}"]
    for name in (*inputs, *outputs):
        port = dut.ports[name]
        words.append(f"{port.raw(dut.peek(name)):0{hex_digits(port.bits)}x}")
    return " ".join(words)


def hex_digits(bits: int) -> int:
    return max(1, (bits + 3) // 4)
