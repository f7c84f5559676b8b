"""Post-training quantization: a folded float network and its ranges become an integer graph."""

from dataclasses import dataclass

import torch

from accel import ir
from accel.errors import UnsupportedError
from accel.reference import check_accumulators
from quant.arithmetic import khot, multipliers, scales
from quant.frontend.floatnet import NO_CLAMP, FloatConv, FloatPool
from quant.frontend.fold import PIXEL_SCALE

BIAS_LIMIT = 2 ** 30
INPUT_BITS = 8
DEAD_CHANNEL_BIAS = 2 ** 20
WEIGHT_BITS = (8, 6, 4, 2, 1)
ACTIVATION_BITS = (8, 4, 2)  # a sign needs training


@dataclass(frozen=True)
class PtqOptions:
    """weight_bits: of every layer. activation_bits: of the layers' outputs; the input has 8. rule: rounding rule
    of every layer. encoding: 'uint8' or 'float' input. full_range: weights may be -2^(b-1). requantizer: the
    multipliers of the build. weights_khot: weights become sums or differences of so many powers of two (2 or None).
    """

    weight_bits: int = 8
    activation_bits: int = 8
    rule: str = "half_up"
    encoding: str = "uint8"
    full_range: bool = False
    requantizer: str = "full"
    weights_khot: int | None = None

    def __post_init__(self):
        for name, allowed in (("weight_bits", WEIGHT_BITS), ("activation_bits", ACTIVATION_BITS)):
            if getattr(self, name) not in allowed:
                raise UnsupportedError(f"{name}={getattr(self, name)} is not supported by post-training "
                                       f"quantization; use one of {', '.join(map(str, allowed))}")
        multipliers.check_requantizer(self.requantizer)
        if self.weights_khot not in (None, 2):
            raise UnsupportedError(f"weights_khot={self.weights_khot} is not supported; use 2")
        if self.rule not in scales.RULES:
            raise UnsupportedError(f"rounding rule '{self.rule}' is unknown; choose one of "
                                   f"{', '.join(scales.RULES)}")
        if self.encoding not in ir.ENCODINGS:
            raise UnsupportedError(f"input encoding '{self.encoding}' is unknown; choose one of "
                                   f"{', '.join(ir.ENCODINGS)}")


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
    for index, layer in enumerate(network.layers):
        if isinstance(layer, FloatPool):
            shape = layer.output_shape(tensor.shape)
            output = ir.TensorType(*shape, tensor.bits, tensor.scale, tensor.zero_point)
            windows = layer.kernel, layer.stride, layer.pads
            layers.append(ir.MaxPool(layer.name, name, tensor, output, *windows))
        else:
            raw = index == len(network.layers) - 1 and layer.clamp == NO_CLAMP
            layers.append(_weighted(layer, name, tensor, None if raw else ranges[layer.name], options))
            check_accumulators(layers[-1])
        name, tensor = layer.name, layers[-1].output
    encoding = ir.InputEncoding(prepared.encoding, prepared.mean, prepared.std)
    if len(class_names) != tensor.elements:
        class_names = ()
    return ir.Graph(network.name, graph_input, encoding, tuple(layers), tuple(class_names))


def _weighted(layer, input_name, tensor, bounds, options):
    """One ir.Conv2D or ir.Dense. bounds: calibrated (low, high) of its output, None for raw int32."""
    raw = bounds is None
    low, high = scales.weight_limits(options.weight_bits, options.full_range)
    scale = _weight_scales(layer, tensor.scale, options, per_tensor=raw)
    shape = layer.output_shape(tensor.shape)
    requantize = None
    if raw:
        output = ir.TensorType(*shape, ir.RAW_BITS, float(scale[0]) * tensor.scale, 0)
    else:
        out_scale, zero_point = scales.affine_scale(*bounds, options.activation_bits)
        output = ir.TensorType(*shape, options.activation_bits, out_scale, zero_point)
        scale, multiplier, shift = multipliers.fit_scales(layer.name, scale, tensor.scale / out_scale, options.rule,
                                                          options.requantizer)
        limits = scales.clamp_bounds(layer.clamp, output.scale, output.zero_point, output.bits)
        requantize = ir.Requantize(options.rule, multiplier, shift, *limits)
    weights = _weight_integers(layer.weight, scale, low, high, options)
    bias = torch.round(layer.bias / (scale * tensor.scale)).long()
    common = {"name": layer.name, "input_name": input_name, "input": tensor, "output": output,
              "weight_bits": options.weight_bits, "weight_scale": scale.numpy(), "bias": bias.numpy(),
              "requantize": requantize}
    if isinstance(layer, FloatConv):
        weights = weights.permute(0, 2, 3, 1).contiguous()
        return ir.Conv2D(weights=weights.numpy(), stride=layer.stride, pads=layer.pads, **common)
    return ir.Dense(weights=weights.numpy(), **common)


def _weight_integers(weight, scale, low, high, options):
    """int64 weights in steps of the scale [OC]: signs, K-hot or plain rounded integers."""
    columns = scale.reshape(-1, *(1,) * (weight.dim() - 1))
    if options.weight_bits == 1:
        return torch.where(weight < 0, -1, 1)
    if options.weights_khot is not None:
        return khot.round_weights(weight / columns, low, high)
    return scales.to_integers(weight, columns, 0, low, high)


def _weight_scales(layer, input_scale, options, per_tensor):
    """float64 [OC] scales (float32 values) of the weights, widened where a large bias would leave int32.

    per_tensor: one scale for all channels, as raw accumulators that are compared with each other need.
    """
    rows = layer.weight.flatten(1)
    if per_tensor:
        rows = rows.reshape(1, -1)
    signs = options.weight_bits == 1
    by_weight = torch.tensor([_scale_of(row, options) for row in rows]).double().expand(len(layer.weight))
    by_bias = layer.bias.abs() / (input_scale * BIAS_LIMIT)
    if per_tensor:
        by_bias = by_bias.max().expand(len(layer.weight))
    # A channel without weights takes its scale from the bias alone, or the bias would be rounded coarsely.
    dead = (rows == 0).all(1) & (layer.bias != 0)
    by_weight = torch.where(dead, by_bias * (1 if signs else BIAS_LIMIT / DEAD_CHANNEL_BIAS), by_weight)
    return torch.maximum(by_weight, by_bias).clamp(min=scales.SMALLEST_SCALE).float().double()


def _scale_of(row, options):
    """Scale of one row of weights: max|w| / largest integer, for signs the mean of |w|."""
    if options.weight_bits == 1:
        mean = scales.float32(row.abs().mean())
        return max(mean, scales.SMALLEST_SCALE) if mean else 1.0
    largest = float(row.abs().max())
    if options.full_range and float(row.max()) < largest:
        low, high = scales.integer_range(options.weight_bits)
        largest = max(float(row.max()), -float(row.min()) * high / -low)
    return scales.symmetric_scale(largest, options.weight_bits)
