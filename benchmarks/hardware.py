"""Converted Verilog for the synthesis benchmarks."""

from myhdl import ResetSignal, Signal, intbv

from accel.hdl import convert_design


def bit():
    return Signal(bool(0))


def vector(bits):
    return Signal(intbv(0)[bits:])


def reset():
    return ResetSignal(0, active=1, isasync=False)


def convert(factory, folder):
    """Convert the module that the factory makes; returns (files in compile order, top module's name)."""
    folder.mkdir(parents=True, exist_ok=True)
    design = convert_design(factory, out_dir=folder)
    return design.files, design.top
