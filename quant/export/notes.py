"""Fixed-point notes: the format of every tensor of a quantized network, as Qm.n and as an HLS type.

real = scale * (q - zero point) is a fixed-point number exactly where the scale is a power of two. Else the notes give
the format of the same width that holds the tensor's range, and what rounding into it costs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from accel.errors import RangeError
from accel.tensor import RAW_BITS, Requantize, Threshold
from quant.qfx.format import FixedFormat, integer_bits_for

if TYPE_CHECKING:
    from accel.ir import Graph, WeightedLayer
    from accel.tensor import TensorType
    from accel.types import Ints, Reals

BIAS_BITS = 32
MULTIPLIER_BITS = 31
ACTIVATIONS = "input", "output"  # unsigned where nothing is negative


@dataclass(frozen=True)
class TensorNote:
    """One tensor, or the channels of one that share a format.

    channels: their count where a tensor has several formats, else None. low, high: the real range. fixed: its
    FixedFormat. exact: whether integer and format are the same number; else max_error is the largest difference of
    a stored value from its nearest one in the format, in the tensor's unit.
    """

    layer: str
    tensor: str
    bits: int
    low: float
    high: float
    fixed: FixedFormat
    exact: bool
    max_error: float
    channels: int | None = None


def notes(graph: Graph) -> list[TensorNote]:
    """The TensorNotes of a graph: input, and per layer weights, bias, multipliers, output.

    Raises RangeError, with the layer's name, for a scale too small or too large for a fixed-point format.
    """
    found = [_activation("input", "input", graph.input)]
    for layer in graph.layers:
        if layer.op != "maxpool":
            try:
                found += _layer_notes(layer)
            except RangeError as error:
                raise RangeError(f"{layer.name}: {error}; export --npz, or quantize with other scales") from None
    return found


def _layer_notes(layer: WeightedLayer) -> list[TensorNote]:
    found = [*_weights(layer), *_bias(layer)]
    if layer.requantize is not None and not isinstance(layer.requantize, Threshold):
        found += _multipliers(layer, layer.requantize)
    if layer.output.bits != RAW_BITS:
        found.append(_activation(layer.name, "output", layer.output))
    return found


def power_of_two(value: float) -> int | None:
    """The exponent of an exact power of two, else None."""
    fraction, exponent = math.frexp(value)
    return exponent - 1 if fraction == 0.5 else None


def _activation(layer: str, what: str, tensor: TensorType) -> TensorNote:
    low, high = tensor.qrange
    offsets = np.array([-1, 1]) if tensor.bits == 1 else np.arange(low, high + 1) - tensor.zero_point
    return _note(layer, what, tensor.bits, tensor.scale, offsets)


def _weights(layer: WeightedLayer) -> list[TensorNote]:
    """A note per format of the channels; 1-bit weights are the signs times the scale."""
    rows = layer.weights.reshape(len(layer.weights), -1)
    return _by_channel(layer, "weight", layer.weight_bits, layer.weight_scale, rows)


def _bias(layer: WeightedLayer) -> list[TensorNote]:
    scales = layer.weight_scale * layer.input.scale
    return _by_channel(layer, "bias", BIAS_BITS, scales, layer.bias[:, None])


def _by_channel(layer: WeightedLayer, what: str, bits: int, scales: Reals, rows: Ints) -> list[TensorNote]:
    """Notes of a table with a scale per channel: channels of one format together, in the order of the formats.

    Exact where every scale is a power of two; else the whole tensor gets one format.
    """
    exponents = [exponent for scale in scales.tolist() if (exponent := power_of_two(scale)) is not None]
    if len(exponents) < len(scales):
        real = rows * scales[:, None]
        return [_nearest(layer.name, what, bits, real)]
    groups = sorted(set(exponents))
    found = []
    for exponent in groups:
        chosen = rows[[index for index, other in enumerate(exponents) if other == exponent]]
        note = _note(layer.name, what, bits, math.ldexp(1.0, exponent), np.ravel(chosen))
        found.append(note if len(groups) == 1 else TensorNote(**{**vars(note), "channels": len(chosen)}))
    return found


def _multipliers(layer: WeightedLayer, rule: Requantize) -> list[TensorNote]:
    """Multipliers are exact unsigned numbers: m * 2^-shift, of the gemmlowp rule m * 2^(exponent - 31)."""
    points = rule.shift - MULTIPLIER_BITS if rule.rule == "gemmlowp" else -rule.shift
    found = []
    for point in sorted(set(points.tolist())):
        chosen = rule.multiplier[points == point]
        fixed = FixedFormat(MULTIPLIER_BITS, MULTIPLIER_BITS + point, signed=False)
        real = np.ldexp(chosen.astype(np.float64), point)
        count = None if len(chosen) == len(points) else len(chosen)
        found.append(
            TensorNote(
                layer.name, "multiplier", MULTIPLIER_BITS, float(real.min()), float(real.max()), fixed, True, 0.0, count
            )
        )
    return found


def _note(layer: str, what: str, bits: int, scale: float, integers: Ints) -> TensorNote:
    """The note of real = scale * integers (zero point taken off): exact for a power of two."""
    exponent = power_of_two(scale)
    if exponent is None:
        return _nearest(layer, what, bits, (scale * integers).astype(np.float64))
    low, high = int(integers.min()), int(integers.max())
    signed = low < 0 or what not in ACTIVATIONS
    width = bits
    while not _holds(width, signed, low, high):  # a zero point off the middle, or the sign +1 of 1 bit
        width += 1
    fixed = FixedFormat(width, width + exponent, signed=signed)
    return TensorNote(layer, what, bits, scale * low, scale * high, fixed, True, 0.0)


def _holds(width: int, signed: bool, low: int, high: int) -> bool:
    smallest, largest = FixedFormat(width, width, signed=signed).limits
    return smallest <= low and high <= largest


def _nearest(layer: str, what: str, bits: int, real: Reals) -> TensorNote:
    """The note of the format of the same width (at least 2 with a sign) that holds all values."""
    low, high = float(real.min()), float(real.max())
    signed = low < 0 or what not in ACTIVATIONS
    width = max(bits, 1 + signed)
    fixed = FixedFormat(width, integer_bits_for(low, high, width, signed), "AP_RND", "AP_SAT", signed)
    error = np.abs(fixed.to_real(fixed.to_integer(real.ravel())) - real.ravel())
    return TensorNote(layer, what, bits, low, high, fixed, False, float(error.max()))


def notes_text(graph: Graph) -> str:
    """The notes as a Markdown page; equal graphs give equal text."""
    found = notes(graph)
    lines = [
        f"# Fixed-point formats of {graph.name}",
        "",
        "`real = scale * (q - zero point)`. *exact*: the integers without their zero point are the format's "
        "integers. Else the format is the one of that width that holds the range, with the largest error of "
        "rounding into it.",
        "Qm.n leaves the sign out, ap_fixed<W,I> counts it: Q3.4 is ap_fixed<8,4>.",
        "",
        "| layer | tensor | bits | range | Q format | HLS type | largest error |",
        "|---|---|---|---|---|---|---|",
    ]
    for note in found:
        what = note.tensor
        if note.channels is not None:
            what += f" ({note.channels} channel{'s' * (note.channels > 1)})"
        error = "exact" if note.exact else f"{note.max_error:.3g}"
        lines.append(
            f"| {note.layer} | {what} | {note.bits} | {note.low:.6g} .. {note.high:.6g} | "
            f"{note.fixed.q_notation} | `{note.fixed}` | {error} |"
        )
    return "\n".join([*lines, ""])
