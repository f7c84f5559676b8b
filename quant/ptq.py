"""Post-training quantization: a folded float network and its ranges become an integer graph."""

from dataclasses import dataclass

import torch

from accel import ir
from accel.errors import RangeError, UnsupportedError
from accel.reference import check_accumulators
from quant import scales
from quant.floatnet import NO_CLAMP, FloatConv, FloatPool
from quant.fold import PIXEL_SCALE, fold_input

BIAS_LIMIT = 2 ** 30
DEAD_CHANNEL_BIAS = 2 ** 20


@dataclass(frozen=True)
class PtqOptions:
    """weight_bits, activation_bits: 8. rule: rounding rule of every layer. encoding: 'uint8' or 'float'
    input."""

    weight_bits: int = 8
    activation_bits: int = 8
    rule: str = "half_up"
    encoding: str = "uint8"

    def __post_init__(self):
        for name in ("weight_bits", "activation_bits"):
            if getattr(self, name) != 8:
                raise UnsupportedError(f"{name}={getattr(self, name)} is not supported by post-training "
                                       "quantization; use 8")
        if self.rule not in scales.RULES:
            raise UnsupportedError(f"rounding rule '{self.rule}' is unknown; choose one of "
                                   f"{', '.join(scales.RULES)}")
        if self.encoding not in ir.ENCODINGS:
            raise UnsupportedError(f"input encoding '{self.encoding}' is unknown; choose one of "
                                   f"{', '.join(ir.ENCODINGS)}")


@dataclass(frozen=True, eq=False)
class PreparedNetwork:
    """A float network whose input is what the integer graph's input stands for.

    network: FloatNetwork over r. mean, std: tuples of the user's normalization. encoding: 'uint8' or 'float'.
    zero_point: of the uint8 input (None for float, where calibration decides).
    """

    network: object
    mean: tuple
    std: tuple
    encoding: str
    zero_point: int | None

    def input_values(self, images):
        """uint8 [N, H, W, C] (or normalized float32 images) -> float64 [N, C, H, W], the network's real
        input."""
        values = torch.as_tensor(images.copy()).permute(0, 3, 1, 2)
        if self.encoding == "uint8":
            if values.dtype != torch.uint8:
                raise UnsupportedError(f"{self.network.name}: images have dtype {images.dtype} but the input "
                                       "encoding is uint8; use --input float")
            return (values.double() - (self.zero_point + 128)) * scales.float32(PIXEL_SCALE)
        if values.dtype != torch.uint8:
            return values.double()
        mean, std = (torch.tensor(item).float().reshape(-1, 1, 1) for item in (self.mean, self.std))
        return ((values.float() / 255 - mean) / std).double()


def prepare(network, mean=(0.0,), std=(1.0,), encoding="uint8"):
    """Fold the input normalization into the network (uint8) or leave it to the quantizer unit (float)."""
    channels = network.input_shape[2]
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, channels):
            raise UnsupportedError(f"{network.name}: {name} has {len(values)} values for {channels} "
                                   f"channel{'s' * (channels > 1)}; give one, or one per channel")
    if not all(value > 0 for value in std):
        raise RangeError(f"{network.name}: std {tuple(std)} must be positive")
    if encoding == "float":
        return PreparedNetwork(network, tuple(mean), tuple(std), encoding, None)
    folded, zero_point = fold_input(network, mean, std)
    return PreparedNetwork(folded, tuple(mean), tuple(std), encoding, zero_point)


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
        scale, zero_point = scales.affine_scale(*ranges["input"], options.activation_bits)
    tensor = graph_input = ir.TensorType(height, width, channels, options.activation_bits, scale, zero_point)
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
    scale = _weight_scales(layer, tensor.scale, options.weight_bits, per_tensor=raw)
    largest = scales.integer_range(options.weight_bits)[1]
    columns = scale.reshape(-1, *(1,) * (layer.weight.dim() - 1))
    weights = scales.to_integers(layer.weight, columns, 0, -largest, largest)
    bias = torch.round(layer.bias / (scale * tensor.scale)).long()
    shape = layer.output_shape(tensor.shape)
    if raw:
        output, requantize = ir.TensorType(*shape, ir.RAW_BITS, float(scale[0]) * tensor.scale, 0), None
    else:
        out_scale, zero_point = scales.affine_scale(*bounds, options.activation_bits)
        output = ir.TensorType(*shape, options.activation_bits, out_scale, zero_point)
        requantize = _requantize(layer, scale * tensor.scale, output, options.rule)
    common = {"name": layer.name, "input_name": input_name, "input": tensor, "output": output,
              "weight_bits": options.weight_bits, "weight_scale": scale.numpy(), "bias": bias.numpy(),
              "requantize": requantize}
    if isinstance(layer, FloatConv):
        weights = weights.permute(0, 2, 3, 1).contiguous()
        return ir.Conv2D(weights=weights.numpy(), stride=layer.stride, pads=layer.pads, **common)
    return ir.Dense(weights=weights.numpy(), **common)


def _weight_scales(layer, input_scale, bits, per_tensor):
    """float64 [OC] scales (float32 values) of the weights, widened where a large bias would leave int32.

    per_tensor: one scale for all channels, as raw accumulators that are compared with each other need.
    """
    largest = layer.weight.flatten(1).abs().amax(1)
    if per_tensor:
        largest = largest.max().expand(len(largest))
    by_weight = torch.tensor([scales.symmetric_scale(value, bits) for value in largest.tolist()]).double()
    by_bias = layer.bias.abs() / (input_scale * BIAS_LIMIT)
    if per_tensor:
        by_bias = by_bias.max().expand(len(largest))
    # A channel without weights takes its scale from the bias alone, or the bias would be rounded coarsely.
    dead = (largest == 0) & (layer.bias != 0)
    by_weight = torch.where(dead, by_bias * (BIAS_LIMIT / DEAD_CHANNEL_BIAS), by_weight)
    return torch.maximum(by_weight, by_bias).clamp(min=scales.SMALLEST_SCALE).float().double()


def _requantize(layer, accumulator_scale, output, rule):
    pairs = []
    for channel, scale in enumerate(accumulator_scale.tolist()):
        try:
            pairs.append(scales.choose_multiplier(scale / output.scale, rule))
        except RangeError as error:
            raise RangeError(f"{layer.name}: channel {channel}: {error}") from None
    multiplier, shift = torch.tensor(pairs, dtype=torch.int64).T.numpy()
    qmin, qmax = scales.clamp_bounds(layer.clamp, output.scale, output.zero_point, output.bits)
    return ir.Requantize(rule, multiplier, shift, qmin, qmax)
