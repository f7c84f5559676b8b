"""Packs a walk's weights into the words of the weight bank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from accel import fixedpoint
from accel.config import SHIFT_ADD
from accel.rtl.array.shift_codes import encode_shift_add

if TYPE_CHECKING:
    from accel.compile.walks import Walk
    from accel.config import HardwareConfig
    from accel.types import Bytes


def pack_weights(walk: Walk, config: HardwareConfig) -> Bytes:
    """uint8 [words, rows, lanes]: rotation, tile, kernel row, array word; narrow weights share the words' bytes.

    A byte (row, lane) of a bank word holds its array words one above the other, each with the channels of that lane,
    the lower channel in the lower bits. Zeros (+1 for 1-bit weights) fill the last word of a kernel row, the last tile
    and the last bank word: they silence what a fetched word holds beyond the window and the rows beyond the last
    channel. A shift-add array gets codes of powers of two in place of the weights.
    """
    weights, precision = walk.weight_values(), walk.precision
    rotations, channels, kernel_rows, size = weights.shape
    per_lane, parts = precision.channels_per_byte, precision.array_words
    padded = np.full(
        (rotations, walk.tiles * config.rows, kernel_rows, walk.kernel_words * config.lanes * per_lane),
        precision.pad_weight,
        dtype=np.int8,
    )
    padded[:, :channels, :, :size] = weights
    words = padded.reshape(rotations, walk.tiles, config.rows, kernel_rows, walk.kernel_words, config.lanes, per_lane)
    words = words.transpose(0, 1, 3, 4, 2, 5, 6).reshape(-1, config.rows, config.lanes, per_lane)
    whole = np.full((walk.weight_words * parts, *words.shape[1:]), precision.pad_weight, dtype=np.int8)
    whole[: len(words)] = words
    whole = whole.reshape(-1, parts, config.rows, config.lanes, per_lane).transpose(0, 2, 3, 1, 4)
    whole = whole.reshape(-1, config.rows, config.lanes, parts * per_lane)
    if config.multiplier == SHIFT_ADD:
        return encode_shift_add(whole)[..., 0]
    return fixedpoint.pack(whole, precision.weight_bits)[..., 0]
