"""Single layers described by hand: descriptor, input words, weight words, and what the hardware must make of them.

This is independent of the compiler: the descriptor follows the loop nest of accel/descriptor.py, the expected results
are direct sums over the padded tensor.
"""

from dataclasses import dataclass, field

import numpy as np

from accel.config import HardwareConfig
from accel.descriptor import FIELDS, OP_CONV, OP_DENSE, pack_descriptor
from accel.rtl.mac_array import word_offset


@dataclass(frozen=True)
class Shape:
    """A convolution. pads: top, bottom, left, right. strip: the ring interleaves its rows pixel by pixel."""

    height: int
    width: int
    channels: int
    kernel: tuple
    outputs: int
    stride: tuple = (1, 1)
    pads: tuple = (0, 0, 0, 0)
    strip: bool = False


@dataclass
class Layer:
    """fields: descriptor fields. words: input words. weights: [rows, lanes] arrays from fields["weight_base"] on.

    operands: (lane bytes, None where the hardware may fetch a neighbour's; weight word; first; last; tag) in order.
    results: (packed accumulators, tag) in order.
    """

    config: HardwareConfig
    fields: dict
    words: list
    weights: list
    operands: list = field(default_factory=list)
    results: list = field(default_factory=list)

    @property
    def descriptor(self):
        return describe(self.config, **self.fields)


def describe(config, **fields):
    """A descriptor vector: zero in every field that is not named."""
    values = {name: 0 for name in FIELDS if name != "magic"}
    return sum(word << 32 * i for i, word in enumerate(pack_descriptor({**values, **fields}, config)))


def to_words(data, lanes):
    """Bytes to words of `lanes` bytes, the last one padded with garbage."""
    data = [int(value) & 0xFF for value in np.ravel(data)]
    data += [0xA5] * (-len(data) % lanes)
    return [sum(byte << 8 * i for i, byte in enumerate(data[at : at + lanes])) for at in range(0, len(data), lanes)]


def pack_accumulators(values, config):
    bits = config.acc_bits
    return sum((int(value) & 2**bits - 1) << bits * i for i, value in enumerate(values))


def random_values(rng, shape):
    """int8 values; one tensor in eight holds only extremes."""
    values = np.random.default_rng(rng.getrandbits(32))
    if rng.random() < 0.125:
        return values.choice([-128, 127], shape)
    return values.integers(-128, 128, shape)


