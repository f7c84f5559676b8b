"""Single layers described by hand: descriptor, input words, weight words, and what the hardware must make of them.

This is independent of the compiler: the descriptor follows the loop nest of accel/descriptor.py, the expected results
are direct sums over the padded tensor.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from accel.config import HardwareConfig, bits_code
from accel.descriptor import FIELDS, OP_CONV, OP_DENSE, pack_descriptor
from accel.rtl.array.mac_array import packed_range, word_offset
from sim.cases.precision import join

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from random import Random

    from numpy.typing import ArrayLike

    from accel.types import Ints


@dataclass(frozen=True)
class Shape:
    """A convolution. pads: top, bottom, left, right. strip: the ring interleaves its rows pixel by pixel."""

    height: int
    width: int
    channels: int
    kernel: tuple[int, int]
    outputs: int
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    strip: bool = False


@dataclass(frozen=True)
class Widths:
    """Bits that a layer computes in, and stores its weights and its input in; 6-bit weights take 8 in the bank."""

    compute: int = 8
    weight: int = 8
    inputs: int = 8

    @property
    def input_shift(self) -> int:
        """log2 of the array words that one activation word makes."""
        return bits_code(self.inputs) - bits_code(self.compute)

    @property
    def weight_shift(self) -> int:
        """log2 of the array words in one word of the weight bank."""
        return bits_code(self.weight) - bits_code(self.compute)

    @property
    def stored_weight(self) -> int:
        """Bits of a weight in the weight bank."""
        return 8 if self.weight == 6 else self.weight

    @property
    def no_weight(self) -> int:
        """Weight of a channel that is not there."""
        return 1 if self.weight == 1 else 0

    @property
    def fields(self) -> dict[str, int]:
        return {
            "compute_code": bits_code(self.compute),
            "weight_code": bits_code(self.weight),
            "input_code": bits_code(self.inputs),
        }


INT8 = Widths()


def all_widths(config: HardwareConfig) -> list[Widths]:
    """Every combination that the build accepts."""
    bits = config.modes
    every = [Widths(compute, weight, inputs) for compute in bits for weight in bits for inputs in bits]
    return [
        widths
        for widths in every
        if min(widths.weight_shift, widths.input_shift) >= 0 and config.lanes >> widths.input_shift
    ]


Operand: TypeAlias = tuple[tuple[int | None, ...], int, bool, bool, int, int, bool]


@dataclass
class Layer:
    """fields: descriptor fields. words: input words. weights: [rows, lanes] arrays from fields["weight_base"] on.

    operands: (lane bytes, None where the hardware may fetch a neighbour's; bank word; first; last; tag; array word in
    the bank word; last of a kernel row) in order.
    results: (packed accumulators, tag) in order.
    """

    config: HardwareConfig
    fields: dict[str, int]
    words: list[int]
    weights: list[Ints]
    operands: list[Operand] = field(default_factory=list)
    results: list[tuple[int, int]] = field(default_factory=list)

    @property
    def descriptor(self) -> int:
        return describe(self.config, **self.fields)


def describe(config: HardwareConfig, **fields: int) -> int:
    """A descriptor vector: zero in every field that is not named."""
    values = {name: 0 for name in FIELDS if name != "magic"}
    return sum(word << 32 * i for i, word in enumerate(pack_descriptor({**values, **fields}, config)))


def to_words(data: ArrayLike, lanes: int) -> list[int]:
    """Bytes to words of `lanes` bytes, the last one padded with garbage."""
    data = [int(value) & 0xFF for value in np.ravel(data)]
    data += [0xA5] * (-len(data) % lanes)
    return [sum(byte << 8 * i for i, byte in enumerate(data[at : at + lanes])) for at in range(0, len(data), lanes)]


def pack(values: ArrayLike, bits: int) -> list[int]:
    """Whole bytes of elements, low ones first."""
    flat, per_byte = np.ravel(values).tolist(), 8 // bits
    assert len(flat) % per_byte == 0
    return [join(flat[at : at + per_byte], bits) for at in range(0, len(flat), per_byte)]


def pack_accumulators(values: Iterable[int], config: HardwareConfig) -> int:
    bits = config.acc_bits
    return sum((int(value) & 2**bits - 1) << bits * i for i, value in enumerate(values))


def random_values(rng: Random, shape: Sequence[int], bits: int = 8) -> Ints:
    """Signed values of `bits` bits (1 bit: +1 and -1); one tensor in eight holds only extremes."""
    values = np.random.default_rng(rng.getrandbits(32))
    if bits == 1:
        return values.choice([-1, 1], shape)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    if rng.random() < 0.125:
        return values.choice([low, high], shape)
    return values.integers(low, high + 1, shape)


def dense(
    rng: Random, config: HardwareConfig, inputs: int, outputs: int, in_base: int = 0, widths: Widths = INT8
) -> Layer:
    """A dense layer on a random vector of `inputs` elements in the activation memory."""
    lanes, rows = config.lanes, config.rows
    x, weights = _stored(rng, config, widths, (inputs,), outputs, ())
    step = lanes >> widths.input_shift
    vector = pack(x, widths.inputs)
    kwords, tiles = -(-len(vector) // step), -(-outputs // rows)
    array_words = _array_words(config, widths, weights.reshape(tiles, 1, rows, -1), kwords)
    words = _bank_words(rng, config, widths, [array_words])
    base = rng.randint(0, config.weight_depth - len(words))
    fields = widths.fields | {
        "op": OP_DENSE,
        "in_base": in_base,
        "in_words": -(-len(vector) // lanes),
        "tiles_minus1": tiles - 1,
        "kwords_minus1": kwords - 1,
        "weight_base": base,
        "tail_bytes_minus1": len(vector) - (kwords - 1) * step - 1,
    }
    layer = Layer(config, fields, to_words(vector, lanes), words)
    sums = (_products(weights, x, widths, 1) + word_offset(config, widths.compute) * kwords).reshape(tiles, rows)
    layer.results = [(pack_accumulators(sums[t], config), 3 * (t == tiles - 1)) for t in range(tiles)]
    return layer


def _stored(
    rng: Random, config: HardwareConfig, widths: Widths, shape: Sequence[int], outputs: int, kernel: Sequence[int]
) -> tuple[Ints, Ints]:
    """Random input [*shape] and weights [rows of all tiles, *kernel, channels], channels filled up to whole bytes.

    A channel that is not there is 0 bits in the input; its weight is 0, or +1 where a weight is one bit.
    """
    rows, channels, per_byte = config.rows * -(-outputs // config.rows), shape[-1], 8 // widths.inputs
    spare = -channels % per_byte
    x = random_values(rng, shape, widths.inputs)
    x = np.pad(x, ((0, 0),) * (x.ndim - 1) + ((0, spare),), constant_values=-1 if widths.inputs == 1 else 0)
    weights = random_values(rng, (rows, *kernel, channels), widths.weight)
    for row in range(rows):  # what the array multiplies exactly
        low = packed_range(config, widths.compute, row % config.rows)[0]
        weights[row] = np.maximum(weights[row], low)
    if widths.weight > 1:
        weights[outputs:] = 0
    return x, np.pad(weights, ((0, 0),) * (weights.ndim - 1) + ((0, spare),), constant_values=widths.no_weight)


def _products(weights: Ints, x: Ints, widths: Widths, axes: int) -> Ints:
    """What the array adds up for every row: the dot product, or twice the number of equal bits."""
    dot = np.sum(weights * x, axis=tuple(range(1, axes + 1)))
    return dot + x.size if widths.compute == 1 else dot


def _array_words(config: HardwareConfig, widths: Widths, blocks: Ints, kwords: int) -> Ints:
    """blocks: [tile, kernel row, row, channels] to array words [row, lane, channel of a byte] in their order."""
    per_byte = 8 // widths.compute
    spare = kwords * config.lanes * per_byte - blocks.shape[-1]
    blocks = np.pad(blocks, ((0, 0),) * 3 + ((0, spare),), constant_values=widths.no_weight)
    words = blocks.reshape(*blocks.shape[:3], kwords, config.lanes, per_byte).transpose(0, 1, 3, 2, 4, 5)
    return words.reshape(-1, config.rows, config.lanes, per_byte)


def _bank_words(rng: Random, config: HardwareConfig, widths: Widths, array_words: Iterable[Ints]) -> list[Ints]:
    """Array words to bank words [row, lane]; garbage in the parts behind the end."""
    ratio, part_bits = 1 << widths.weight_shift, 8 >> widths.weight_shift
    parts = [
        [[join(channels, widths.stored_weight) for channels in row] for row in word]
        for words in array_words
        for word in words.tolist()
    ]
    while len(parts) % ratio:
        parts.append([[rng.getrandbits(part_bits) for _ in range(config.lanes)] for _ in range(config.rows)])
    scale = 1 << part_bits * np.arange(ratio)
    return [np.tensordot(scale, np.array(parts[at : at + ratio]), 1) for at in range(0, len(parts), ratio)]


def convolution(
    rng: Random, config: HardwareConfig, shape: Shape, in_base: int | None = None, widths: Widths = INT8
) -> Layer:
    """A convolution of a random tensor that comes from the stream, or from the activation memory at in_base."""
    lanes, rows, step = config.lanes, config.rows, config.lanes >> widths.input_shift
    (kh, kw), (sh, sw), (top, bottom, left, right) = shape.kernel, shape.stride, shape.pads
    x, weights = _stored(rng, config, widths, (shape.height, shape.width, shape.channels), shape.outputs, shape.kernel)
    pad = random_values(rng, (1,), widths.inputs)[0] if widths.inputs > 1 else -1
    pad_value = pack([pad] * (8 // widths.inputs), widths.inputs)[0]
    padded = np.pad(x, ((top, bottom), (left, right), (0, 0)), constant_values=pad)
    pixel_bytes = x.shape[-1] * widths.inputs // 8
    padded_bytes = np.array(pack(padded, widths.inputs)).reshape(*padded.shape[:2], pixel_bytes)
    oh, ow = (padded.shape[0] - kh) // sh + 1, (padded.shape[1] - kw) // sw + 1
    used_rows, slots, tiles = (oh - 1) * sh + kh, kh + sh, -(-shape.outputs // rows)
    bottom_rows = max(0, used_rows - top - shape.height)
    data_rows = used_rows - top - bottom_rows
    width_bytes = padded.shape[1] * pixel_bytes
    run_bytes = kw * pixel_bytes * (slots if shape.strip else 1)
    kwords, blocks = -(-run_bytes // step), 1 if shape.strip else kh
    if shape.strip:
        fields = _strip_fields(shape, pixel_bytes, slots, tiles * kwords, -(-width_bytes * slots // lanes))
    else:
        fields = _row_fields(shape, pixel_bytes, slots, -(-width_bytes // lanes), lanes)
    copies = slots if shape.strip else 1
    array_words = [
        _array_words(
            config,
            widths,
            _spread(weights.reshape(tiles, rows, *weights.shape[1:]), shape, rotation).transpose(0, 2, 1, 3),
            kwords,
        )
        for rotation in range(copies)
    ]
    words = _bank_words(rng, config, widths, array_words)
    base = rng.randint(0, config.weight_depth - len(words))
    source = {"from_stream": 1} if in_base is None else {"in_base": in_base}
    data = pack(x, widths.inputs)
    fields |= (
        widths.fields
        | source
        | {
            "op": OP_CONV,
            "pad_value": pad_value,
            "in_words": -(-len(data) // lanes),
            "ring_slots_minus1": slots - 1,
            "top_rows": top,
            "data_rows_minus1": data_rows - 1,
            "bottom_rows": bottom_rows,
            "need_rows": kh,
            "row_step": sh,
            "oh_minus1": oh - 1,
            "ow_minus1": ow - 1,
            "tiles_minus1": tiles - 1,
            "kwords_minus1": kwords - 1,
            "weight_base": base,
            "tail_bytes_minus1": run_bytes - (kwords - 1) * step - 1,
        }
    )
    layer = Layer(config, fields, to_words(data, lanes), words)
    offset = word_offset(config, widths.compute) * kwords * blocks
    for oy in range(oh):
        for ox in range(ow):
            at = slice(oy * sh, oy * sh + kh), slice(ox * sw, ox * sw + kw)
            sums = _products(weights, padded[at], widths, 3).reshape(tiles, rows) + offset
            tags = [(t == tiles - 1) + 2 * (t == tiles - 1 and oy == oh - 1 and ox == ow - 1) for t in range(tiles)]
            layer.results += [(pack_accumulators(sums[t], config), tags[t]) for t in range(tiles)]
            rotation = oy * sh % copies
            runs = _spread(padded_bytes[at][None, None], shape, rotation, fill=-1)[0, 0]
            runs = np.pad(runs, ((0, 0), (0, lanes * kwords)), constant_values=-1)
            lane_bytes = [
                tuple(None if value < 0 else int(value) for value in run[k * step : k * step + lanes])
                for run in runs
                for k in range(kwords)
            ]
            for t in range(tiles):
                first = (rotation * tiles + t) * blocks * kwords
                layer.operands += [
                    (
                        lane_bytes[k],
                        base + (first + k >> widths.weight_shift),
                        k == 0,
                        k == len(lane_bytes) - 1,
                        (t == tiles - 1) + 2 * (tags[t] > 1),
                        (first + k) % (1 << config.unpack_bits),
                        k % kwords == kwords - 1,
                    )
                    for k in range(len(lane_bytes))
                ]
    return layer


def _spread(values: Ints, shape: Shape, rotation: int, fill: int = 0) -> Ints:
    """[tile, row, kh, kw, ic] to [tile, row, block, run]: a block is a kernel row or the whole strip."""
    (kh, kw), depth = shape.kernel, values.shape[-1]
    if shape.strip:
        slots = kh + shape.stride[0]
        window = np.full((*values.shape[:2], 1, kw, slots, depth), fill)
        for i in range(kh):
            window[:, :, 0, :, (rotation + i) % slots] = values[:, :, i]
        values = window
    return values.reshape(*values.shape[:3], -1)


def _strip_fields(shape: Shape, ic: int, slots: int, kwords_of_tiles: int, prefill_words: int) -> dict[str, int]:
    left, ring = shape.pads[2], slots * kwords_of_tiles
    return {
        "prefill_words": prefill_words,
        "row_elements_minus1": shape.width - 1,
        "element_bytes_minus1": ic - 1,
        "element_gap": (slots - 1) * ic,
        "slot_step": ic,
        "data_offset": left * slots * ic,
        "kh_minus1": 0,
        "pixel_step": shape.stride[1] * slots * ic,
        "line_kh_step": 0,
        "line_row_step": 0,
        "line_ring_words": 1,
        "weight_row_step": shape.stride[0] * kwords_of_tiles % ring,
        "weight_ring_words": ring,
    }


def _row_fields(shape: Shape, ic: int, slots: int, slot_words: int, lanes: int) -> dict[str, int]:
    ring = slots * slot_words
    return {
        "prefill_words": ring,
        "row_elements_minus1": 0,
        "element_bytes_minus1": shape.width * ic - 1,
        "element_gap": 0,
        "slot_step": slot_words * lanes,
        "data_offset": shape.pads[2] * ic,
        "kh_minus1": shape.kernel[0] - 1,
        "pixel_step": shape.stride[1] * ic,
        "line_kh_step": slot_words,
        "line_row_step": shape.stride[0] * slot_words % ring,
        "line_ring_words": ring,
        "weight_row_step": 0,
        "weight_ring_words": 1,
    }
