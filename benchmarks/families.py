"""Size of a design in three families of FPGAs, by Yosys' own mapping: multipliers, LUTs, registers, memories."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks import yosys
from benchmarks.netlist import LUTS_PER_CELL


@dataclass(frozen=True)
class Family:
    """One family.

    command: Yosys' synthesis with {top} for the top module. unit: what its LUTs are called.
    luts: cell -> LUTs that it occupies. dsps: its multipliers. flip_flops: its registers. memories: its block memories.
    """

    name: str
    command: str
    unit: str
    luts: dict
    dsps: tuple
    flip_flops: tuple
    memories: tuple

    def size(self, counts):
        """{luts, dsps, flip_flops, memories} of {cell: how many}."""
        return {
            "luts": sum(self.luts.get(kind, 0) * count for kind, count in counts.items()),
            "dsps": sum(counts.get(kind, 0) for kind in self.dsps),
            "flip_flops": sum(counts.get(kind, 0) for kind in self.flip_flops),
            "memories": sum(counts.get(kind, 0) for kind in self.memories),
        }


XC7 = Family(
    "xc7",
    "synth_xilinx -family xc7 -top {top} -flatten -noiopad",
    "LUT",
    LUTS_PER_CELL,
    ("DSP48E1",),
    ("FDRE", "FDSE", "FDCE", "FDPE"),
    ("RAMB36E1", "RAMB18E1"),
)
# An ALM holds two of these tables; one of six inputs takes a whole one, as does a bit of arithmetic half of one.
CYCLONE_V = Family(
    "cyclonev",
    "synth_intel_alm -family cyclonev -top {top}",
    "ALUT",
    {f"MISTRAL_ALUT{inputs}": 1 for inputs in range(2, 7)}
    | {"MISTRAL_ALUT_ARITH": 1, "MISTRAL_NOT": 1, "MISTRAL_MLAB": 1},
    ("MISTRAL_MUL27X27", "MISTRAL_MUL18X18", "MISTRAL_MUL9X9"),
    ("MISTRAL_FF",),
    ("MISTRAL_M10K",),
)
# A carry cell is two tables, a distributed memory of 16 x 4 bits four and the two of its slice that address them.
ECP5 = Family(
    "ecp5",
    "synth_ecp5 -top {top}",
    "LUT4",
    {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6},
    ("MULT18X18D",),
    ("TRELLIS_FF",),
    ("DP16KD", "PDPW16KD"),
)
FAMILIES = (XC7, CYCLONE_V, ECP5)


def count_cells(path, top):
    """{cell: how many} of a flat netlist in Yosys' JSON."""
    design = json.loads(Path(path).read_text())
    return dict(sorted(Counter(cell["type"] for cell in design["modules"][top]["cells"].values()).items()))


def synthesize(files, top, family, folder):
    """Flatten and map the design; returns family.size() with the cells that it counted."""
    out = Path(folder) / f"{top}.{family.name}.json"
    text = " ".join(str(Path(file).resolve()) for file in files)
    yosys.run(f"read_verilog {text}; {family.command.format(top=top)}; write_json {out}", out.with_suffix(".log"))
    cells = count_cells(out, top)
    return family.size(cells) | {"cells": cells}
