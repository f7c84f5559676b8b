"""The picture of an array cell: how products become a row's sum, and what one multiplier computes in every mode."""

from accel.names import ACTIVATION_BITS
from accel.rtl.array import packing
from accel.rtl.array.mac_cell import MAC_CELL_LATENCY
from accel.rtl.array.packed_multiplier import operand_bits, product_bits
from scripts.pictures.builds import FULL, PLAIN, accelerator
from scripts.pictures.scene import Scene
from scripts.pictures.wiring import blocks, find, kind

TITLE = "The cell of the MAC array, and what one of its multipliers computes in every mode"
ARRAY = "compute_core/mac_array"
CELL = f"{ARRAY}/mixed_products/mac_cell"
PACKED = FULL.packs_rows
NUMBER = 0  # the multiplier of a cell that the picture shows
BIT, WIDE = 13, 30  # pixels of a bit, and of a field in which its bits can be named
OPERAND_AT, FACTOR_AT, PRODUCT_AT = 130, 490, 628


def draw():
    """docs/pictures/cell.svg."""
    scene = Scene(1060, 515, TITLE, accelerator(FULL), accelerator(PLAIN))
    _cell(scene)
    drawing = scene.drawing
    for x, text in (
        (OPERAND_AT, "A + D: a weight in every field"),
        (FACTOR_AT, "times B"),
        (PRODUCT_AT, "= P: a product in every field"),
    ):
        drawing.text(x, 262, text, "name left")
    for i, bits in enumerate(ACTIVATION_BITS):
        _mode(drawing, 280 + 58 * i, bits)
    return scene.draw()


def _cell(scene):
    """Row 0 of a cell: the multiplier of either lane that holds its products, and what adds them up."""
    cell = find(scene.top, CELL)
    multipliers = sum(kind(block) == "packed_multiplier" for block in blocks(cell))
    title = f"mac_cell: {packing.group_rows(PACKED)} rows x 2 lanes, {multipliers} multipliers, "
    scene.drawing.group(150, 12, 745, 222, f"{title}latency {MAC_CELL_LATENCY}; here row 0")
    product = "P = (A + D) * B + C"
    for lane, (name, y) in enumerate((("lane 0", 45), ("lane 1", 170))):
        x, multiplier, channels = f"x of {name}", f"multiplier of {name}", f"channels of {name}"
        scene.block(f"{ARRAY}/mixed_products/mode_operands#{lane}", 10, y, 110, 50, "mode_operands", name=x)
        scene.block(f"{CELL}/packed_multiplier#{lane}", 170, y, 150, 50, product, name=multiplier)
        scene.block(f"{CELL}/_narrow_sum#{lane}", 545, (41, 180)[lane], 130, 44, "in the narrow modes", name=channels)
        scene.stream(x, multiplier, at=(137, y + 16), port="b")
    scene.block(f"{CELL}/_addend", 365, 95, 130, 50, "int8: P of lane 0", name="C of lane 1")
    scene.block(f"{CELL}/_pair_sum", 735, 41, 145, 44, "narrow modes", name="sum of both lanes")
    scene.block(f"{CELL}/held", 545, 100, 130, 44, "int8: both lanes", name="field of the row")
    scene.block(f"{CELL}/register#1", 735, 100, 145, 44, "int8", name="sum of both lanes ")
    scene.block(f"{ARRAY}/row_accumulator", 930, 65, 120, 60, "adds all lanes", "and words")
    scene.stream("multiplier of lane 0", "C of lane 1", "bl", shares=(0.3, 0.25), at=(300, 119))
    scene.stream("C of lane 1", "multiplier of lane 1", "lt", shares=(0.75, 0.65), at=(318, 144))
    scene.stream("multiplier of lane 0", "channels of lane 0", shares=(0.36, 0.5))
    scene.stream("multiplier of lane 1", "channels of lane 1", shares=(0.64, 0.5))
    scene.stream("multiplier of lane 1", "field of the row", shares=(0.3, 0.5), turn=520)
    scene.stream("channels of lane 0", "sum of both lanes", shares=(0.5, 0.5))
    scene.stream("channels of lane 1", "sum of both lanes", shares=(0.5, 0.8), turn=705, at=(690, 193))
    scene.stream("field of the row", "sum of both lanes ", at=(690, 113))
    scene.stream("sum of both lanes", "row_accumulator", shares=(0.5, 0.2), at=(915, 55))
    scene.stream("sum of both lanes ", "row_accumulator", shares=(0.5, 0.8), at=(915, 132))


def _mode(drawing, y, bits):
    """One mode of multiplier NUMBER: its fields on the operand and in the product, the high bits on the left."""
    wires = max(bits, 2)  # a binary layer computes on int2's wires
    spacing, fields = packing.SPACING[wires], packing.weight_bits(wires, NUMBER, PACKED)
    count = len(fields) * (2 if bits == 1 else 1)
    drawing.text(15, y + 10, f"int{bits}" if bits > 1 else "1 bit", "name left")
    drawing.text(15, y + 26, f"{count} products", "small left")
    places = [(spacing * f, wires, row) for f, (row, _) in enumerate(fields)]
    _bar(drawing, OPERAND_AT, y, operand_bits(FULL.multiplier, PACKED), places)
    channel = fields[0][1] // wires
    drawing.box(FACTOR_AT, y, 118, 36, "control", *_factor(bits, channel))
    _bar(drawing, PRODUCT_AT, y, product_bits(PACKED), [(at, spacing, row) for at, _, row in places])


def _factor(bits, channel):
    if bits == 8:
        return ("x",)
    if bits == 1:
        return "-2", "A + D: misses - 2"
    return f"x, channel {channel}", f"{bits} of 8 bits"


def _bar(drawing, x, y, width, fields):
    """A word of `width` bits with fields (lowest bit, bits, row)."""
    drawing.rectangle(x, y, BIT * width, 36, "group", corner=2)
    for low, bits, row in fields:
        left = x + BIT * (width - low - bits)
        drawing.rectangle(left, y, BIT * bits, 36, "block", corner=2)
        middle = left + BIT * bits / 2
        if BIT * bits < WIDE:
            drawing.text(middle, y + 18, f"r{row}", "small")
        else:
            drawing.text(middle, y + 12, f"row {row}" if bits > 3 else f"r{row}", "small")
            drawing.text(middle, y + 26, f"{low + bits - 1}:{low}", "small")
