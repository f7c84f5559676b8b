"""Size of the MAC array alone in builds with different modes: Yosys synth_xilinx -family xc7."""

import os
from concurrent.futures import ThreadPoolExecutor

from accel.config import HardwareConfig
from accel.hdl import convert_design
from accel.names import ACTIVATION_BITS
from accel.rtl.array.mac_array import mac_array
from accel.rtl.parts.bundles import Tile, TileWord
from benchmarks import yosys
from benchmarks.report import Result, Row
from sim.pipeline import flag, reset, word

# (rows and lanes, options, words, DSP48E1, LUT per int8 MAC that must be reached and that is aimed at; None: not asked)
INT8, NIBBLES, ALL = {"precisions": (8,)}, {"precisions": (8, 4)}, {"precisions": ACTIVATION_BITS}
BUILDS = (
    (8, INT8, "int8 only", 32, 20, 15),
    (16, INT8, "int8 only", 128, 20, 15),
    (16, NIBBLES, "int8 + int4", 128, 62, 40),
    (16, ALL, "all modes", 128, 95, 60),
    (8, {"multiplier": "shift_add"}, "shift-add, no multipliers", 0, None, None),
    (8, {"precisions": (8, 6), "int6_multiplier": "approximate"}, "approximate int6, no multipliers", 0, None, None),
)
MAX_LUT_LEVELS, MAX_DSPS = 6, 1


def make_array(config):
    return mac_array(
        flag(),
        reset(),
        flag(),
        word(2) if config.mixed else None,
        word(config.word_bits),
        word(config.weight_word_bits),
        TileWord(flag(), flag(), flag(), word(2)),
        Tile(word(config.result_bits), flag(), tag=word(2), coming=flag()),
        config=config,
    )


def _figures(config, netlist, ltp):
    by_luts, by_dsps = netlist.longest_paths()
    macs = config.rows * config.lanes
    return netlist.summary() | {
        "luts_per_mac": netlist.luts() / macs,
        "flip_flops_per_mac": netlist.flip_flops() / macs,
        "macs_per_dsp": {bits: macs * 8 // bits / netlist.dsps() for bits in config.modes if netlist.dsps()},
        "ltp": ltp,
        "lut_levels": by_luts.luts,
        "dsps_on_a_path": by_dsps.dsps,
    }


def measure(progress, folder, quick, data_dir):
    """Six synthesis runs, five minutes on two cores; `quick` leaves out those of 16x16."""
    builds = [build for build in BUILDS if build[0] == 8 or not quick]
    task = progress.add_task("convert, synthesize", total=len(builds))
    configs, runs = [HardwareConfig(rows=size, lanes=size, **options) for size, options, *_ in builds], []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, config in enumerate(configs):
            sources = folder / f"array_{number}"
            sources.mkdir(parents=True, exist_ok=True)
            design = convert_design(lambda config=config: make_array(config), out_dir=sources)
            runs.append(pool.submit(yosys.synthesize_xc7, design.files, design.top, sources))
        rows, details = [], {"tool": yosys.version()}
        for config, run, (size, _, name, dsps, must, aim) in zip(configs, runs, builds, strict=True):
            figures = _figures(config, *run.result())
            details[f"{size}x{size} {name}"] = figures
            luts = figures["luts_per_mac"]
            met = (
                figures["dsps"] == dsps
                and (must is None or luts <= must)
                and figures["lut_levels"] <= MAX_LUT_LEVELS
                and figures["dsps_on_a_path"] <= MAX_DSPS
            )
            rates = (
                ", ".join(
                    f"{rate:.0f} {'binary' if bits == 1 else f'int{bits}'}"
                    for bits, rate in figures["macs_per_dsp"].items()
                )
                + " MACs per DSP and cycle"
            )
            rows.append(
                Row(
                    f"{size}x{size} array alone on xc7, {name}",
                    f"{dsps} DSP48E1" + (f", <= {must} LUT per int8 MAC" if must else ""),
                    f"<= {aim}" if aim else "",
                    f"{figures['dsps']} DSP48E1, {luts:.1f} LUT per int8 MAC",
                    met,
                    rates if dsps else "",
                )
            )
            progress.advance(task)
    return Result("array", tuple(rows), details)
