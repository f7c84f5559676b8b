"""Folds zero point and packing offset into the bias, proves the ranges, fills the parameter table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from accel import reference
from accel.errors import FitError, RangeError
from accel.fixedpoint import INT32_MAX, INT32_MIN, wrap
from accel.rtl.array.mac_array import word_offset
from accel.rtl.output.shift_multiplier import khot_positions, khot_word
from accel.tensor import Requantize, Threshold

if TYPE_CHECKING:
    from accel.compile.fuse import Stage
    from accel.compile.walks import Walk
    from accel.config import HardwareConfig
    from accel.ir import WeightedLayer
    from accel.types import Ints

SHIFT2_LOW = 8  # position of the second shift in an entry's shifts word


@dataclass(frozen=True)
class Parameters:
    """Entries of the parameter table of one stage; entry i serves lane i % req_lanes of group i // req_lanes.

    groups, last_groups: groups of a full tile and of the last one; pixel_groups: groups of all tiles;
    last_count: valid bytes of the pixel's last group.
    """

    bias: Ints
    multiplier: Ints
    shifts: Ints
    groups: int
    last_groups: int
    last_count: int
    round_away: bool
    pixel_groups: int


def fold_bias(layer: WeightedLayer, walk: Walk, config: HardwareConfig) -> Ints:
    """The bias that the hardware adds: bias - zero point * sum of weights - offset of the array, modulo 2^32.

    The 1-bit mode counts equal bits twice: the products' number is taken off. A threshold, clamped just outside the
    range that the accumulator can reach, is taken off too: the sign then says whether it was reached.
    Raises RangeError unless the final accumulator fits the accumulators of `config` and the folded bias fits
    int32.
    """
    reference.check_accumulators(layer, config.approximate)
    low, high = reference.accumulator_bounds(layer, config.approximate)
    limit = 2 ** (config.acc_bits - 1)
    bad = np.flatnonzero((low < -limit) | (high >= limit))
    if bad.size:
        channel = int(bad[0])
        raise RangeError(
            f"{layer.name}: the accumulator of channel {channel} may reach {int(low[channel])}.."
            f"{int(high[channel])}, outside {config.acc_bits} bits; build with acc_bits=32"
        )
    sums = layer.weights.reshape(layer.weights.shape[0], -1).sum(axis=1)
    folded = layer.bias - layer.input.zero_point * sums
    bad = np.flatnonzero((folded < INT32_MIN) | (folded > INT32_MAX))
    if bad.size:
        channel = int(bad[0])
        raise RangeError(
            f"{layer.name}: the bias of channel {channel} becomes {int(folded[channel])} with "
            "the zero "
            "point folded in, outside int32; use a smaller bias or smaller weights"
        )
    if isinstance(layer.requantize, Threshold):
        folded = folded - _clamped_threshold(layer.requantize, layer.name, low, high, limit)
    compute_bits = walk.precision.compute_bits
    if compute_bits == 1:
        folded = folded - layer.weights[0].size
    return wrap(folded - walk.tile_words * word_offset(config, compute_bits), 32)


def _clamped_threshold(rule: Threshold, name: str, low: Ints, high: Ints, limit: int) -> Ints:
    """The thresholds, at most one beyond the accumulator's range; RangeError where the difference would overflow."""
    level = np.clip(rule.threshold, low, high + 1)
    bad = np.flatnonzero((low - level < -limit) | (high - level >= limit))
    if bad.size:
        channel = int(bad[0])
        raise RangeError(
            f"{name}: channel {channel} compares accumulators of {int(low[channel])}.."
            f"{int(high[channel])} with {int(level[channel])}, a difference beyond {limit}; use fewer "
            "inputs or smaller weights"
        )
    return level


def split_shift(requantize: Requantize) -> tuple[bool, Ints, Ints]:
    """(round_away, first shift, second shift) of a rounding rule: one datapath serves all three."""
    shift = requantize.shift
    if requantize.rule == "gemmlowp":
        return False, np.where(shift >= 0, 31 - shift, 31), np.maximum(-shift, 0)
    return requantize.rule == "half_away", shift, np.zeros_like(shift)


def parameters(stage: Stage, walk: Walk, config: HardwareConfig) -> Parameters:
    """The Parameters of one stage. A raw stage uses one channel a group, in lane 0."""
    layer = stage.layer
    channels, lanes = layer.output.channels, config.req_lanes
    bias = fold_bias(layer, walk, config)
    raw = layer.requantize is None
    away, multiplier, shifts = _scaling(layer, config)
    per_group = 1 if raw else lanes
    groups = config.rows // per_group
    last_channels = channels - (walk.tiles - 1) * config.rows
    last_groups = -(-last_channels // per_group)
    total = (walk.tiles - 1) * groups + last_groups
    bias, multiplier, shifts = (_spread(values, total, per_group, lanes) for values in (bias, multiplier, shifts))
    last_count = 4 if raw else last_channels - (last_groups - 1) * per_group
    return Parameters(bias, multiplier, shifts, groups, last_groups, last_count, bool(away), total)


def _scaling(layer: WeightedLayer, config: HardwareConfig) -> tuple[bool, Ints, Ints]:
    """(round away, multiplier words, shifts words) of the parameter entries; bit 0 of a threshold's word inverts."""
    rule = layer.requantize
    if isinstance(rule, Requantize):
        away, shift1, shift2 = split_shift(rule)
        return away, _multiplier_words(rule.multiplier, layer.name, config), shift1 | shift2 << SHIFT2_LOW
    nothing = np.zeros(layer.output.channels, dtype=np.int64)
    return False, nothing if rule is None else rule.invert.astype(np.int64), nothing


def _multiplier_words(multipliers: Ints, name: str, config: HardwareConfig) -> Ints:
    """The multipliers, or their one bits on a build without multipliers behind the array."""
    most = config.hot_positions
    if not most:
        return multipliers
    for channel, multiplier in enumerate(multipliers.tolist()):
        if khot_positions(multiplier, most) is None:
            raise FitError(
                f"{name}: the multiplier {multiplier} of channel {channel} has "
                f"{multiplier.bit_count()} one bits but requantizer={config.requantizer} takes {most}; "
                "export the model with such multipliers or build with requantizer=full"
            )
    return np.array([khot_word(multiplier, most) for multiplier in multipliers.tolist()], dtype=np.int64)


def _spread(values: Ints, groups: int, per_group: int, lanes: int) -> Ints:
    """Place channel values: `per_group` lanes of every group of `lanes` entries, the others zero."""
    grid = np.zeros((groups, lanes), dtype=np.int64)
    filled = np.zeros(groups * per_group, dtype=np.int64)
    filled[: len(values)] = values
    grid[:, :per_group] = filled.reshape(groups, per_group)
    return grid.reshape(-1)
