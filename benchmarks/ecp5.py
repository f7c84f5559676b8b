"""Clock rate of the whole 8x8 accelerator on a Lattice ECP5 LFE5U-85F after place and route."""

from dataclasses import replace

from benchmarks import nextpnr, workload, xc7, yosys
from benchmarks.report import Result, Row
from sim.cli import compile_for

MUST_MHZ = 50
WRAPPER = "pins"
SEEDS = (1, 2)  # of the placement; the clock rate varies by a tenth


def measure(progress, folder, quick, data_dir):
    """Synthesis, then place and route with each seed: twenty minutes. `quick`: the first seed."""
    config = replace(compile_for(workload.lenet(), 8, 8).config, multiplier="18x18")
    seeds = SEEDS[:1] if quick else SEEDS
    task = progress.add_task("convert, synthesize, place and route", total=2 + len(seeds))
    files, top = xc7.convert(config, folder / "ecp5")
    wrapper = folder / "ecp5" / f"{WRAPPER}.v"
    wrapper.write_text(nextpnr.pin_wrapper(WRAPPER, top, yosys.ports(files, top, folder)))
    progress.advance(task)
    netlist = yosys.synthesize_ecp5([*files, wrapper], WRAPPER, folder)
    progress.advance(task)
    runs = {}
    for seed in seeds:
        runs[seed] = nextpnr.place_and_route(netlist, folder, seed)
        progress.advance(task)
    return summarize(config, runs)


def summarize(config, runs):
    """The Result of {seed: figures of nextpnr}: the best run counts, all are named."""
    best = max(runs.values(), key=lambda figures: figures["fmax_mhz"])
    rates = ", ".join(f"{figures['fmax_mhz']:.1f}" for figures in runs.values())
    used = ", ".join(
        f"{count:,} {kind}"
        for kind, (count, _) in best["utilization"].items()
        if kind in ("TRELLIS_COMB", "TRELLIS_FF", "MULT18X18D", "DP16KD")
    )
    row = Row(
        "Fmax of the 8x8 accelerator placed and routed on an ECP5",
        ">= 50 MHz",
        ">= 100 MHz",
        f"{best['fmax_mhz']:.1f} MHz",
        best["fmax_mhz"] >= MUST_MHZ,
        f"nextpnr-ecp5, LFE5U-85F, speed grade 6, behind a pin-saving wrapper; the best of {len(runs)} placement "
        f"seeds ({rates}); {used}",
    )
    return Result("ecp5", (row,), best | {"config": config.to_dict(), "fmax_mhz_by_seed": rates})
