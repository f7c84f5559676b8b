"""Bytes of the weights: in the weight bank, on the wire, and the host writes that bring them there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from accel.config import SHIFT_ADD
from accel.descriptor import REGION_WEIGHTS, REGION_WEIGHTS6, host_address
from accel.fixedpoint import pack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from accel.compile.program import LayerPlan
    from accel.compile.walks import Walk
    from accel.config import HardwareConfig
    from accel.ir import WeightedLayer
    from accel.types import Bytes

GROUP_VALUES = 16  # 6-bit weights that three words of the wire bring into four of the bank


@dataclass(frozen=True)
class WeightMemory:
    """values: weights of the layer. bank_bytes: of the weight bank. padding_bytes: of these, what holds no weight:
    pad channels, the ends of kernel rows and tiles, the zeros and the copies of a strip. wire_bytes: what the host
    sends for them. wire_bits: width of a weight on the wire."""

    values: int
    bank_bytes: int
    padding_bytes: float
    wire_bytes: int
    wire_bits: int


def weight_memory(layer: WeightedLayer, walk: Walk, config: HardwareConfig) -> WeightMemory:
    """The WeightMemory of a layer with its walk."""
    bits = walk.precision.weight_bits
    bank_bytes = walk.weight_words * config.rows * config.lanes
    packed = layer.weight_bits == 6 and 6 in config.precisions and config.multiplier != SHIFT_ADD  # codes are bytes
    padding = bank_bytes - layer.weights.size * bits / 8
    return WeightMemory(
        layer.weights.size, bank_bytes, padding, bank_bytes * 3 // 4 if packed else bank_bytes, 6 if packed else bits
    )


def weight_writes(weights: Bytes, layers: Iterable[LayerPlan]) -> list[tuple[int, int]]:
    """[(address, data)] of the weight bank, uint8 [words, rows, lanes]: the layers lie in it one after the other."""
    word_size = weights[0].size // 4  # host words of a bank word
    host_words = np.ascontiguousarray(weights).view("<u4").reshape(-1)
    writes = []
    for layer in layers:
        start = layer.weight_base * word_size
        words = host_words[start : start + layer.weight_words * word_size]
        if layer.weight_memory.wire_bits == 6:
            values = words.view(np.int8).reshape(-1, GROUP_VALUES)
            packed = np.ascontiguousarray(pack(values, 6)).view("<u4")
            offsets = start + 4 * np.arange(len(values))[:, None] + np.arange(3)
            region, words = REGION_WEIGHTS6, packed.reshape(-1)
        else:
            region, offsets = REGION_WEIGHTS, start + np.arange(len(words))
        base = host_address(region, 0)
        writes += [
            (base + offset, data) for offset, data in zip(offsets.reshape(-1).tolist(), words.tolist(), strict=True)
        ]
    return writes