def dense(rng, config, inputs, outputs, in_base=0):
    """A dense layer on a random vector of `inputs` bytes in the activation memory."""
    lanes, rows = config.lanes, config.rows
    kwords, tiles = -(-inputs // lanes), -(-outputs // rows)
    x, weights = random_values(rng, inputs), np.zeros((tiles * rows, kwords * lanes), int)
    weights[:outputs, :inputs] = random_values(rng, (outputs, inputs))
    base = rng.randint(0, config.weight_depth - tiles * kwords)
    fields = {
        "op": OP_DENSE,
        "in_base": in_base,
        "in_words": kwords,
        "tiles_minus1": tiles - 1,
        "kwords_minus1": kwords - 1,
        "weight_base": base,
    }
    layer = Layer(config, fields, to_words(x, lanes), _weight_words(weights.reshape(tiles, 1, rows, -1), lanes))
    sums = (weights[:, :inputs] @ x + word_offset(config) * kwords).reshape(tiles, rows)
    layer.results = [(pack_accumulators(sums[t], config), 3 * (t == tiles - 1)) for t in range(tiles)]
    return layer


def _weight_words(blocks, lanes):
    """blocks: [tile, kernel row, row, padded bytes]."""
    words = []
    for block in blocks.reshape(-1, *blocks.shape[2:]):
        words += [block[:, at : at + lanes] for at in range(0, block.shape[1], lanes)]
    return words


def convolution(rng, config, shape, in_base=None):
    """A convolution of a random tensor that comes from the stream, or from the activation memory at in_base."""
    lanes, rows = config.lanes, config.rows
    (kh, kw), (sh, sw), (top, bottom, left, right), ic = shape.kernel, shape.stride, shape.pads, shape.channels
    x = random_values(rng, (shape.height, shape.width, ic))
    zero_point = rng.randint(-128, 127)
    padded = np.pad(x, ((top, bottom), (left, right), (0, 0)), constant_values=zero_point)
    oh, ow = (padded.shape[0] - kh) // sh + 1, (padded.shape[1] - kw) // sw + 1
    used_rows, slots, tiles = (oh - 1) * sh + kh, kh + sh, -(-shape.outputs // rows)
    bottom_rows = max(0, used_rows - top - shape.height)
    data_rows = used_rows - top - bottom_rows
    weights = np.zeros((tiles * rows, kh, kw, ic), int)
    weights[: shape.outputs] = random_values(rng, (shape.outputs, kh, kw, ic))
    width_bytes = padded.shape[1] * ic
    if shape.strip:
        kwords, blocks = -(-kw * slots * ic // lanes), 1
        fields = _strip_fields(shape, slots, tiles * kwords, -(-width_bytes * slots // lanes))
    else:
        kwords, blocks = -(-kw * ic // lanes), kh
        fields = _row_fields(shape, slots, -(-width_bytes // lanes), lanes)
    copies = slots if shape.strip else 1
    base = rng.randint(0, config.weight_depth - copies * tiles * blocks * kwords)
    source = {"from_stream": 1} if in_base is None else {"in_base": in_base}
    fields |= source | {
        "op": OP_CONV,
        "pad_value": zero_point & 0xFF,
        "in_words": -(-x.size // lanes),
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
    }
    layer = Layer(config, fields, to_words(x, lanes), [])
    for rotation in range(copies):
        spread = _spread(weights.reshape(tiles, rows, kh, kw, ic), shape, rotation, kwords * lanes)
        layer.weights += _weight_words(spread.transpose(0, 2, 1, 3), lanes)
    offset = word_offset(config) * kwords * blocks
    for oy in range(oh):
        for ox in range(ow):
            window = padded[oy * sh : oy * sh + kh, ox * sw : ox * sw + kw]
            sums = np.sum(weights * window, axis=(1, 2, 3)).reshape(tiles, rows) + offset
            tags = [(t == tiles - 1) + 2 * (t == tiles - 1 and oy == oh - 1 and ox == ow - 1) for t in range(tiles)]
            layer.results += [(pack_accumulators(sums[t], config), tags[t]) for t in range(tiles)]
            rotation = oy * sh % copies
            known = _spread((window & 0xFF)[None, None], shape, rotation, kwords * lanes, fill=-1)[0, 0].reshape(
                -1, lanes
            )
            lane_bytes = [tuple(None if value < 0 else int(value) for value in word) for word in known]
            for t in range(tiles):
                first = base + (rotation * tiles + t) * blocks * kwords
                layer.operands += [
                    (lane_bytes[k], first + k, k == 0, k == len(known) - 1, (t == tiles - 1) + 2 * (tags[t] > 1))
                    for k in range(len(known))
                ]
    return layer


def _spread(values, shape, rotation, padded_bytes, fill=0):
    """[tile, row, kh, kw, ic] to [tile, row, block, padded_bytes]: a block is a kernel row or the whole strip."""
    (kh, kw), ic = shape.kernel, shape.channels
    if shape.strip:
        slots = kh + shape.stride[0]
        window = np.full((*values.shape[:2], 1, kw, slots, ic), fill)
        for i in range(kh):
            window[:, :, 0, :, (rotation + i) % slots] = values[:, :, i]
        values = window
    flat = values.reshape(*values.shape[:3], -1)
    return np.pad(flat, ((0, 0),) * 3 + ((0, padded_bytes - flat.shape[-1]),), constant_values=fill)


def _strip_fields(shape, slots, kwords_of_tiles, prefill_words):
    left, ic, ring = shape.pads[2], shape.channels, slots * kwords_of_tiles
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


def _row_fields(shape, slots, slot_words, lanes):
    ic, ring = shape.channels, slots * slot_words
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
