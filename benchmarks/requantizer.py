"""Size of one requantizer lane with a full multiplier and with sums of shifts: Yosys synth_xilinx -family xc7."""

from myhdl import Signal, intbv

from accel.config import HardwareConfig
from accel.hdl import convert_design
from accel.names import REQUANTIZERS
from accel.rtl.output.requantize_lane import SHIFTS_BITS, requantize_lane
from benchmarks import yosys
from benchmarks.report import Result, Row

FULL_DSPS, MAX_FULL_LUTS = 4, 450


def make_lane(config):
    byte = [Signal(intbv(0)[8:]) for _ in range(4)]
    scaling = Signal(intbv(0)[config.multiplier_bits + SHIFTS_BITS :])
    return requantize_lane(Signal(bool(0)), Signal(intbv(0)[32:]), scaling, Signal(bool(0)), *byte)


def measure(progress, folder, quick, data_dir):
    """Four synthesis runs, half a minute; `quick` changes nothing."""
    task = progress.add_task("convert, synthesize", total=len(REQUANTIZERS))
    details = {"tool": yosys.version()}
    for name in REQUANTIZERS:
        config = HardwareConfig(requantizer=name)
        out = folder / f"requantizer_{name}"
        out.mkdir(parents=True, exist_ok=True)
        design = convert_design(lambda config=config: make_lane(config), out_dir=out)
        details[name] = yosys.synthesize_xc7(design.files, design.top, out)[0].summary()
        progress.advance(task)
    full, others = details["full"], [name for name in REQUANTIZERS if name != "full"]
    sizes = ", ".join(f"{details[name]['luts']} ({name})" for name in others)
    rows = (
        Row(
            "requantizer lane with a 31-bit multiplier",
            f"{FULL_DSPS} DSP48E1, <= {MAX_FULL_LUTS} LUT",
            "",
            f"{full['dsps']} DSP48E1, {full['luts']} LUT",
            full["dsps"] == FULL_DSPS and full["luts"] <= MAX_FULL_LUTS,
        ),
        Row(
            "the same for multipliers of 1, 2, 3 one bits",
            "0 DSP48E1",
            "",
            f"0 DSP48E1, {sizes} LUT",
            not any(details[name]["dsps"] for name in others),
        ),
    )
    return Result("requantizer", rows, details)
