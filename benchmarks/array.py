"""Size of the MAC array alone: Yosys synth_xilinx -family xc7; 8x8 int8, and 16x16 with the modes of three builds."""

from accel.config import HardwareConfig
from accel.hdl import convert_design
from accel.rtl.mac_array import mac_array
from benchmarks import yosys
from benchmarks.report import Result, Row
from sim.pipeline import flag, reset, word

# precisions: (words, LUT per int8 MAC that must be reached, that is aimed at)
BUILDS = {(8,): ("int8 only", 20, 15), (8, 4): ("int8 + int4", 62, 40), (8, 4, 2, 1): ("all modes", 95, 60)}
MAX_LUT_LEVELS, MAX_DSPS = 6, 1


def make_array(config):
    return mac_array(
        flag(), reset(), flag(), word(2) if config.mixed else None, word(config.word_bits),
        word(config.weight_word_bits), flag(), flag(), flag(), word(2), word(config.result_bits), flag(), word(2),
        config=config,
    )


def _synthesize(config, folder):
    """(netlist, ltp's path length) of the array; the netlist is kept in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    design = convert_design(lambda: make_array(config), out_dir=folder)
    return yosys.synthesize_xc7(design.files, design.top, folder)


def _figures(config, netlist, ltp):
    by_luts, by_dsps = netlist.longest_paths()
    macs = config.rows * config.lanes
    return netlist.summary() | {
        "luts_per_mac": netlist.luts() / macs,
        "flip_flops_per_mac": netlist.flip_flops() / macs,
        "macs_per_dsp": {bits: macs * 8 // bits / netlist.dsps() for bits in config.modes},
        "ltp": ltp,
        "lut_levels": by_luts.luts,
        "dsps_on_a_path": by_dsps.dsps,
    }


def measure(progress, folder, quick, data_dir):
    """Four synthesis runs, ten minutes; `quick` leaves out the three of 16x16."""
    sizes = [((8, 8), (8,))] + [((16, 16), precisions) for precisions in ([] if quick else BUILDS)]
    task = progress.add_task("convert, synthesize", total=len(sizes))
    rows, details = [], {"tool": yosys.version()}
    for (height, lanes), precisions in sizes:
        config = HardwareConfig(rows=height, lanes=lanes, precisions=precisions)
        name, must, aim = BUILDS[precisions]
        key = f"{height}x{lanes}_" + "_".join(map(str, precisions))
        figures = _figures(config, *_synthesize(config, folder / f"array_{key}"))
        details[key] = figures
        luts, dsps = figures["luts_per_mac"], height * lanes // 2
        met = (figures["dsps"] == dsps and luts <= must and figures["lut_levels"] <= MAX_LUT_LEVELS
               and figures["dsps_on_a_path"] <= MAX_DSPS)
        rates = " / ".join(f"{figures['macs_per_dsp'][bits]:.0f}" for bits in config.modes)
        widths = ", ".join("binary" if bits == 1 else f"int{bits}" for bits in config.modes)
        rows.append(Row(
            f"Yosys `synth_xilinx -family xc7`, {height}x{lanes} array alone, {name}",
            f"{dsps} DSP48E1, <= {must} LUT per int8 MAC", f"<= {aim}",
            f"{figures['dsps']} DSP48E1, {luts:.1f} LUT per int8 MAC; {rates} MACs per DSP and cycle ({widths})", met,
        ))
        progress.advance(task)
    return Result("array", tuple(rows), details)
