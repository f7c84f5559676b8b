"""Writes the descriptor of one stage from its walk, parameters and placement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from accel.descriptor import DESCRIPTOR_STRIDE, FIELDS, pack_descriptor
from accel.errors import FitError
from accel.fixedpoint import pack
from accel.tensor import Threshold

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from accel.compile.fuse import Stage
    from accel.compile.parameters import Parameters
    from accel.compile.place import Placement
    from accel.compile.walks import Walk
    from accel.config import HardwareConfig
    from accel.ir import MaxPool, WeightedLayer
    from accel.tensor import TensorType

_NO_POOL = dict.fromkeys(
    ("pool_kh_minus1", "pool_kw_minus1", "pool_pad_top", "pool_pad_left", "pool_oh_minus1", "pool_ow_minus1"), 0
)


def pad_byte(tensor: TensorType) -> int:
    """A byte of padding: the padding element in every element that a byte holds."""
    return int(pack([tensor.padding] * (8 // tensor.bits), tensor.bits)[0])


def _limits(layer: WeightedLayer) -> tuple[int, int, int]:
    """(zero point, qmin, qmax) of what the requantizer puts out."""
    rule = layer.requantize
    if rule is None:
        return 0, 0, 0
    return layer.output.zero_point, *((-1, 1) if isinstance(rule, Threshold) else (rule.qmin, rule.qmax))


def descriptor_values(
    stage: Stage,
    walk: Walk,
    params: Parameters,
    placement: Placement,
    in_words: int,
    config: HardwareConfig,
    *,
    first: bool,
    last: bool,
) -> dict[str, int]:
    """{field: value} of one stage, magic left out."""
    layer = stage.layer
    zero_point, qmin, qmax = _limits(layer)
    tail = walk.tail_bytes(config) - 1 if 1 in config.precisions else 0  # only those builds mask
    values = {
        "op": walk.op,
        "from_stream": int(first),
        "to_stream": int(last),
        "raw": int(layer.requantize is None),
        "round_away": int(params.round_away),
        "pool_enable": int(stage.pool is not None),
        "last_count": params.last_count,
        "pad_value": pad_byte(layer.input),
        "in_base": placement.in_base,
        "in_words": in_words,
        "weight_base": placement.weight_base,
        "param_base": placement.param_base,
        "groups_minus1": params.groups - 1,
        "last_groups_minus1": params.last_groups - 1,
        "zero_point": zero_point,
        "qmin": qmin,
        "qmax": qmax,
        "out_base": placement.out_base,
        "tail_bytes_minus1": tail,
    }
    return values | walk.precision.codes | walk_values(walk) | pool_values(stage.pool)


def pool_values(pool: MaxPool | None) -> dict[str, int]:
    """{field: value} of a stage's max pool, or of none."""
    if pool is None:
        return _NO_POOL
    return {
        "pool_kh_minus1": pool.kernel[0] - 1,
        "pool_kw_minus1": pool.kernel[1] - 1,
        "pool_pad_top": pool.pads[0],
        "pool_pad_left": pool.pads[2],
        "pool_oh_minus1": pool.output.height - 1,
        "pool_ow_minus1": pool.output.width - 1,
    }


def walk_values(walk: Walk) -> dict[str, int]:
    """{field: value} of what a walk says alone."""
    return walk.fields | {
        "oh_minus1": walk.rows - 1,
        "ow_minus1": walk.columns - 1,
        "tiles_minus1": walk.tiles - 1,
        "kh_minus1": walk.kernel_rows - 1,
        "kwords_minus1": walk.kernel_words - 1,
    }


def too_large(values: Mapping[str, int], config: HardwareConfig) -> str | None:
    """The first field that cannot hold its value on a build of `config`, in words, else None."""
    for name, value in values.items():
        limit = FIELDS[name].largest(config)
        if value > limit:
            return f"{name}={value} is outside 0..{limit} ({FIELDS[name].doc}) for this configuration"
    return None


def emit(stage: Stage, values: Mapping[str, int], config: HardwareConfig) -> NDArray[np.uint32]:
    """uint32 [DESCRIPTOR_STRIDE]; FitError names the stage where a field cannot hold its value."""
    try:
        words = pack_descriptor(values, config)
    except FitError as error:
        raise FitError(f"{stage.name}: {error}") from None
    return np.array(words + [0] * (DESCRIPTOR_STRIDE - len(words)), dtype=np.uint32)
