"""Size of the whole 8x8 accelerator in an Artix-7 35T and its longest logic path, by Yosys."""

from accel.hdl.accelerator import convert_accelerator
from benchmarks import workload, yosys
from benchmarks.report import Result, Row
from sim.cli import compile_for

ARTIX_35T = {"LUT": 20_800, "DSP": 90, "RAMB36": 50}
MAX_DSPS_ON_PATH, MAX_LUT_LEVELS = 1, 6


def convert(config, folder):
    """(files, top module) of the accelerator in Verilog, its memories empty."""
    folder.mkdir(parents=True, exist_ok=True)
    design = convert_accelerator(config, folder)
    return design.files, design.top


def measure(progress, folder, quick, data_dir):
    """One synthesis with memories that hold LeNet-5, some minutes; `quick` changes nothing."""
    config = compile_for(workload.lenet(), 8, 8).config
    task = progress.add_task("convert, synthesize", total=2)
    files, top = convert(config, folder / "xc7")
    progress.advance(task)
    netlist, ltp = yosys.synthesize_xc7(files, top, folder)
    progress.advance(task)
    used = {"LUT": netlist.luts(), "DSP": netlist.dsps(), "RAMB36": netlist.block_rams()}
    by_luts, by_dsps = netlist.longest_paths()
    short = by_luts.luts <= MAX_LUT_LEVELS and by_dsps.dsps <= MAX_DSPS_ON_PATH
    shares = ", ".join(f"{count:,g} {kind} ({count / ARTIX_35T[kind]:.0%})" for kind, count in used.items())
    rows = (
        Row(
            "whole 8x8 int8 accelerator in an Artix-7 35T, LeNet-5 on chip",
            "fits",
            "half of it",
            shares,
            all(count <= ARTIX_35T[kind] for kind, count in used.items()),
            "of 20,800 LUT, 90 DSP, 50 RAMB36",
        ),
        Row(
            "its longest xc7 logic path",
            "<= 1 DSP, <= 6 LUT levels",
            "",
            f"{by_luts.luts} LUT levels, {by_dsps.dsps} DSP; Yosys `ltp` through LUT and carry: {ltp} cells",
            short,
        ),
    )
    details = {"tool": yosys.version(), "config": config.to_dict(), "ltp": ltp}
    paths = {"lut_path": str(by_luts), "dsp_path": str(by_dsps)}
    return Result("xc7", rows, details | paths | netlist.summary())
