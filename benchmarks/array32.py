"""A 32x32 build with all modes: converted, linted, one layer in every mode bit-exact, and what that is in GOPS."""

import json

from accel.hdl.accelerator import convert_accelerator
from accel.names import ACTIVATION_BITS, PRECISIONS
from benchmarks import workload
from benchmarks.precision_speed import run_layer
from benchmarks.report import RESULTS, Result, Row
from sim.engines.verilator_build import lint

SIZE = (32, 32)
CHANNELS_IN, CHANNELS_OUT, SIDE = 256, 128, 16  # at one bit a pixel fills one word of 32 bytes
GOAL_MHZ = 200
GOAL_GOPS = {8: 410, 4: 819, 2: 1_638, 1: 3_277}
NAMES = {8: "int8", 4: "int4", 2: "int2", 1: "binary"}


def measure(progress, folder, quick, data_dir):
    """Conversion, lint, and one image of the same layer in four widths; `quick`: the narrowest only."""
    widths = ACTIVATION_BITS[-1:] if quick else ACTIVATION_BITS
    graphs = {bits: workload.convolution(CHANNELS_IN, CHANNELS_OUT, SIDE, bits) for bits in widths}
    config = workload.one_build(graphs.values(), SIZE, PRECISIONS)
    task = progress.add_task("convert, lint, layers", total=2 + len(graphs))
    out = folder / "array32"
    out.mkdir(parents=True, exist_ok=True)
    design = convert_accelerator(config, out)
    progress.advance(task)
    warnings = lint(design.files, design.top)
    progress.advance(task)
    figures = {}
    with workload.accelerator(config) as accelerator:
        for bits, graph in graphs.items():
            figures[bits] = run_layer(accelerator, graph)
            progress.advance(task)
    mhz = report_mhz()
    rows = (
        Row(
            "32x32 accelerator with all modes: converted, `verilator --lint-only -Wall`",
            "no warning",
            "",
            "no warning" if not warnings else f"{warnings.count('%Warning')} warnings",
            not warnings,
        ),
        exact_row(figures),
        gops_row(figures, mhz),
    )
    return Result(
        "array32",
        rows,
        {
            "config": config.to_dict(),
            "layers": figures,
            "fmax_mhz": mhz,
            "files": len(design.files),
            "warnings": warnings[:2000],
        },
    )


def report_mhz():
    """Fmax of the stored place and route report: of an 8x8 int8 build on an ECP5, so only an estimate here."""
    return json.loads((RESULTS / "ecp5.json").read_text())["details"]["fmax_mhz"]


def gops(macs_per_cycle, mhz):
    return 2 * macs_per_cycle * mhz / 1000


def exact_row(figures):
    equal = all(values["equal"] for values in figures.values())
    found = ", ".join(f"{NAMES[bits]} {values['macs_per_cycle']:,.0f}" for bits, values in figures.items())
    layer = f"3x3 convolution {CHANNELS_IN}->{CHANNELS_OUT} on {SIDE}x{SIDE} pixels, converted Verilog"
    return Row(
        "the same, one layer in every mode",
        "bit-exact",
        "",
        "equal" if equal else "DIFFERS",
        equal,
        f"{layer}; MACs per cycle {found}",
    )


def gops_row(figures, mhz):
    def listed(clock):
        return " / ".join(f"{gops(values['macs_per_cycle'], clock):,.0f}" for values in figures.values())

    aim = " / ".join(f"{GOAL_GOPS[bits]:,}" for bits in figures)
    return Row(
        f"its GOPS int8 / int4 / int2 / binary, at an assumed {GOAL_MHZ} MHz",
        "",
        aim,
        listed(GOAL_MHZ),
        None,
        "an estimate: 2 x measured MACs per cycle x clock, no 32x32 build was placed and routed; at the Fmax of "
        f"the 8x8 int8 build on an ECP5, {mhz} MHz: {listed(mhz)}",
    )
