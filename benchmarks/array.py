"""Size of the MAC array alone: Yosys synth_xilinx -family xc7, 8 rows x 8 lanes, int8."""

from accel.config import HardwareConfig
from accel.hdl import convert_design
from accel.rtl.mac_array import mac_array
from benchmarks import yosys
from benchmarks.report import Result, Row
from sim.pipeline import flag, reset, word

MUST_DSPS, MUST_LUTS_PER_MAC = 32, 20


def make_array(config):
    return mac_array(
        flag(), reset(), flag(), None, word(config.word_bits), word(config.weight_word_bits), flag(), flag(), flag(),
        word(2), word(config.result_bits), flag(), word(2), config=config,
    )


def measure(progress, folder, quick, data_dir):
    """One synthesis, about ten seconds; `quick` changes nothing."""
    config = HardwareConfig(rows=8, lanes=8)
    task = progress.add_task("convert, synthesize", total=2)
    sources = folder / "array"
    sources.mkdir(parents=True, exist_ok=True)
    design = convert_design(lambda: make_array(config), out_dir=sources)
    progress.advance(task)
    netlist, ltp = yosys.synthesize_xc7(design.files, design.top, folder)
    progress.advance(task)
    by_luts, by_dsps = netlist.longest_paths()
    luts_per_mac = netlist.luts() / (config.rows * config.lanes)
    met = netlist.dsps() == MUST_DSPS and luts_per_mac <= MUST_LUTS_PER_MAC
    row = Row(
        "Yosys `synth_xilinx -family xc7`, 8x8 int8 array alone", "32 DSP48E1, <= 20 LUT per MAC", "<= 15",
        f"{netlist.dsps()} DSP48E1, {luts_per_mac:.1f} LUT per MAC", met,
    )
    paths = {"ltp": ltp, "lut_levels": by_luts.luts, "dsps_on_a_path": by_dsps.dsps}
    return Result("array", (row,), {"tool": yosys.version()} | netlist.summary() | paths)
