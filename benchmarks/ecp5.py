"""Clock rate of the whole 8x8 accelerator on a Lattice ECP5 LFE5U-85F after place and route."""

from dataclasses import replace

from benchmarks import nextpnr, workload, xc7, yosys
from benchmarks.report import Result, Row
from sim.cli import compile_for

MUST_MHZ = 50
WRAPPER = "pins"


def measure(progress, folder, quick, data_dir):
    """Synthesis, place and route: a quarter of an hour; `quick` changes nothing."""
    config = replace(compile_for(workload.lenet(), 8, 8).config, multiplier="18x18")
    task = progress.add_task("convert, synthesize, place and route", total=3)
    files, top = xc7.convert(config, folder / "ecp5")
    wrapper = folder / "ecp5" / f"{WRAPPER}.v"
    wrapper.write_text(nextpnr.pin_wrapper(WRAPPER, top, yosys.ports(files, top, folder)))
    progress.advance(task)
    netlist = yosys.synthesize_ecp5([*files, wrapper], WRAPPER, folder)
    progress.advance(task)
    figures = nextpnr.place_and_route(netlist, folder)
    progress.advance(task)
    used = ", ".join(f"{count:,} {kind}" for kind, (count, _) in figures["utilization"].items()
                     if kind in ("TRELLIS_COMB", "TRELLIS_FF", "MULT18X18D", "DP16KD"))
    row = Row("nextpnr-ecp5, 8x8 accelerator on an LFE5U-85F (speed grade 6) behind a pin-saving wrapper",
              "Fmax >= 50 MHz", ">= 100 MHz", f"{figures['fmax_mhz']:.1f} MHz ({used})",
              figures["fmax_mhz"] >= MUST_MHZ)
    return Result("ecp5", (row,), figures | {"config": config.to_dict()})
