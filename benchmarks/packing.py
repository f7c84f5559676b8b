"""The packing of products into multipliers, proven: exhaustive simulation on Verilator; XNOR by SAT and induction."""

import time

from accel.hdl import convert_design
from accel.rtl.array.packed_multiplier import operand_bits
from benchmarks import yosys
from benchmarks.report import Result, Row
from sim.packing_proof import MODES, STYLES, all_operands, check_packing
from sim.pipeline import flag, reset, word
from sim.stand_ins.packing_check import operand_count, packing_miter
from sim.stand_ins.xnor_check import xnor_check

NAMES = {8: "int8", 4: "int4", 2: "int2", 1: "binary"}


def _binary():
    return packing_miter(
        flag(),
        word(operand_count(1, True)),
        flag(),
        number=0,
        size=1,
        modes=MODES,
        packed=True,
        bits=operand_bits("25x18", True),
        skip_lowest=False,
    )


def _xnor():
    return xnor_check(flag(), reset(), word(8), word(64), word(8), modes=MODES, packed=True, multiplier="25x18")


def prove(make, goal, folder):
    """Seconds that Yosys needs to prove the SAT goal for the design; TargetError if it does not."""
    folder.mkdir(parents=True, exist_ok=True)
    design = convert_design(make, out_dir=folder)
    started = time.monotonic()
    yosys.prove(design.files, design.top, goal, folder)
    return time.monotonic() - started


def measure(progress, folder, quick, data_dir):
    """Every operand of every multiplier, 240 million; `quick` takes 4096 operands of each and all proofs."""
    task = progress.add_task("simulate, prove", total=len(STYLES) * len(MODES) + 1)
    rows, details = [], {}
    for style in STYLES:
        counts, good = [], True
        for size in MODES:
            checked, wrong = check_packing(style, size, operands=4096 if quick else None)
            details[f"{style}_{NAMES[size]}"] = {"operands": checked, "wrong": wrong}
            good = good and wrong == 0 and (quick or checked == all_operands(style, size))
            counts.append(f"{NAMES[size]} {checked:,}")
            progress.advance(task)
        rows.append(
            Row(
                f"packing on {style} multipliers, every operand of a group of four, simulated",
                "none wrong",
                "",
                "all right" if good else "WRONG",
                good,
                ", ".join(counts),
            )
        )
    seconds = {
        "one multiplier": prove(_binary, "-prove ok 1", folder / "packing_binary"),
        "sums of any length": prove(_xnor, "-tempinduct -set-init-zero -prove same 255", folder / "packing_xnor"),
    }
    progress.advance(task)
    details["sat_seconds"] = seconds
    rows.append(
        Row(
            "XNOR-popcount of 64 bits and more, Yosys SAT and induction",
            "proven",
            "",
            "proven in " + ", ".join(f"{value:.0f} s ({name})" for name, value in seconds.items()),
            True,
        )
    )
    return Result("packing", tuple(rows), details)
