"""The accelerator as a design to convert: its ports and its memory images."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from myhdl import ResetSignal, Signal, intbv

from accel.compile.floats import register_values
from accel.hdl import images
from accel.hdl.design import convert_design

if TYPE_CHECKING:
    from pathlib import Path

    from accel.compile.program import Program
    from accel.config import HardwareConfig
    from accel.hdl.design import ConvertedDesign
    from accel.rtl.top import Presets

TOP = "bitloom"


def accelerator_ports(config: HardwareConfig) -> dict[str, Signal]:
    """Signals for every port of the top block, made new on each call."""

    def vector(bits: int) -> Signal:
        return Signal(intbv(0)[bits:])

    def bit() -> Signal:
        return Signal(bool(0))

    return {
        "clk": bit(),
        "rst": ResetSignal(0, active=1, isasync=False),
        "s_axis_tdata": vector(config.word_bits),
        "s_axis_tvalid": bit(),
        "s_axis_tready": bit(),
        "s_axis_tlast": bit(),
        "m_axis_tdata": vector(config.word_bits),
        "m_axis_tkeep": vector(config.lanes),
        "m_axis_tvalid": bit(),
        "m_axis_tready": bit(),
        "m_axis_tlast": bit(),
        "host_addr": vector(24),
        "host_write": bit(),
        "host_wdata": vector(32),
        "host_read": bit(),
        "host_rdata": vector(32),
    }


def preset_images(program: Program) -> dict[str, str]:
    """{file: text} of the memory images that the accelerator itself starts with."""
    return images.program_image(program) | images.param_images(program) | images.weight_images(program)


def presets(program: Program, folder: Path) -> Presets:
    """The top block's parameter that names the images in `folder`."""
    from accel.rtl.top import Presets

    return Presets(
        layers=len(program.layers),
        program=str(folder / "program.mem"),
        params=tuple(str(folder / name) for name in images.param_images(program)),
        weights=tuple(str(folder / name) for name in images.weight_images(program)),
        floats=register_values(program),
        cycle_limit=program.cycle_limit,
    )


def convert_accelerator(
    config: HardwareConfig, out_dir: Path, *, hdl: str = "verilog", name: str = TOP, presets: Presets | None = None
) -> ConvertedDesign:
    """Convert the accelerator of this configuration; returns the ConvertedDesign."""
    from accel.rtl.top import bitloom

    ports = accelerator_ports(config)
    design = functools.partial(bitloom, **ports, config=config, presets=presets)
    return convert_design(design, hdl, out_dir, name)
