"""The picture of the accelerator: every block of `bitloom` and of `compute_core`, in the order of the data path."""

from accel.rtl.array.mac_array import mac_array_latency
from accel.rtl.array.weight_unpacker import UNPACK_LATENCY
from accel.rtl.feed.line_buffer import LINE_READ_LATENCY
from accel.rtl.floats.dequantizer import DEQUANTIZER_LATENCY
from accel.rtl.floats.quantizer import QUANTIZER_LATENCY
from accel.rtl.output.bit_packer import bit_packer_latency
from accel.rtl.output.output_writer import OUTPUT_LATENCY
from accel.rtl.output.packer import PACKER_LATENCY
from accel.rtl.output.pool import POOL_LATENCY
from accel.rtl.output.requantize import REQUANTIZE_LATENCY
from accel.rtl.parts.fifo import FIFO_LATENCY
from accel.rtl.parts.register_slice import REGISTER_SLICE_LATENCY
from scripts.pictures.builds import FULL, PLAIN, accelerator
from scripts.pictures.scene import Scene
from scripts.pictures.wiring import signal_named

CONTROL = ("host_port", "float_registers", "scheduler", "watchdog")
MEMORY = "activation memory"
TITLE = "The blocks of the accelerator and the streams between them"


def latency(cycles):
    return f"latency {cycles}"


def draw():
    """docs/pictures/top.svg."""
    config, top = FULL, accelerator(FULL)
    scene = Scene(1180, 715, TITLE, top, accelerator(PLAIN), whole=True)
    _control(scene)
    _feed(scene, config)
    _array(scene, config)
    _output(scene, config)
    _descriptor(scene)
    scene.drawing.text(15, 640, "numbers at arrows: bits of the stream", "small left")
    scene.drawing.text(
        15, 658, f"of the build with {config.rows} rows, {config.lanes} lanes, all options", "small left"
    )
    scene.drawing.text(15, 676, "dashed: only with an option; latencies in cycles", "small left")
    scene.drawing.text(15, 694, "green: control; yellow: memories", "small left")
    return scene.draw(ignored=CONTROL)


def _descriptor(scene):
    """The line that says which blocks read the layer's descriptor."""
    bits = len(signal_named(scene.blocks["scheduler"], "layer"))
    wiring = scene.wiring()
    readers = [name for name in scene.blocks if name not in CONTROL and wiring.width("scheduler", name, bits)]
    scene.drawing.text(590, 136, f"scheduler: start and descriptor ({bits} bits) to {', '.join(readers)}", "small")


def _control(scene):
    drawing = scene.drawing
    drawing.group(250, 34, 910, 88, "control")
    scene.block("float_registers", 270, 62, 140, 50, "scales, zero points", style="control")
    scene.block("host_port", 470, 62, 140, 50, "address decoder", style="control")
    scene.block("scheduler", 680, 62, 200, 50, "program memory, counters", style="control")
    scene.block("watchdog", 950, 62, 140, 50, "cycle limit", style="control")
    drawing.text(540, 14, "host_* (32-bit words)", "small")
    drawing.arrow([(540, 22), (540, 62)])
    scene.wire("host_port", "float_registers", "lr")
    scene.wire("host_port", "scheduler")
    scene.wire("scheduler", "watchdog", shares=(0.3, 0.3))
    scene.wire("watchdog", "scheduler", "lr", shares=(0.7, 0.7))


def _feed(scene, config):
    drawing = scene.drawing
    scene.frame("compute_core", 250, 155, 910, 315)
    drawing.text(40, 162, "s_axis", "small")
    drawing.arrow([(40, 170), (40, 190)])
    scene.block("frame_gate", 15, 190, 95, 50, latency(REGISTER_SLICE_LATENCY))
    scene.block("float_input", 140, 190, 95, 50, latency(QUANTIZER_LATENCY))
    scene.block("frame_check", 15, 275, 95, 50, "tlast in place", style="control")
    memory = f"{config.act_depth} x {config.word_bits} bits"
    scene.block("ram", 100, 390, 140, 50, memory, name=MEMORY, style="memory")
    scene.block("compute_core/act_reader", 270, 275, 105, 50, "addresses")
    scene.block("compute_core/conv2d_engine", 430, 190, 140, 50, f"read {latency(LINE_READ_LATENCY)}")
    scene.block("compute_core/dense_engine", 430, 275, 140, 50, "addresses")
    scene.stream("frame_gate", "float_input")
    scene.stream("float_input", "conv2d_engine")
    scene.stream(MEMORY, "conv2d_engine", shares=(0.5, 0.75), turn=404, at=(330, 406))
    scene.wire("frame_check", "frame_gate", "tb")
    scene.wire("act_reader", MEMORY, "lt")
    scene.wire("dense_engine", MEMORY, "bt", shares=(0.5, 0.8), turn=350)


