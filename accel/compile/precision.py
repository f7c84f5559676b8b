"""Chooses the widths of every layer: how its weights are stored and what the array computes in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from accel.config import SHIFT_ADD, bits_code
from accel.errors import FitError
from accel.rtl.array.mac_array import packed_range
from accel.rtl.array.shift_codes import CODES
from accel.tensor import RAW_BITS

if TYPE_CHECKING:
    from accel.config import HardwareConfig
    from accel.ir import Graph, WeightedLayer


@dataclass(frozen=True)
class Precision:
    """Widths of one layer on one build.

    compute_bits: mode of the array. weight_bits: width of a weight in the weight bank. input_bits, output_bits: widths
    of the stored activations, output 32 for raw accumulators. note: where the layer runs or is stored wider than its
    own widths, and why.
    """

    compute_bits: int
    weight_bits: int
    input_bits: int
    output_bits: int
    note: str = ""

    @property
    def channels_per_byte(self) -> int:
        """Channels that a lane multiplies in a cycle."""
        return 8 // self.compute_bits

    @property
    def array_words(self) -> int:
        """Words of the array that one word of the weight bank holds."""
        return self.compute_bits // self.weight_bits

    @property
    def input_spread(self) -> int:
        """Lanes that one source byte fills."""
        return self.compute_bits // self.input_bits

    @property
    def pad_weight(self) -> int:
        """Weight of the channels that fill up a byte or a word."""
        return 1 if self.weight_bits == 1 else 0

    @property
    def codes(self) -> dict[str, int]:
        """The descriptor's width fields; raw output has the code 0."""
        output_bits = 8 if self.output_bits == RAW_BITS else self.output_bits
        widths = {
            "compute": self.compute_bits,
            "weight": self.weight_bits,
            "input": self.input_bits,
            "output": output_bits,
        }
        return {f"{name}_code": bits_code(bits) for name, bits in widths.items()}


def precisions_for(graph: Graph) -> tuple[int, ...]:
    """The widths of a build that runs `graph` and gains all that it offers: 8 and every width in the graph."""
    tensors = [graph.input, *(layer.output for layer in graph.layers)]
    used = {tensor.bits for tensor in tensors} | {layer.weight_bits for layer in graph.layers if layer.op != "maxpool"}
    return tuple(sorted((used | {8}) - {RAW_BITS}, reverse=True))


def layer_precision(layer: WeightedLayer, config: HardwareConfig) -> Precision:
    """The Precision of a layer with weights: the smallest storage that the build has, the narrowest exact mode.

    Raises FitError where the build lacks the width of an activation.
    """
    output_bits = layer.output.bits
    for side, bits in (("input", layer.input.bits), ("output", 8 if output_bits == RAW_BITS else output_bits)):
        if bits not in config.modes:
            widths = ",".join(map(str, sorted({*config.precisions, bits}, reverse=True)))
            raise FitError(
                f"{layer.name}: the {bits}-bit {side} needs a mode that the build does not have; "
                f"build with --precisions {widths}"
            )
    storage = min(bits for bits in config.modes if bits >= min(8, _storage_bits(layer.weight_bits)))
    precision = Precision(
        max(storage, layer.input.bits),
        storage,
        layer.input.bits,
        output_bits,
        _storage_note(layer.weight_bits, storage, config),
    )
    if config.multiplier == SHIFT_ADD:
        _check_powers(layer)
    if config.approximate and layer.weight_bits != 6:
        raise FitError(
            f"{layer.name}: {layer.weight_bits}-bit weights, but int6_multiplier=approximate multiplies 6-bit weights "
            "only; quantize the layer to 6 bits or leave the option out"
        )
    precision = _without_silent_pads(layer, _in_packed_range(layer, precision, config), config)
    if precision.input_spread > config.lanes:
        raise FitError(
            f"{layer.name}: {layer.input.bits}-bit input computed in {precision.compute_bits} bits needs "
            f"{precision.input_spread} lanes but the build has {config.lanes}; raise lanes"
        )
    return precision


def _check_powers(layer: WeightedLayer) -> None:
    """Raise FitError for a weight that a shift-add array does not have."""
    bad = np.argwhere(~np.isin(layer.weights, list(CODES)))
    if bad.size:
        weight = int(layer.weights[tuple(bad[0])])
        raise FitError(
            f"{layer.name}: the weight {weight} of channel {int(bad[0][0])} is no sum or difference of two "
            "powers of two, as multiplier=shift_add needs; export the model with such weights or choose "
            "another multiplier"
        )


def _storage_bits(weight_bits: int) -> int:
    return 8 if weight_bits == 6 else weight_bits


def _wider(bits: int, config: HardwareConfig) -> int:
    """The next wider mode of the build."""
    return min(mode for mode in config.modes if mode > bits)


def _storage_note(weight_bits: int, storage: int, config: HardwareConfig) -> str:
    """What is lost where the build lacks the width of the weights."""
    if weight_bits in config.precisions:
        return ""
    place = "sends" if weight_bits == 6 else "stores"
    return f"{place} {weight_bits}-bit weights in {storage} bits: the build has no {weight_bits}-bit width"


def _with_note(precision: Precision, note: str, **changes: int) -> Precision:
    """The Precision with changes and one more note."""
    return replace(precision, note="; ".join(part for part in (precision.note, note) if part), **changes)


def _in_packed_range(layer: WeightedLayer, precision: Precision, config: HardwareConfig) -> Precision:
    """Compute wider where a weight leaves the range that the array multiplies exactly in this mode."""
    weights = layer.weights.reshape(layer.weights.shape[0], -1)
    while precision.compute_bits < 8:
        ranges = np.array([packed_range(config, precision.compute_bits, row) for row in range(config.rows)])
        low, high = ranges[np.arange(len(weights)) % config.rows].T
        bad = np.flatnonzero((weights.min(axis=1) < low) | (weights.max(axis=1) > high))
        if not bad.size:
            break
        channel, wider = int(bad[0]), _wider(precision.compute_bits, config)
        worst = weights[channel].min() if weights[channel].min() < low[channel] else weights[channel].max()
        precision = _with_note(
            precision,
            compute_bits=wider,
            note=(
                f"computes in {wider} bits: the weight {worst} of channel {channel} is outside {low[channel]}.."
                f"{high[channel]}, which {precision.compute_bits}-bit packing multiplies exactly"
            ),
        )
    return precision


def _without_silent_pads(layer: WeightedLayer, precision: Precision, config: HardwareConfig) -> Precision:
    """Store wider where 1-bit weights, which have no zero, would meet zero points in the pad channels of padding."""
    padded = layer.op == "conv2d" and any(layer.pads)
    filled = layer.input.stored_channels > layer.input.channels
    if not (precision.weight_bits == 1 < precision.compute_bits and filled and padded and layer.input.zero_point):
        return precision
    wider = _wider(1, config)
    return _with_note(
        precision,
        weight_bits=wider,
        note=(
            f"stores weights in {wider} bits: 1-bit weights have no zero for the {layer.input.stored_channels} stored "
            f"channels of {layer.input.channels} where padding holds the zero point {layer.input.zero_point}"
        ),
    )
