"""Size of whole accelerators by Yosys against the estimates that accel.convert checks a target with."""

from accel.config import HardwareConfig
from accel.hdl.resources import resources
from accel.names import ACTIVATION_BITS
from benchmarks import xc7, yosys
from benchmarks.report import Result, Row

BUILDS = {
    "4x4": {"rows": 4, "lanes": 4},
    "8x8": {"rows": 8, "lanes": 8},
    "8x8 all modes": {"rows": 8, "lanes": 8, "precisions": ACTIVATION_BITS},
    "16x16": {"rows": 16, "lanes": 16},
}
MOST_ERROR = 0.15


def measure(progress, folder, quick, data_dir):
    """A synthesis of each build, some minutes each; `quick`: the smallest."""
    names = list(BUILDS)[:1] if quick else list(BUILDS)
    task = progress.add_task("convert, synthesize", total=len(names))
    rows, builds = [], {}
    for name in names:
        config = HardwareConfig(**BUILDS[name])
        files, top = xc7.convert(config, folder / f"sizes_{name.replace(' ', '_')}")
        netlist, _ = yosys.synthesize_xc7(files, top, files[0].parent)
        builds[name] = {"config": config.to_dict()} | netlist.summary()
        rows.append(row(name, config, builds[name]))
        progress.advance(task)
    return Result("sizes", tuple(rows), {"tool": yosys.version(), "builds": builds})


def row(name, config, found):
    """The Row of a build: what was counted, and how far off the estimate is."""
    needs = resources(config)
    error = needs.luts / found["luts"] - 1
    exact = (needs.dsps, needs.block_rams) == (found["dsps"], found["ramb36"])
    return Row(
        f"{name} accelerator on xc7, estimate against Yosys",
        f"LUTs within {MOST_ERROR:.0%}, others equal",
        "",
        f"{error:+.1%}, {'equal' if exact else 'NOT equal'}",
        exact and abs(error) <= MOST_ERROR,
        f"{found['luts']:,} LUT, {found['flip_flops']:,} FF, {found['dsps']} DSP48E1, {found['ramb36']:g} RAMB36",
    )
