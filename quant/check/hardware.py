"""Whether the hardware can run a float network at all, asked before calibration and training take their time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from accel import ir
from accel.compile import possible
from accel.errors import BitloomError
from accel.tensor import Requantize, TensorType
from quant.frontend.floatnet import FloatConv, FloatPool

if TYPE_CHECKING:
    from typing import Any

    from accel.ir import Graph, WeightedLayer
    from quant.frontend.floatnet import FloatNetwork, Weighted


def refusal(network: FloatNetwork) -> str | None:
    """Why no build of the accelerator can run a FloatNetwork, or None: the sentence that `accel.convert` would end
    with. The answer hangs on shapes alone; widths are 8 bits."""
    try:
        return possible.refusal(shapes_of(network))
    except BitloomError as error:  # of the graph itself
        return str(error)


def shapes_of(network: FloatNetwork) -> Graph:
    """An 8-bit ir.Graph of the FloatNetwork's shapes, without meaning: every weight is 0."""
    tensor = graph_input = TensorType(*network.input_shape, 8, 1.0, 0)
    layers: list[ir.Layer] = []
    name = ir.INPUT_NAME
    for layer in network.layers:
        output = TensorType(*layer.output_shape(tensor.shape), 8, 1.0, 0)
        if isinstance(layer, FloatPool):
            built: ir.Layer = ir.MaxPool(layer.name, name, tensor, output, layer.kernel, layer.stride, layer.pads)
        else:
            built = _weighted(layer, name, tensor, output)
        layers.append(built)
        tensor, name = output, layer.name
    return ir.Graph(network.name, graph_input, ir.InputEncoding("uint8", (0.0,), (1.0,)), tuple(layers))


def _weighted(layer: Weighted, name: str, tensor: TensorType, output: TensorType) -> WeightedLayer:
    channels = output.channels
    nothing = np.zeros(channels, dtype=np.int64)
    rule = Requantize("half_up", nothing + 2**30, nothing + 30, *output.qrange)
    common: dict[str, Any] = {
        "name": layer.name,
        "input_name": name,
        "input": tensor,
        "output": output,
        "weight_bits": 8,
        "weight_scale": np.ones(channels),
        "bias": nothing,
        "requantize": rule,
    }
    if isinstance(layer, FloatConv):
        weights = np.zeros((channels, *layer.weight.shape[2:], tensor.channels), dtype=np.int64)
        return ir.Conv2D(weights=weights, stride=layer.stride, pads=layer.pads, **common)
    return ir.Dense(weights=np.zeros(tuple(layer.weight.shape), dtype=np.int64), **common)