def _array(scene, config):
    weights = f"{config.weight_depth} x {config.weight_word_bits} bits"
    scene.block("compute_core/int6_unpacker", 430, 390, 140, 50, "packed weights")
    scene.block("compute_core/weight_bank", 610, 390, 130, 50, weights, style="memory")
    scene.block("compute_core/_unpack/weight_unpacker", 785, 390, 140, 50, latency(UNPACK_LATENCY))
    scene.block("compute_core/_unpack/operand_unpacker", 785, 190, 140, 50, latency(UNPACK_LATENCY))
    scene.block("compute_core/precision_controller", 775, 290, 160, 50, "mode of the layer", style="control")
    scene.block(
        "compute_core/mac_array",
        990,
        190,
        150,
        250,
        f"{config.rows} rows x {config.lanes} lanes",
        latency(mac_array_latency(config)),
    )
    scene.unframed("compute_core/_unpack")
    scene.stream("conv2d_engine", "operand_unpacker")
    scene.stream("operand_unpacker", "mac_array", shares=(0.5, 0.1))
    scene.stream("int6_unpacker", "weight_bank")
    scene.stream("weight_bank", "weight_unpacker")
    scene.stream("weight_unpacker", "mac_array", shares=(0.5, 0.9))
    scene.from_afar("host_port", "int6_unpacker", "b", length=14)
    scene.wire("conv2d_engine", "weight_bank", "rt", shares=(0.75, 0.6))
    scene.wire("dense_engine", "weight_bank", "rt", shares=(0.5, 0.4))
    scene.wire("precision_controller", "operand_unpacker", "tb")
    scene.wire("precision_controller", "weight_unpacker", "bt")
    scene.wire("precision_controller", "mac_array", shares=(0.5, 0.5))


def _output(scene, config):
    drawing = scene.drawing
    scene.block("requantize", 1000, 530, 130, 50, f"{config.req_lanes} channels a cycle", latency(REQUANTIZE_LATENCY))
    scene.block("pool", 850, 530, 110, 50, latency(POOL_LATENCY))
    scene.block("bit_packer", 710, 530, 110, 50, latency(bit_packer_latency(config)))
    scene.block("packer", 570, 530, 110, 50, latency(PACKER_LATENCY))
    scene.block("output_writer", 400, 530, 130, 50, latency(OUTPUT_LATENCY))
    scene.block(
        "fifo", 225, 530, 130, 50, latency(FIFO_LATENCY), name="output FIFO", also=("output_fifo",), style="memory"
    )
    scene.block("dequantizer", 70, 530, 120, 50, latency(DEQUANTIZER_LATENCY))
    scene.block("param_table", 1040, 630, 120, 50, f"{config.param_depth} channels", style="memory")
    scene.block("output_precision", 700, 630, 130, 50, "width of the output", style="control")
    drawing.text(28, 528, "m_axis", "small")
    drawing.arrow([(70, 555), (10, 555)])
    scene.stream("mac_array", "requantize", "bt", shares=(55 / 150, 45 / 130))
    scene.stream("requantize", "pool", "lr")
    scene.stream("pool", "bit_packer", "lr")
    scene.stream("bit_packer", "packer", "lr")
    scene.stream("packer", "output_writer", "lr")
    scene.stream("output_writer", MEMORY, "tb", turn=495)
    scene.stream("output_writer", "output FIFO", "lr")
    scene.stream("output FIFO", "dequantizer", "lr")
    scene.stream("param_table", "requantize", "tb", shares=(0.5, 100 / 130))
    scene.wire("requantize", "mac_array", "tb", shares=(90 / 130, 100 / 150), label="stall")
    scene.wire("output_precision", "bit_packer", "tb")
    scene.wire("output_precision", "requantize", "rb", shares=(0.5, 0.15))
    scene.wire(
        "output_writer", "requantize", "bb", shares=(0.5, 0.4), turn=604, label="room at the receiver", at=(622, 595)
    )
    scene.from_afar("host_port", "param_table", "b", length=14)
