"""The layer descriptor and the host address map: one table read by compiler, RTL, driver and documentation.

A descriptor is DESCRIPTOR_WORDS 32-bit words; a field never crosses a word. Counts named `*_minus1` hold the count less
one, so that no loop of the hardware can be empty. `limit(config)` is the largest value that a configuration accepts:
the scheduler refuses a descriptor with a larger value, the compiler checks the same limit.

Loop nest of one layer (`conv`; `dense` is one pixel with kh = 1 whose words come straight from the activation memory):

    feeder:  write prefill_words words of pad_value from line address 0    (side pads and top pad rows of the ring)
             skip top_rows slots (they hold pad_value already)
             for each of data_rows:  wait for a free slot; p = slot_base + data_offset
                 for each of row_elements:  write element_bytes bytes of the source at p; p += element_bytes +
                 element_gap
             for each of bottom_rows: the same with pad_value instead of source bytes
             drop what is left of the in_words source words
             slot_base += slot_step per row, back to 0 after ring_slots rows
    window:  for oy in OH:   wait until need_rows rows of this window are filled
                 for ox in OW:
                     for t in tiles:  for kh in KH:  for k in kwords:
                         x = `lanes` bytes, widened from the `step` bytes of the line buffer from byte
                             ((line + kh * line_kh_step) mod line_ring_words) * lanes + ox * pixel_step + k * step
                         w = array word n = weight_row + (t * KH + kh) * kwords + k: part n mod r of every byte of
                             bank word weight_base + n div r, widened
                         acc[row] += dot(x, w[row]) + WORD_OFFSET
                 line = (line + line_row_step) mod line_ring_words
                 weight_row = (weight_row + weight_row_step) mod weight_ring_words
                 release row_step slots to the feeder
    output:  tile -> groups of req_lanes channels (raw: one channel) -> requantize -> max pool -> packed bytes
             -> words from out_base of the activation memory, or beats of m_axis

Widths: the array computes in a width of 8 >> compute_code bits, so a byte of x or w holds 2^compute_code channels, low
ones first. Inputs and weights are stored in 8 >> input_code and 8 >> weight_code bits: step = lanes >> (input_code -
compute_code), and r = 2^(weight_code - compute_code) array words lie in one word of the weight bank. A single bit is +1
where it is 1 and -1 where it is 0. In a build with 1-bit weights only tail_bytes_minus1 + 1 bytes of the last word of a
kernel row count, the others are 0. A dense layer reads its x in the same steps from in_base on.

Column strip (first layers with few channels): the ring interleaves its rows pixel by pixel ([x][slot][ic]), so a whole
KW x slots x IC window is contiguous: kh = 1, slot_step = IC, element_bytes = IC, element_gap = (slots - 1) * IC,
line_row_step = 0, and weights are stored once per rotation of the ring (weight_row_step, weight_ring_words).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from accel.config import HardwareConfig, bits_code
from accel.errors import FitError

Limit: TypeAlias = Callable[[HardwareConfig], int]

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

MAGIC = 0xB1
OP_CONV = 1
OP_DENSE = 2
DESCRIPTOR_STRIDE = 32  # host words from one descriptor to the next

# Host regions, address bits 23:20.
REGION_REGISTERS, REGION_DESCRIPTORS, REGION_PARAMETERS, REGION_COUNTERS, REGION_WEIGHTS, REGION_WEIGHTS6 = range(6)
REGION_SHIFT = 20
# Registers (region 0).
REG_CONTROL = 0  # write: the CONTROL bits
REG_STATUS = 1  # read: bit 0 busy, bit 1 error, bits 15:8 error code, bits 23:16 layer of the error
REG_LAYERS = 2  # write: number of layers less one
REG_IMAGES = 3  # read: images finished since reset
REG_IDENTITY = 4  # read: rows in bits 7:0, lanes in bits 15:8, req_lanes in bits 23:16, acc_bits in bits 31:24
REG_CYCLE_LIMIT = 5  # cycles that a layer may work, 0 for any number
# Registers of the float streams (options float_input, float_output); floats are float32 bits.
REG_INPUT_SCALE = 8  # inverse scale of the float input: 1 / scale in float32
REG_INPUT_FORMAT = 9  # zero point in bits 7:0, width code of the integers in bits 9:8
REG_INPUT_BEATS = 10  # beats of an input image less one
REG_OUTPUT_SCALE = 11  # scale of the float output
REG_OUTPUT_FORMAT = 12  # as REG_INPUT_FORMAT; bit 10: int32 accumulators
REG_OBSERVER = 13  # write: the OBSERVER bits, width code in bits 9:8; read: the OBSERVED bits, zero point in bits 15:8
REG_MINIMUM, REG_MAXIMUM, REG_ABS_MAX = 14, 15, 16  # read: range of the floats taken since the last clear
REG_SCALE, REG_INV_SCALE = 17, 18  # read: scale and inverse scale that OBSERVER_START made of that range
OBSERVER_CLEAR, OBSERVER_START, OBSERVER_SYMMETRIC = 1, 2, 4
OBSERVED_NAN, OBSERVED_BUSY, OBSERVED_INVALID = 1, 2, 4
# Enable runs the program. Abort is a soft reset that keeps the registers and clears an error; with it, close ends an
# output that it cuts with a last beat, renew says that the source of s_axis starts anew with an image's first beat.
CONTROL_ENABLE, CONTROL_ABORT, CONTROL_CLOSE, CONTROL_RENEW = 1, 2, 4, 8
DEFAULT_CYCLE_LIMIT = 2**24  # of REG_CYCLE_LIMIT from reset on
PRESET_ZERO = "0, or the preset program's"
# (name, offset, access, value from reset on, meaning). An abort leaves the registers that can be written as they are.
REGISTERS = (
    (
        "control",
        REG_CONTROL,
        "write",
        "0, of a preset program 1",
        "bit 0 enable: run the program; bit 1 abort: soft reset, clears an error, keeps registers and memories; with "
        "an abort also bit 2 close: an output that it cuts gets a last beat, bit 3 renew: the source of s_axis starts "
        "anew with the first beat of an image",
    ),
    ("status", REG_STATUS, "read", "0", "bit 0 busy, bit 1 error, bits 15:8 error code, bits 23:16 layer of the error"),
    ("layers", REG_LAYERS, "write", PRESET_ZERO, "number of layers less one"),
    ("images", REG_IMAGES, "read", "0", "images finished since the last reset or abort"),
    ("identity", REG_IDENTITY, "read", "constant", "rows, lanes, req_lanes, acc_bits, a byte each from bit 0 up"),
    (
        "cycle_limit",
        REG_CYCLE_LIMIT,
        "read, write",
        f"{DEFAULT_CYCLE_LIMIT}, or the preset program's",
        "cycles that a layer may work, those in which it only waits for a stream not counted; 0 for any number. Counts "
        "from the next layer on",
    ),
    ("input_scale", REG_INPUT_SCALE, "read, write", PRESET_ZERO, "with float_input: bits of the float32 1 / scale"),
    (
        "input_format",
        REG_INPUT_FORMAT,
        "read, write",
        PRESET_ZERO,
        "zero point in bits 7:0, width code (0, 1, 2, 3 for 8, 4, 2, 1 bits) in bits 9:8",
    ),
    ("input_beats", REG_INPUT_BEATS, "read, write", PRESET_ZERO, "beats of an image less one"),
    ("output_scale", REG_OUTPUT_SCALE, "read, write", PRESET_ZERO, "with float_output: bits of the float32 scale"),
    ("output_format", REG_OUTPUT_FORMAT, "read, write", PRESET_ZERO, "as input_format; bit 10: int32 accumulators"),
    (
        "observer",
        REG_OBSERVER,
        "write",
        "0",
        "with float_input: bit 0 forget range and NaN flag, bit 1 make the scale of the range, bit 2 symmetric (else "
        "affine), width code in bits 9:8; bits 0 and 1 take hold within 4 cycles",
    ),
    (
        "observer",
        REG_OBSERVER,
        "read",
        "0",
        "bit 0 a NaN was seen, bit 1 busy, bit 2 the range has no scale, zero point in bits 15:8",
    ),
    ("minimum", REG_MINIMUM, "read", "+inf", "smallest float taken since the range was forgotten"),
    ("maximum", REG_MAXIMUM, "read", "-inf", "largest one"),
    ("abs_max", REG_ABS_MAX, "read", "0", "largest absolute value"),
    ("scale", REG_SCALE, "read", "0", "scale made of the range"),
    ("inv_scale", REG_INV_SCALE, "read", "0", "its inverse"),
)

# Error codes (REG_STATUS bits 15:8). FIELD_ERROR + n: word n of the descriptor holds a value over its limit.
ERROR_NONE = 0
ERROR_STARVED = 1  # the window needs rows that the feeder will never deliver
ERROR_OUTPUT_RANGE = 2  # the output would leave the activation memory
ERROR_POOL = 3  # the layer ended without its last pooled word
ERROR_PRECISION = 4  # the build lacks a width that the descriptor names
ERROR_SHORT_INPUT = 5  # tlast came before the image's last beat
ERROR_LONG_INPUT = 6  # the image's last beat came without tlast
ERROR_CYCLE_LIMIT = 7  # the layer worked for more than REG_CYCLE_LIMIT cycles
ERROR_FIELD = 32
ERROR_TEXT = {
    ERROR_NONE: "no error",
    ERROR_STARVED: "the window waits for rows that the feeder does not deliver "
    "(need_rows, data_rows, top_rows, bottom_rows, oh)",
    ERROR_OUTPUT_RANGE: "the output does not fit the activation memory behind out_base",
    ERROR_POOL: "the layer ended before the last pooled word (pool_* fields against oh, ow)",
    ERROR_PRECISION: "the build lacks a width that the layer needs (option precisions), or weights or input are wider "
    "than the computation (compute_code, weight_code, input_code, output_code)",
    ERROR_SHORT_INPUT: "a transfer on s_axis was shorter than an image: tlast came before the image's last beat",
    ERROR_LONG_INPUT: "a transfer on s_axis was longer than an image: no tlast with the image's last beat",
    ERROR_CYCLE_LIMIT: "the layer worked for more cycles than the register cycle_limit allows, waiting for streams not "
    "counted",
}


@dataclass(frozen=True)
class Field:
    """One descriptor field: position, meaning and largest accepted value."""

    name: str
    word: int
    low: int
    bits: int
    doc: str
    limit: Limit

    def largest(self, config: HardwareConfig) -> int:
        """The largest value that the field holds and a build of `config` accepts."""
        return min(self.limit(config), 2**self.bits - 1)

    @property
    def high(self) -> int:
        """Bit above the field inside the whole descriptor, for MyHDL slices [high:base]."""
        return self.base + self.bits

    @property
    def base(self) -> int:
        """Lowest bit of the field inside the whole descriptor."""
        return 32 * self.word + self.low


def _full(bits: int) -> Limit:
    return lambda config: 2**bits - 1


def _line_bytes(config: HardwareConfig) -> int:
    return config.line_depth * config.lanes - 1


def _array_words(config: HardwareConfig) -> int:
    """Array words that the weight bank holds at the narrowest storage."""
    return min(config.weight_depth << config.unpack_bits, 2**16)


def _kernel_rows(config: HardwareConfig) -> int:
    return min(_array_words(config), config.line_depth)


def _narrowest(config: HardwareConfig) -> int:
    """Code of the narrowest width of the build."""
    return bits_code(config.modes[-1])


_TABLE = (
    # word 0
    ("magic", 8, "constant 0xB1", lambda config: MAGIC),
    (
        "op",
        2,
        "1 convolution through the line buffer, 2 dense straight from the activation memory",
        lambda config: OP_DENSE,
    ),
    ("from_stream", 1, "the source is s_axis (conv only), else the activation memory", _full(1)),
    ("to_stream", 1, "the output goes to m_axis, else to the activation memory", _full(1)),
    ("raw", 1, "output is the int32 accumulator, one channel a group", _full(1)),
    ("round_away", 1, "first rounding is half away from zero, else half up", _full(1)),
    ("pool_enable", 1, "max pool behind the requantizer", _full(1)),
    (
        "last_count",
        7,
        "channels in the last group of a pixel (raw: 4, the bytes of one), not 0",
        lambda config: config.group_bytes,
    ),
    ("pad_value", 8, "padding byte: the input zero point in every element (1-bit input: 0, which is -1)", _full(8)),
    # word 1
    ("in_base", 16, "activation memory word where the input starts", lambda config: config.act_depth - 1),
    ("in_words", 16, "words of the source that this layer consumes", _full(16)),
    # word 2
    ("prefill_words", 16, "line buffer words set to pad_value at layer start", lambda config: config.line_depth),
    ("ring_slots_minus1", 8, "row slots of the ring - 1", _full(8)),
    ("top_rows", 8, "padding rows above the data (prefilled)", _full(8)),
    # word 3
    ("data_rows_minus1", 16, "source rows written into the ring - 1", _full(16)),
    ("bottom_rows", 8, "padding rows below the data", _full(8)),
    ("need_rows", 8, "rows that one window covers", _full(8)),
    # word 4
    ("row_elements_minus1", 16, "elements of a row - 1", _line_bytes),
    ("element_bytes_minus1", 16, "contiguous bytes of an element - 1", _line_bytes),
    # word 5
    ("element_gap", 16, "line buffer bytes skipped behind each element", _line_bytes),
    ("slot_step", 16, "line buffer bytes from one row slot to the next", _full(16)),
    # word 6
    ("data_offset", 16, "line buffer bytes from the start of a slot to its data", _line_bytes),
    ("row_step", 8, "ring slots released after each output row (the vertical stride)", _full(8)),
    ("kh_minus1", 8, "kernel rows fetched one by one - 1", lambda config: _kernel_rows(config) - 1),
    # word 7
    ("oh_minus1", 16, "output rows before pooling - 1", _full(16)),
    ("ow_minus1", 16, "output columns before pooling - 1", _line_bytes),
    # word 8
    (
        "tiles_minus1",
        16,
        "output channel tiles of `rows` channels - 1",
        lambda config: min(_array_words(config), config.param_group_depth) - 1,
    ),
    ("kwords_minus1", 16, "words of one kernel row - 1", lambda config: _array_words(config) - 1),
    # word 9
    ("pixel_step", 16, "line buffer bytes from one window to the next", _line_bytes),
    ("line_kh_step", 16, "line buffer words from one kernel row to the next", lambda config: config.line_depth),
    # word 10
    ("line_row_step", 16, "line buffer words from one output row to the next", lambda config: config.line_depth),
    ("line_ring_words", 16, "line buffer words of the ring", lambda config: config.line_depth),
    # word 11
    ("weight_base", 16, "first word of the weight bank", lambda config: config.weight_depth - 1),
    (
        "weight_row_step",
        16,
        "array words of weights from one output row to the next",
        lambda config: _array_words(config) - 1,
    ),
    # word 12
    (
        "weight_ring_words",
        16,
        "array words of weights after which weight_row_step wraps; more than weight_row_step",
        lambda config: min(_array_words(config), 2**16 - 1),
    ),
    ("param_base", 16, "first group of the parameter table", lambda config: config.param_group_depth - 1),
    # word 13
    ("groups_minus1", 8, "groups of a full tile - 1", lambda config: config.rows - 1),
    ("last_groups_minus1", 8, "groups of the last tile of a pixel - 1", lambda config: config.rows - 1),
    ("zero_point", 8, "output zero point, two's complement", _full(8)),
    ("qmin", 8, "smallest output, two's complement", _full(8)),
    # word 14
    ("qmax", 8, "largest output, two's complement", _full(8)),
    ("pool_kh_minus1", 4, "pooling rows (and vertical stride) - 1", _full(4)),
    ("pool_kw_minus1", 4, "pooling columns (and horizontal stride) - 1", _full(4)),
    ("pool_pad_top", 4, "pooling padding rows above", _full(4)),
    ("pool_pad_left", 4, "pooling padding columns on the left", _full(4)),
    # word 15
    ("pool_oh_minus1", 16, "rows after pooling - 1", _full(16)),
    ("pool_ow_minus1", 16, "columns after pooling - 1", lambda config: config.pool_depth - 1),
    # word 16
    ("out_base", 16, "activation memory word where the output starts", lambda config: config.act_depth - 1),
    ("compute_code", 2, "width that the array computes in: 0, 1, 2, 3 for 8, 4, 2, 1 bits", _narrowest),
    ("weight_code", 2, "width of the weights in the weight bank, the same code, not below compute_code", _narrowest),
    ("input_code", 2, "width of the input's elements, the same code, not below compute_code", _narrowest),
    ("output_code", 2, "width of the output's elements unless raw, the same code", _narrowest),
    (
        "tail_bytes_minus1",
        6,
        "source bytes that count in the last word of a kernel row - 1",
        lambda config: config.lanes - 1,
    ),
)


def _place(table: Iterable[tuple[str, int, str, Limit]]) -> dict[str, Field]:
    fields, word, low = {}, 0, 0
    for name, bits, doc, limit in table:
        if low + bits > 32:
            word, low = word + 1, 0
        fields[name] = Field(name, word, low, bits, doc, limit)
        low += bits
    return fields


FIELDS = _place(_TABLE)
WIDTH_FIELDS = ("compute_code", "weight_code", "input_code", "output_code")  # wrong ones are ERROR_PRECISION
NOT_ZERO = ("op", "last_count")  # fields in which the scheduler refuses a zero
DESCRIPTOR_WORDS = 1 + max(field.word for field in FIELDS.values())
DESCRIPTOR_BITS = 32 * DESCRIPTOR_WORDS


def pack_descriptor(values: Mapping[str, int], config: HardwareConfig) -> list[int]:
    """Pack {field: int} (all fields but magic; signed 8-bit fields may be negative) into DESCRIPTOR_WORDS uint32 ints.

    Raises FitError naming the field whose value is over the limit of `config`.
    """
    values = dict(values, magic=MAGIC)
    missing = sorted(set(FIELDS) - set(values))
    unknown = sorted(set(values) - set(FIELDS))
    if missing or unknown:
        raise FitError(f"descriptor: missing fields {missing}, unknown fields {unknown}")
    words = [0] * DESCRIPTOR_WORDS
    for name, field in FIELDS.items():
        value = int(values[name])
        if value < 0 and field.bits == 8 and value >= -128:
            value &= 0xFF
        limit = field.largest(config)
        if not 0 <= value <= limit:
            raise FitError(
                f"descriptor: {name}={values[name]} is outside 0..{limit} ({field.doc}) for this configuration"
            )
        words[field.word] |= value << field.low
    return words


def unpack_descriptor(words: Sequence[int] | NDArray[np.uint32]) -> dict[str, int]:
    """The inverse of pack_descriptor: {field: unsigned int}."""
    return {name: (int(words[field.word]) >> field.low) & (2**field.bits - 1) for name, field in FIELDS.items()}


def host_address(region: int, offset: int) -> int:
    """24-bit host word address of `offset` in `region`."""
    return region << REGION_SHIFT | offset
