"""How a stage's input is walked: the geometry of the line buffer and the order of the weights.

A `Walk` fixes every descriptor field of feeder and window walker. Bytes are bytes of the stored tensor, a pixel has
whole bytes; an array word takes fewer of them where the array computes wider than the input is stored. Four kinds:
  rows   each kernel row is a run of KW pixels of a ring row; stored rows follow one another.
  strip  the ring interleaves its rows pixel by pixel, so that a whole window is one run; the weights are
  stored once per rotation of the ring, with zeros in the slots that the window does not cover. 1-bit weights have no
  zero and no strip.
  flat   a kernel as large as the unpadded input: the input is one run of bytes, one window.
  dense  the same run, straight from the activation memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from accel.compile.precision import Precision, layer_precision
from accel.descriptor import FIELDS, OP_CONV, OP_DENSE
from accel.errors import UnsupportedError

if TYPE_CHECKING:
    from accel.compile.fuse import Stage
    from accel.config import HardwareConfig
    from accel.ir import Conv2D, WeightedLayer
    from accel.types import Ints

MAX_KERNEL_ROWS = 2 ** FIELDS["need_rows"].bits - 1
MAX_ROW_STEP = 2 ** FIELDS["row_step"].bits - 1
MAX_SLOTS = 2 ** FIELDS["ring_slots_minus1"].bits
_NO_FEEDER = dict.fromkeys(
    (
        "prefill_words",
        "ring_slots_minus1",
        "top_rows",
        "data_rows_minus1",
        "bottom_rows",
        "need_rows",
        "row_elements_minus1",
        "element_bytes_minus1",
        "element_gap",
        "slot_step",
        "data_offset",
        "row_step",
        "pixel_step",
        "line_kh_step",
        "line_row_step",
        "weight_row_step",
    ),
    0,
)


WalkKind: TypeAlias = Literal["rows", "strip", "flat", "dense"]


@dataclass(frozen=True)
class Walk:
    """One way to run a stage's multiply-accumulates.

    precision: widths of the layer. kernel_rows, kernel_words: array words of a tile are kernel_rows * kernel_words.
    run_bytes: bytes of one kernel row. rotations: sets of weights. line_words: words of the line buffer that are used.
    fields: the descriptor fields of feeder and window walker; weight_row_step and weight_ring_words are in it, in array
    words. weight_values(): int64 [rotations, OC, kernel_rows, stored channels of a row], built when it is asked for:
    most walks are only considered.
    """

    precision: Precision

    kind: WalkKind
    op: int
    rows: int
    columns: int
    tiles: int
    kernel_rows: int
    kernel_words: int
    run_bytes: int
    rotations: int
    line_words: int
    fields: dict[str, int]
    weight_values: Callable[[], Ints] = field(repr=False)

    @property
    def tile_words(self) -> int:
        """Array words of one tile: the accumulator receives the array's constant offset this often."""
        return self.kernel_rows * self.kernel_words

    @property
    def weight_words(self) -> int:
        """Words of the weight bank."""
        return -(-self.rotations * self.tiles * self.tile_words // self.precision.array_words)

    def tail_bytes(self, config: HardwareConfig) -> int:
        """Source bytes of a kernel row's last array word."""
        return (self.run_bytes - 1) % (config.lanes // self.precision.input_spread) + 1


def walks(stage: Stage, config: HardwareConfig, *, from_stream: bool) -> list[Walk]:
    """All walks that are possible for a stage; the caller picks the fastest one that fits its memories.

    KH + SH slots let the feeder write ahead of the window; KH slots are the least that a window needs.
    """
    layer, precision = stage.layer, layer_precision(stage.layer, config)
    if layer.op == "dense" or _covers_input(layer):
        return [_whole_input(layer, config, precision, from_stream)]
    top, bottom, _, _ = _used_pads(stage, layer)
    if layer.input.height + top + bottom < layer.kernel[0] or top >= layer.kernel[0]:
        raise UnsupportedError(
            f"{layer.name}: pads {layer.pads} of kernel {tuple(layer.kernel)} make "
            "windows that hold "
            "no input row; use pads smaller than the kernel"
        )
    kernel, stride = layer.kernel[0], layer.stride[0]
    for what, size, most in (("kernel", kernel, MAX_KERNEL_ROWS), ("stride", stride, MAX_ROW_STEP)):
        if size > most:
            raise UnsupportedError(
                f"{layer.name}: a {what} of {size} rows is not supported, at most {most}; use a smaller {what}"
            )
    all_rows = (stage.computed_size[0] - 1) * stride + kernel
    slots = range(min(kernel + stride, all_rows, MAX_SLOTS), kernel - 1, -1)
    makers = (_rows,) if precision.weight_bits == 1 else (_rows, _strip)
    return [make(stage, layer, config, precision, count) for make in makers for count in slots]


def _covers_input(layer: Conv2D) -> bool:
    return tuple(layer.kernel) == layer.input.shape[:2] and not any(layer.pads)


def _used_pads(stage: Stage, layer: Conv2D) -> tuple[int, int, int, int]:
    """Pads (top, bottom, left, right) that the needed windows reach; bottom and right may be negative."""
    rows, columns = stage.computed_size
    top, _, left, _ = layer.pads
    bottom = (rows - 1) * layer.stride[0] + layer.kernel[0] - top - layer.input.height
    right = (columns - 1) * layer.stride[1] + layer.kernel[1] - left - layer.input.width
    return top, bottom, left, right


def _words(byte_count: int, config: HardwareConfig) -> int:
    return -(-byte_count // config.lanes)


def _stored(layer: WeightedLayer, precision: Precision) -> Ints:
    """Weights [OC, KH, KW, stored channels]: pad channels get pad weights."""
    channels = layer.input.channels
    weights = layer.weights.reshape(layer.weights.shape[0], -1, 1, channels) if layer.op == "dense" else layer.weights
    pads = ((0, 0),) * 3 + ((0, layer.input.stored_channels - channels),)
    return np.pad(weights, pads, constant_values=precision.pad_weight)


def _reshaped(layer: WeightedLayer, precision: Precision, kernel_rows: int) -> Ints:
    """The stored weights, `kernel_rows` runs an output channel."""
    return _stored(layer, precision).reshape(1, layer.output.channels, kernel_rows, -1)


def _whole_input(layer: WeightedLayer, config: HardwareConfig, precision: Precision, from_stream: bool) -> Walk:
    """flat or dense: one window over the whole input, one run of bytes."""
    size = layer.input.stream_bytes
    words, array_words = _words(size, config), _words(size * precision.input_spread, config)
    tiles = -(-layer.output.channels // config.rows)
    weights = partial(_reshaped, layer, precision, 1)
    fields = dict(_NO_FEEDER, weight_ring_words=1, line_ring_words=1)
    if not from_stream:
        return Walk(precision, "dense", OP_DENSE, 1, 1, tiles, 1, array_words, size, 1, 0, fields, weights)
    fields.update(need_rows=1, row_step=1, element_bytes_minus1=size - 1, line_ring_words=words)
    return Walk(precision, "flat", OP_CONV, 1, 1, tiles, 1, array_words, size, 1, words, fields, weights)


def _common_fields(stage: Stage, layer: Conv2D, slots: int) -> dict[str, int]:
    """Fields of feeder and window that rows and strip share."""
    top, bottom, _, _ = _used_pads(stage, layer)
    return {
        "ring_slots_minus1": slots - 1,
        "top_rows": top,
        "data_rows_minus1": layer.input.height + min(bottom, 0) - 1,
        "bottom_rows": max(bottom, 0),
        "need_rows": layer.kernel[0],
        "row_step": layer.stride[0],
    }


def _rows(stage: Stage, layer: Conv2D, config: HardwareConfig, precision: Precision, slots: int) -> Walk:
    kernel_height, kernel_width = layer.kernel
    pixel = layer.input.pixel_bytes
    top, _, left, right = _used_pads(stage, layer)
    rows, columns = stage.computed_size
    row_bytes = layer.input.width * pixel
    slot_words = _words((left + layer.input.width + max(right, 0)) * pixel, config)
    ring_words = slots * slot_words
    kernel_words = _words(kernel_width * pixel * precision.input_spread, config)
    tiles = -(-layer.output.channels // config.rows)
    prefill = ring_words if left or right > 0 else top * slot_words
    fields = _common_fields(stage, layer, slots) | {
        "prefill_words": prefill,
        "row_elements_minus1": 0,
        "element_bytes_minus1": row_bytes - 1,
        "element_gap": 0,
        "slot_step": slot_words * config.lanes,
        "data_offset": left * pixel,
        "pixel_step": layer.stride[1] * pixel,
        "line_kh_step": slot_words,
        "line_row_step": layer.stride[0] % slots * slot_words,
        "line_ring_words": ring_words,
        "weight_row_step": 0,
        "weight_ring_words": 1,
    }
    weights = partial(_reshaped, layer, precision, kernel_height)
    return Walk(
        precision,
        "rows",
        OP_CONV,
        rows,
        columns,
        tiles,
        kernel_height,
        kernel_words,
        kernel_width * pixel,
        1,
        ring_words,
        fields,
        weights,
    )


def _strip(stage: Stage, layer: Conv2D, config: HardwareConfig, precision: Precision, slots: int) -> Walk:
    out_channels, _, kernel_width, _ = layer.weights.shape
    pixel = layer.input.pixel_bytes
    top, _, left, right = _used_pads(stage, layer)
    rows, columns = stage.computed_size
    column_bytes = slots * pixel
    ring_words = _words((left + layer.input.width + max(right, 0)) * column_bytes, config)
    kernel_words = _words(kernel_width * column_bytes * precision.input_spread, config)
    tiles = -(-out_channels // config.rows)
    rotations = min(rows, slots // math.gcd(slots, layer.stride[0]))
    fields = _common_fields(stage, layer, slots) | {
        "prefill_words": ring_words if left or right > 0 or top else 0,
        "row_elements_minus1": layer.input.width - 1,
        "element_bytes_minus1": pixel - 1,
        "element_gap": (slots - 1) * pixel,
        "slot_step": pixel,
        "data_offset": left * column_bytes,
        "pixel_step": layer.stride[1] * column_bytes,
        "line_kh_step": 0,
        "line_row_step": 0,
        "line_ring_words": ring_words,
        "weight_row_step": tiles * kernel_words if rotations > 1 else 0,
        "weight_ring_words": rotations * tiles * kernel_words if rotations > 1 else 1,
    }
    weights = partial(_rotated, layer, precision, slots, rotations)
    return Walk(
        precision,
        "strip",
        OP_CONV,
        rows,
        columns,
        tiles,
        1,
        kernel_words,
        kernel_width * column_bytes,
        rotations,
        ring_words,
        fields,
        weights,
    )


def _rotated(layer: Conv2D, precision: Precision, slots: int, rotations: int) -> Ints:
    """Weights of a strip: kernel row kh stands in the slot that holds its input row; the other slots get zeros."""
    stored = _stored(layer, precision)
    out_channels, kernel_height, kernel_width, channels = stored.shape
    weights = np.zeros((rotations, out_channels, kernel_width, slots, channels), dtype=np.int64)
    for rotation in range(rotations):
        for row in range(kernel_height):
            slot = (rotation * layer.stride[0] + row) % slots
            weights[rotation, :, :, slot] = stored[:, row]
    return weights.reshape(rotations, out_channels, 1, -1)
