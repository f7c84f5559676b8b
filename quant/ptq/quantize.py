"""Post-training quantization: a folded float network and its ranges become an integer graph."""

import torch

from accel import ir
from accel.reference import check_accumulators
from quant.arithmetic import khot, multipliers, scales
from quant.frontend.floatnet import FloatConv, FloatPool
from quant.frontend.fold import PIXEL_SCALE
from quant.ptq.options import PtqOptions

BIAS_LIMIT = 2 ** 30
INPUT_BITS = 8
DEAD_CHANNEL_BIAS = 2 ** 20


def quantize(prepared, ranges, options=None, class_names=()):
    """The integer graph of a PreparedNetwork. ranges: {tensor: (low, high)} from calibration, 'input'
    included.

    Hidden layers get per-channel weight scales. A last layer with weights and without a clamp puts out raw
    int32, so its weights share one scale. Raises RangeError where a bias, multiplier or accumulator cannot
    be represented.
    """
    options = options or PtqOptions(encoding=prepared.encoding)
    network = prepared.network
    height, width, channels = network.input_shape
    if prepared.encoding == "uint8":
        scale, zero_point = scales.float32(PIXEL_SCALE), prepared.zero_point
    else:
        scale, zero_point = scales.affine_scale(*ranges["input"], INPUT_BITS)
    tensor = graph_input = ir.TensorType(height, width, channels, INPUT_BITS, scale, zero_point)
    layers, name = [], ir.INPUT_NAME
    widths = iter(options.layer_widths(network))
    for layer in network.layers:
        if isinstance(layer, FloatPool):
            shape = layer.output_shape(tensor.shape)
            output = ir.TensorType(*shape, tensor.bits, tensor.scale, tensor.zero_point)
            windows = layer.kernel, layer.stride, layer.pads
            layers.append(ir.MaxPool(layer.name, name, tensor, output, *windows))
        else:
            bits = next(widths)
            bounds = None if bits.activation_bits is None else ranges[layer.name]
            layers.append(_weighted(layer, name, tensor, bounds, bits, options))
            check_accumulators(layers[-1])
        name, tensor = layer.name, layers[-1].output
    encoding = ir.InputEncoding(prepared.encoding, prepared.mean, prepared.std)
    if len(class_names) != tensor.elements:
        class_names = ()
    return ir.Graph(network.name, graph_input, encoding, tuple(layers), tuple(class_names))


def _weighted(layer, input_name, tensor, bounds, width, options):
    """One ir.Conv2D or ir.Dense. bounds: observed (low, high) of its output, None for raw int32; width: LayerWidth."""
    raw = bounds is None
    low, high = scales.weight_limits(width.weight_bits, options.full_range)
    scale = _weight_scales(layer, tensor.scale, width.weight_bits, options.full_range, per_tensor=raw)
    shape = layer.output_shape(tensor.shape)
    requantize = None
    if raw:
        output = ir.TensorType(*shape, ir.RAW_BITS, float(scale[0]) * tensor.scale, 0)
    else:
        out_scale, zero_point = scales.affine_scale(*bounds, width.activation_bits)
        output = ir.TensorType(*shape, width.activation_bits, out_scale, zero_point)
        scale, multiplier, shift = multipliers.fit_scales(layer.name, scale, tensor.scale / out_scale, options.rule,
                                                          options.requantizer)
        limits = scales.clamp_bounds(layer.clamp, output.scale, output.zero_point, output.bits)
        requantize = ir.Requantize(options.rule, multiplier, shift, *limits)
    weights = _weight_integers(layer.weight, scale, low, high, width.weight_bits, options)
    bias = torch.round(layer.bias / (scale * tensor.scale)).long()
    common = {"name": layer.name, "input_name": input_name, "input": tensor, "output": output,
              "weight_bits": width.weight_bits, "weight_scale": scale.numpy(), "bias": bias.numpy(),
              "requantize": requantize}
    if isinstance(layer, FloatConv):
        weights = weights.permute(0, 2, 3, 1).contiguous()
        return ir.Conv2D(weights=weights.numpy(), stride=layer.stride, pads=layer.pads, **common)
    return ir.Dense(weights=weights.numpy(), **common)


def _weight_integers(weight, scale, low, high, bits, options):
    """int64 weights in steps of the scale [OC]: signs, K-hot or plain rounded integers."""
    columns = scale.reshape(-1, *(1,) * (weight.dim() - 1))
    if bits == 1:
        return torch.where(weight < 0, -1, 1)
    if options.weights_khot is not None:
        return khot.round_weights(weight / columns, low, high)
    return scales.to_integers(weight, columns, 0, low, high)


def _weight_scales(layer, input_scale, bits, full_range, per_tensor):
    """float64 [OC] scales (float32 values) of the weights, widened where a large bias would leave int32.

    per_tensor: one scale for all channels, as raw accumulators that are compared with each other need.
    """
    rows = layer.weight.flatten(1)
    if per_tensor:
        rows = rows.reshape(1, -1)
    signs = bits == 1
    by_weight = torch.tensor([_scale_of(row, bits, full_range) for row in rows]).double().expand(len(layer.weight))
    by_bias = layer.bias.abs() / (input_scale * BIAS_LIMIT)
    if per_tensor:
        by_bias = by_bias.max().expand(len(layer.weight))
    # A channel without weights takes its scale from the bias alone, or the bias would be rounded coarsely.
    dead = (rows == 0).all(1) & (layer.bias != 0)
    by_weight = torch.where(dead, by_bias * (1 if signs else BIAS_LIMIT / DEAD_CHANNEL_BIAS), by_weight)
    return torch.maximum(by_weight, by_bias).clamp(min=scales.SMALLEST_SCALE).float().double()


def _scale_of(row, bits, full_range):
    """Scale of one row of weights: max|w| / largest integer, for signs the mean of |w|."""
    if bits == 1:
        mean = scales.float32(row.abs().mean())
        return max(mean, scales.SMALLEST_SCALE) if mean else 1.0
    largest = float(row.abs().max())
    if full_range and float(row.max()) < largest:
        low, high = scales.integer_range(bits)
        largest = max(float(row.max()), -float(row.min()) * high / -low)
    return scales.symmetric_scale(largest, bits)
