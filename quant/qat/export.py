"""A trained QatNetwork as an integer graph."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import torch

from accel import ir
from accel.reference import accumulator_bounds, check_accumulators
from accel.tensor import RAW_BITS, Requantize, TensorType, Threshold
from quant.arithmetic import multipliers, scales
from quant.arithmetic.thresholds import fold_batch_norm
from quant.frontend.floatnet import has_weights
from quant.frontend.fold import PIXEL_SCALE
from quant.qat.norm import PositiveNorm

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from accel.types import Notes
    from quant.frontend.floatnet import Weighted
    from quant.qat.qat_network import QatLayer, QatNetwork
    from quant.qat.ste import Quantizer


@torch.no_grad()
def export(
    network: QatNetwork,
    name: str,
    *,
    rule: str = "half_up",
    class_names: Sequence[str] = (),
    notes: Notes | None = None,
) -> ir.Graph:
    """The ir.Graph of a QatNetwork in eval mode.

    Raises RangeError where a threshold, bias, multiplier or accumulator cannot be represented.
    """
    prepared = network.prepared
    height, width, channels = prepared.network.input_shape
    tensor = graph_input = TensorType(height, width, channels, 8, scales.float32(PIXEL_SCALE), prepared.zero_point or 0)
    layers: list[ir.Layer] = []
    source: Quantizer = network.source
    previous = ir.INPUT_NAME
    trained = iter(network.layers)
    for layer in prepared.network.layers:
        if has_weights(layer):
            own = next(trained)
            built = _weighted(layer, own, previous, tensor, source, rule)
            check_accumulators(built)
            layers.append(built)
            source = own.activation
        else:
            shape = layer.output_shape(tensor.shape)
            output = TensorType(*shape, tensor.bits, tensor.scale, tensor.zero_point)
            layers.append(ir.MaxPool(layer.name, previous, tensor, output, layer.kernel, layer.stride, layer.pads))
        previous, tensor = layer.name, layers[-1].output
    encoding = ir.InputEncoding("uint8", prepared.mean, prepared.std)
    if len(class_names) != tensor.elements:
        class_names = ()
    return ir.Graph(name, graph_input, encoding, tuple(layers), tuple(class_names), dict(notes or {}))


def _weighted(
    layer: Weighted, own: QatLayer, previous: str, tensor: TensorType, source: Quantizer, rule: str
) -> ir.WeightedLayer:
    """One ir.Conv2D or ir.Dense with the trained integers."""
    quantizer = own.quantizer
    columns = own.weight_scale(source)
    weights = quantizer.integers(own.weight, columns)
    columns, real_bias = own.folded(source)
    step = columns.flatten().expand(len(own.weight))
    bias = torch.zeros(len(weights), dtype=torch.int64)
    if real_bias is not None:
        bias = torch.round(real_bias / (step * source.scale())).long()
    scale = step.double()
    shape = layer.output_shape(tensor.shape)
    accumulator_scale = scale * tensor.scale
    requantize: Requantize | Threshold | None = None
    if own.output_bits is None or own.activation is None:
        output = TensorType(*shape, RAW_BITS, float(accumulator_scale[0]), 0)
    elif own.output_bits == 1:
        output = TensorType(*shape, 1, 1.0, 0)
    else:
        activation = own.activation
        output = TensorType(*shape, own.output_bits, float(activation.scale()), activation.zero_point)
        reals = (accumulator_scale / output.scale).tolist()
        multiplier, shift = multipliers.representable(layer.name, reals, rule, own.requantizer)
        limits = scales.clamp_bounds(layer.clamp, output.scale, output.zero_point, output.bits)
        requantize = Requantize(rule, multiplier, shift, *limits)
    common: dict[str, Any] = {
        "name": layer.name,
        "input_name": previous,
        "input": tensor,
        "weight_bits": quantizer.bits,
        "weight_scale": scale.numpy(),
        "bias": bias.numpy(),
    }
    if own.is_conv:
        weights = weights.permute(0, 2, 3, 1).contiguous()
        common |= {"stride": own.stride, "pads": own.pads}
    make: type[ir.WeightedLayer] = ir.Conv2D if own.is_conv else ir.Dense
    common["weights"] = weights.numpy()
    if own.output_bits == 1 and own.norm is not None:
        raw = make(output=TensorType(*shape, RAW_BITS, 1.0, 0), requantize=None, **common)
        exact = [Fraction(value) * Fraction(tensor.scale) for value in scale.tolist()]
        norm = own.norm.plain() if isinstance(own.norm, PositiveNorm) else own.norm
        threshold, invert = fold_batch_norm(layer.name, norm, exact, *accumulator_bounds(raw))
        requantize = Threshold(threshold, invert)
    return make(output=output, requantize=requantize, **common)
