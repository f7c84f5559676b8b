"""Element-wise layers without multipliers: DSPs and LUTs of the requantizer with 2-hot multipliers against full ones.

An element-wise layer (a multiplier and an offset per channel, as batch norm has them) runs on the requantizer's lanes.
Measured are one lane and the whole accelerator of a binary build, in three families of FPGAs.
"""

from dataclasses import replace

from accel.config import HardwareConfig
from accel.hdl import convert_design
from accel.model_dir import load
from benchmarks import xc7, yosys
from benchmarks.families import ECP5, FAMILIES, XC7, synthesize
from benchmarks.report import Result, Row
from benchmarks.requantizer import make_lane
from sim.cli import compile_for

MODEL, SIZE, PRECISIONS = "lenet5-w1a1", 8, (8, 1)
KINDS = ("full", "khot2")
PUBLISHED = 5.8  # per cent more LUTs of a whole binary accelerator (QFX, arXiv 2401.17544)


def measure(progress, folder, quick, data_dir):
    """Two lanes and two accelerators in each family, a quarter of an hour (quick: the lanes in one family)."""
    families = (XC7,) if quick else FAMILIES
    task = progress.add_task("convert, synthesize", total=len(KINDS) * len(families) * (1 if quick else 2))
    lanes, whole = {}, {}
    for family in families:
        lanes[family.name] = pair(family, folder, lane_design, lambda: progress.advance(task))
        if not quick:
            whole[family.name] = pair(family, folder, whole_design, lambda: progress.advance(task))
    return summarize(lanes, whole, families)


def pair(family, folder, design, advance):
    """{requantizer: size} of a design with full and with 2-hot multipliers."""
    sizes = {}
    for kind in KINDS:
        out = folder / "khot_synthesis" / f"{design.__name__}_{family.name}_{kind}"
        out.mkdir(parents=True, exist_ok=True)
        files, top = design(kind, family, out)
        sizes[kind] = synthesize(files, top, family, out)
        advance()
    return sizes


def lane_design(kind, family, out):
    """(files, top) of one requantizer lane."""
    made = convert_design(lambda: make_lane(HardwareConfig(requantizer=kind)), out_dir=out)
    return made.files, made.top


def whole_design(kind, family, out):
    """(files, top) of the binary accelerator that holds LeNet-5 with 1-bit weights and activations."""
    config = compile_for(load(MODEL), SIZE, SIZE, precisions=PRECISIONS).config
    return xc7.convert(replace(config, requantizer=kind, multiplier=multiplier(family)), out)


def multiplier(family):
    """The multiplier that the MAC array of a family is built for."""
    return "18x18" if family == ECP5 else "25x18"


def overhead(sizes):
    """Per cent more LUTs with 2-hot multipliers."""
    return 100 * (sizes["khot2"]["luts"] / sizes["full"]["luts"] - 1)


def summarize(lanes, whole, families):
    """The Result of {family: {requantizer: size}} of a lane and, where it was measured, of the accelerator."""

    def text(family, sizes):
        full, hot = sizes["full"], sizes["khot2"]
        return (
            f"{family.name} {full['dsps']} -> {hot['dsps']} DSP, {full['luts']:,} -> {hot['luts']:,} {family.unit} "
            f"({overhead(sizes):+.1f} %)"
        )

    def row(what, must, aim, measured, met, note=""):
        first, *others = [text(family, measured[family.name]) for family in families if family.name in measured]
        return Row(what, must, aim, first, met, "; ".join(filter(None, (note, *others))))

    rows = [
        row(
            "a lane of the requantizer, full -> 2-hot multipliers",
            "0 DSP",
            "",
            lanes,
            not any(sizes["khot2"]["dsps"] for sizes in lanes.values()),
        )
    ]
    if whole:
        gone = all(
            sizes["full"]["dsps"] - sizes["khot2"]["dsps"] == lane_dsps(lanes[name]) for name, sizes in whole.items()
        )
        rows.append(
            row(
                f"the same, whole {SIZE}x{SIZE} accelerator, int8 and binary",
                "0 DSP in these layers",
                f"+{PUBLISHED} % LUT",
                whole,
                gone,
                "the DSPs left multiply int8 in the MAC array; aim: published, of a whole accelerator",
            )
        )
    return Result("khot_synthesis", tuple(rows), {"tool": yosys.version(), "lane": lanes, "accelerator": whole})


def lane_dsps(sizes):
    """DSPs that the accelerator's lanes have with full multipliers."""
    return sizes["full"]["dsps"] * HardwareConfig(SIZE, SIZE).req_lanes
