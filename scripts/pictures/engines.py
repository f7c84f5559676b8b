"""The picture of the engines: how the two ways of a layer reach the operands and the weights of the MAC array."""

from accel.rtl.feed.line_buffer import LINE_READ_LATENCY, LINE_WRITE_LATENCY
from accel.rtl.feed.window import WINDOW_LATENCY
from scripts.pictures.builds import FULL, PLAIN, accelerator
from scripts.pictures.scene import Scene

TITLE = "The convolution engine and the dense engine"
CONV, BUFFER = "compute_core/conv2d_engine", "compute_core/conv2d_engine/line_buffer"


def draw():
    """docs/pictures/engines.svg."""
    config = FULL
    scene = Scene(1100, 400, TITLE, accelerator(FULL), accelerator(PLAIN))
    drawing = scene.drawing
    word = f"{config.word_bits} bits"
    bank = f"{config.line_depth // 2} x {word}"
    scene.frame(CONV, 180, 15, 710, 275)
    scene.frame(BUFFER, 340, 35, 535, 160)
    scene.block("float_input", 15, 65, 120, 50, f"s_axis, {word}", name="input stream", also=("frame_gate",))
    scene.block("ram", 15, 205, 120, 70, f"{config.act_depth} x {word}", name="activations", style="memory")
    scene.block("compute_core/act_reader", 15, 325, 92, 50, "a word a cycle")
    scene.block(f"{CONV}/feeder", 200, 65, 110, 50, "rows, padding")
    scene.block(f"{CONV}/window", 500, 215, 150, 44, f"{WINDOW_LATENCY} behind the last row")
    scene.block(f"{BUFFER}/byte_rotator#0", 360, 65, 100, 50, "to any byte", name="rotate in")
    scene.block(f"{BUFFER}/ram#0", 510, 45, 130, 44, bank, name="even words", style="memory")
    scene.block(f"{BUFFER}/ram#1", 510, 125, 130, 44, bank, name="odd words", style="memory")
    scene.block(f"{BUFFER}/byte_rotator#1", 700, 85, 110, 50, "from any byte", name="merge, rotate")
    scene.block("compute_core/dense_engine", 500, 325, 150, 50, "a word a cycle")
    scene.block("compute_core/_unpack/operand_unpacker", 940, 85, 140, 50, "to the array")
    scene.block("compute_core/weight_bank", 940, 212, 140, 50, "to the array", style="memory")
    drawing.text(352, 183, f"write {LINE_WRITE_LATENCY}, read {LINE_READ_LATENCY} cycles", "small left")
    scene.stream("input stream", "feeder")
    scene.stream("activations", "feeder", shares=(0.2, 0.8), turn=165, at=(150, 210))
    scene.stream("feeder", "rotate in", at=(325, 81))
    scene.stream("rotate in", "even words", shares=(0.3, 0.5), turn=485)
    scene.stream("rotate in", "odd words", shares=(0.7, 0.5), turn=485)
    scene.stream("even words", "merge, rotate", shares=(0.5, 0.3), turn=670)
    scene.stream("odd words", "merge, rotate", shares=(0.5, 0.7), turn=670)
    scene.stream("activations", "merge, rotate", "rb", shares=(0.9, 0.7), at=(300, 260))
    scene.stream("merge, rotate", "operand_unpacker", at=(915, 101))
    scene.wire("act_reader", "activations", "tb", shares=(0.5, 46 / 120))
    scene.wire("dense_engine", "activations", "lb", shares=(0.5, 0.9), label="address", at=(300, 341))
    scene.wire("feeder", "window", "bl", shares=(0.3, 0.3), label="row filled", at=(400, 221))
    scene.wire("window", "feeder", "lb", shares=(0.75, 0.1), label="row released", at=(400, 241))
    scene.wire("window", "odd words", "tb", shares=(0.5, 0.5))
    scene.wire("window", "even words", "rr", shares=(0.3, 0.75), turn=665)
    scene.wire("window", "weight_bank", shares=(0.5, 0.5), label="address", at=(810, 232))
    scene.wire("dense_engine", "weight_bank", "rb", shares=(0.5, 0.5), label="address", at=(810, 341))
    return scene.draw()
