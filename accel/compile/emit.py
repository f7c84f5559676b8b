"""Writes the descriptor of one stage from its walk, parameters and placement."""

import numpy as np

from accel.descriptor import DESCRIPTOR_STRIDE, FIELDS, pack_descriptor
from accel.errors import FitError

_NO_POOL = dict.fromkeys(("pool_kh_minus1", "pool_kw_minus1", "pool_pad_top", "pool_pad_left",
                          "pool_oh_minus1", "pool_ow_minus1"), 0)


def descriptor_values(stage, walk, params, placement, in_words, *, first, last):
    """{field: value} of one stage, magic left out."""
    layer = stage.layer
    rule = layer.requantize
    zero_point, qmin, qmax = (0, 0, 0) if rule is None else (layer.output.zero_point, rule.qmin, rule.qmax)
    values = {
        "op": walk.op,
        "from_stream": int(first),
        "to_stream": int(last),
        "raw": int(rule is None),
        "round_away": int(params.round_away),
        "pool_enable": int(stage.pool is not None),
        "last_count": params.last_count,
        "pad_value": layer.input.zero_point,
        "in_base": placement.in_base,
        "in_words": in_words,
        "oh_minus1": walk.rows - 1,
        "ow_minus1": walk.columns - 1,
        "tiles_minus1": walk.tiles - 1,
        "kh_minus1": walk.kernel_rows - 1,
        "kwords_minus1": walk.kernel_words - 1,
        "weight_base": placement.weight_base,
        "param_base": placement.param_base,
        "groups_minus1": params.groups - 1,
        "last_groups_minus1": params.last_groups - 1,
        "zero_point": zero_point,
        "qmin": qmin,
        "qmax": qmax,
        "out_base": placement.out_base,
    } | dict.fromkeys(("compute_code", "weight_code", "input_code", "output_code", "tail_bytes_minus1"), 0)
    return values | walk.fields | _pool_values(stage.pool)


def _pool_values(pool):
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


def fields_fit(values, config):
    """Whether the descriptor's fields can hold these values on a build of `config`."""
    limits = {name: min(FIELDS[name].limit(config), 2**FIELDS[name].bits - 1) for name in values}
    return all(value <= limits[name] for name, value in values.items())


def emit(stage, values, config):
    """uint32 [DESCRIPTOR_STRIDE]; FitError names the stage where a field cannot hold its value."""
    try:
        words = pack_descriptor(values, config)
    except FitError as error:
        raise FitError(f"{stage.name}: {error}") from None
    return np.array(words + [0] * (DESCRIPTOR_STRIDE - len(words)), dtype=np.uint32)
