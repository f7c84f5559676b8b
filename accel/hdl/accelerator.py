"""The accelerator as a design to convert: its ports, its memory images, its check against a target."""

import functools

from myhdl import ResetSignal, Signal, intbv

from accel.compile.floats import register_values
from accel.errors import FitError
from accel.hdl import images
from accel.hdl.design import convert_design

TOP = "bitloom"
BLOCK_RAM_SHAPES = ((36, 512), (18, 1024), (9, 2048), (4, 4096))  # bits x words of half a 36 Kbit block


def accelerator_ports(config):
    """Signals for every port of the top block, made new on each call."""
    def vector(bits):
        return Signal(intbv(0)[bits:])

    def bit():
        return Signal(bool(0))

    return {
        "clk": bit(), "rst": ResetSignal(0, active=1, isasync=False),
        "s_axis_tdata": vector(config.word_bits), "s_axis_tvalid": bit(), "s_axis_tready": bit(),
        "s_axis_tlast": bit(), "m_axis_tdata": vector(config.word_bits), "m_axis_tkeep": vector(config.lanes),
        "m_axis_tvalid": bit(), "m_axis_tready": bit(), "m_axis_tlast": bit(), "host_addr": vector(24),
        "host_write": bit(), "host_wdata": vector(32), "host_read": bit(), "host_rdata": vector(32),
    }


def preset_images(program):
    """{file: text} of the memory images that the accelerator itself starts with."""
    return images.program_image(program) | images.param_images(program) | images.weight_images(program)


def presets(program, folder):
    """The top block's parameter that names the images in `folder`."""
    from accel.rtl.top import Presets
    return Presets(
        layers=len(program.layers), program=str(folder / "program.mem"),
        params=tuple(str(folder / name) for name in images.param_images(program)),
        weights=tuple(str(folder / name) for name in images.weight_images(program)), floats=register_values(program))


def convert_accelerator(config, out_dir, *, hdl="verilog", name=TOP, presets=None):
    """Convert the accelerator of this configuration; returns the ConvertedDesign."""
    from accel.rtl.top import bitloom
    ports = accelerator_ports(config)
    design = functools.partial(bitloom, *ports.values(), config=config, presets=presets)
    return convert_design(design, hdl, out_dir, name)


def block_rams(bits, words):
    """36 Kbit blocks of a memory of `words` words, in the best shape."""
    return min(-(-bits // width) * -(-words // depth) for width, depth in BLOCK_RAM_SHAPES) / 2


def check_target(config, target):
    """Raise FitError where the multipliers or the weight and activation memories exceed the target's part, or a
    memory's style asks for UltraRAM that the part has not."""
    where = f"target {target.name}: rows={config.rows}, lanes={config.lanes}"
    for option in ("weight_style", "act_style"):
        if getattr(config, option) == "ultra" and not target.ultra_rams:
            raise FitError(f"target {target.name}: {target.part} has no UltraRAM; leave out {option}=ultra or choose "
                           "a target that has it")
    if config.dsp_estimate > target.dsps:
        raise FitError(f"{where} needs {config.dsp_estimate} multipliers, but {target.part} has {target.dsps}"
                       "; lower rows or lanes, or choose a larger target")
    weights = config.rows * block_rams(config.word_bits, config.weight_depth)
    others = sum(block_rams(config.word_bits, depth) for depth in (config.act_depth, config.line_depth))
    available = target.block_rams + 8 * target.ultra_rams  # an UltraRAM holds as much as eight blocks
    if weights + others > available:
        raise FitError(f"{where}, weight_depth={config.weight_depth} needs about {weights + others:.0f} "
                       f"block RAMs, but {target.part} has {available}; choose a larger target or a "
                       "smaller network")
