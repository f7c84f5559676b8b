"""A trained QatNetwork as an integer graph."""

from fractions import Fraction

import torch

from accel import ir
from accel.reference import accumulator_bounds, check_accumulators
from quant.arithmetic import multipliers, scales
from quant.arithmetic.thresholds import fold_batch_norm
from quant.frontend.floatnet import has_weights
from quant.frontend.fold import PIXEL_SCALE
from quant.qat.norm import PositiveNorm


@torch.no_grad()
def export(network, name, *, rule="half_up", class_names=(), notes=None):
    """The ir.Graph of a QatNetwork in eval mode.

    Raises RangeError where a threshold, bias, multiplier or accumulator cannot be represented.
    """
    prepared = network.prepared
    height, width, channels = prepared.network.input_shape
    tensor = graph_input = ir.TensorType(height, width, channels, 8, scales.float32(PIXEL_SCALE), prepared.zero_point)
    source, layers, previous = network.source, [], ir.INPUT_NAME
    trained = iter(network.layers)
    for layer in prepared.network.layers:
        if has_weights(layer):
            own = next(trained)
            layers.append(_weighted(layer, own, previous, tensor, source, rule))
            check_accumulators(layers[-1])
            source = own.activation
        else:
            shape = layer.output_shape(tensor.shape)
            output = ir.TensorType(*shape, tensor.bits, tensor.scale, tensor.zero_point)
            layers.append(ir.MaxPool(layer.name, previous, tensor, output, layer.kernel, layer.stride, layer.pads))
        previous, tensor = layer.name, layers[-1].output
    encoding = ir.InputEncoding("uint8", prepared.mean, prepared.std)
    if len(class_names) != tensor.elements:
        class_names = ()
    return ir.Graph(name, graph_input, encoding, tuple(layers), tuple(class_names), dict(notes or {}))


def _weighted(layer, own, previous, tensor, source, rule):
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
    requantize = None
    if own.output_bits is None:
        output = ir.TensorType(*shape, ir.RAW_BITS, float(accumulator_scale[0]), 0)
    elif own.output_bits == 1:
        output = ir.TensorType(*shape, 1, 1.0, 0)
    else:
        activation = own.activation
        output = ir.TensorType(*shape, own.output_bits, float(activation.scale()), activation.zero_point)
        reals = (accumulator_scale / output.scale).tolist()
        multiplier, shift = multipliers.representable(layer.name, reals, rule, own.requantizer)
        limits = scales.clamp_bounds(layer.clamp, output.scale, output.zero_point, output.bits)
        requantize = ir.Requantize(rule, multiplier, shift, *limits)
    common = {
        "name": layer.name,
        "input_name": previous,
        "input": tensor,
        "weight_bits": quantizer.bits,
        "weight_scale": scale.numpy(),
        "bias": bias.numpy(),
    }
    if own.is_conv:
        weights = weights.permute(0, 2, 3, 1).contiguous()
        make, common = ir.Conv2D, {**common, "stride": layer.stride, "pads": layer.pads}
    else:
        make = ir.Dense
    common["weights"] = weights.numpy()
    if own.output_bits == 1:
        raw = make(output=ir.TensorType(*shape, ir.RAW_BITS, 1.0, 0), requantize=None, **common)
        exact = [Fraction(value) * Fraction(tensor.scale) for value in scale.tolist()]
        norm = own.norm.plain() if isinstance(own.norm, PositiveNorm) else own.norm
        threshold, invert = fold_batch_norm(layer.name, norm, exact, *accumulator_bounds(raw))
        requantize = ir.Threshold(threshold, invert)
    return make(output=output, requantize=requantize, **common)
