"""Post-training quantization: a folded float network and its ranges become an integer graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from accel import ir
from accel.errors import DataError
from accel.reference import check_accumulators
from accel.tensor import RAW_BITS, Requantize, TensorType
from quant.arithmetic import multipliers, scales
from quant.frontend.floatnet import FloatConv, FloatPool
from quant.ptq import bias_correction
from quant.ptq.options import INPUT_BITS, LayerWidth, PtqOptions
from quant.ptq.stream import LayerStream
from quant.ptq.weights import weight_integers, weight_scales

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from accel.types import Array
    from quant.frontend.floatnet import Weighted
    from quant.frontend.prepare import PreparedNetwork
    from quant.ptq.layer_data import LayerData

__all__ = ["LayerWidth", "PtqOptions", "quantize"]


def quantize(
    prepared: PreparedNetwork,
    ranges: Mapping[str, tuple[float, float]],
    options: PtqOptions | None = None,
    class_names: Sequence[str] = (),
    images: Array | None = None,
    advance: Callable[[float], None] = lambda share: None,
) -> ir.Graph:
    """The integer graph of a PreparedNetwork. ranges: {tensor: (low, high)} from calibration; of 'input' too for a
    float input.

    Hidden layers get per-channel weight scales. A last layer with weights and without a clamp puts out raw
    int32, so its weights share one scale. images: calibration images for bias correction and for the roundings that
    learn; layer by layer they go through the float network and through the integer network made so far, so that the
    errors of earlier layers count. advance(share) is called per layer, the shares' sum is 1. Raises RangeError where a
    bias, multiplier or accumulator cannot be represented, DataError where images are missing.
    """
    options = options or PtqOptions(encoding=prepared.encoding)
    network = prepared.network
    tensor = graph_input = _input_tensor(prepared, ranges, options)
    stream = None
    if options.needs_images:
        if images is None or not len(images):
            raise DataError(f"{network.name}: needs images to correct biases or learn a rounding; pass some")
        stream = LayerStream(prepared, images[: options.layer_images], tensor)
    layers: list[ir.Layer] = []
    name = ir.INPUT_NAME
    widths = iter(options.layer_widths(network))
    for layer in network.layers:
        if isinstance(layer, FloatPool):
            shape = layer.output_shape(tensor.shape)
            output = TensorType(*shape, tensor.bits, tensor.scale, tensor.zero_point)
            built: ir.Layer = ir.MaxPool(layer.name, name, tensor, output, layer.kernel, layer.stride, layer.pads)
        else:
            bits = next(widths)
            bounds = None if bits.activation_bits is None else ranges[layer.name]
            data = None if stream is None else stream.data(layer, tensor)
            own = _weighted(layer, name, tensor, bounds, bits, options, data)
            if options.bias_correction and stream is not None and data is not None:
                own = bias_correction.corrected(own, stream.accumulators(own), data.targets)
            check_accumulators(own)
            built = own
        if stream is not None:
            stream.step(layer, built)
        layers.append(built)
        name, tensor = layer.name, built.output
        advance(1 / len(network.layers))
    encoding = ir.InputEncoding(prepared.encoding, prepared.mean, prepared.std)
    if len(class_names) != tensor.elements:
        class_names = ()
    return ir.Graph(network.name, graph_input, encoding, tuple(layers), tuple(class_names))


def _input_tensor(
    prepared: PreparedNetwork, ranges: Mapping[str, tuple[float, float]], options: PtqOptions
) -> TensorType:
    if prepared.encoding == "uint8":
        scale, zero_point = scales.float32(prepared.pixel_scale), prepared.zero_point or 0
    else:
        scale, zero_point = options.grid(INPUT_BITS).fit(*ranges[ir.INPUT_NAME])
    return TensorType(*prepared.network.input_shape, INPUT_BITS, scale, zero_point)


def _weighted(
    layer: Weighted,
    input_name: str,
    tensor: TensorType,
    bounds: tuple[float, float] | None,
    width: LayerWidth,
    options: PtqOptions,
    data: LayerData | None,
) -> ir.WeightedLayer:
    """One ir.Conv2D or ir.Dense. bounds: observed (low, high) of its output, None for raw int32; width: LayerWidth;
    data: LayerData or None."""
    scale = weight_scales(layer, tensor.scale, width.weight_bits, options, per_tensor=bounds is None)
    shape = layer.output_shape(tensor.shape)
    requantize = None
    if bounds is None or width.activation_bits is None:
        output = TensorType(*shape, RAW_BITS, float(scale[0]) * tensor.scale, 0)
    else:
        out_scale, zero_point = options.grid(width.activation_bits).fit(*bounds)
        output = TensorType(*shape, width.activation_bits, out_scale, zero_point)
        scale, multiplier, shift = multipliers.fit_scales(
            layer.name, scale, tensor.scale / out_scale, options.rule, options.requantizer
        )
        limits = scales.clamp_bounds(layer.clamp, output.scale, output.zero_point, output.bits)
        requantize = Requantize(options.rule, multiplier, shift, *limits)
    weights = weight_integers(layer, scale, width.weight_bits, options, data)
    bias = torch.round(layer.bias / (scale * tensor.scale)).long()
    common: dict[str, Any] = {
        "name": layer.name,
        "input_name": input_name,
        "input": tensor,
        "output": output,
        "weight_bits": width.weight_bits,
        "weight_scale": scale.numpy(),
        "bias": bias.numpy(),
        "requantize": requantize,
    }
    if isinstance(layer, FloatConv):
        weights = weights.permute(0, 2, 3, 1).contiguous()
        return ir.Conv2D(weights=weights.numpy(), stride=layer.stride, pads=layer.pads, **common)
    return ir.Dense(weights=weights.numpy(), **common)
