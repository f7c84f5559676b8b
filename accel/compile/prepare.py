"""Passes that rewrite a graph into layers that the accelerator has: a graph in, an equivalent graph out.

The reference gives the same integers before and after; names of layers that stay are kept.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from accel import checks, limits
from accel.errors import FitError
from accel.ir import INPUT_NAME, Conv2D
from accel.tensor import Requantize, Threshold

if TYPE_CHECKING:
    from accel.ir import Graph, Layer
    from accel.tensor import TensorType


def drop_trivial_pools(graph: Graph) -> Graph:
    """Remove every max pool that passes its input through; at least one layer stays."""
    layers, name = [], INPUT_NAME
    for layer in graph.layers:
        if is_trivial_pool(layer):
            continue
        layers.append(replace(layer, input_name=name))
        name = layer.name
    return graph.with_layers(layers or (replace(graph.layers[-1], input_name=INPUT_NAME),))


def is_trivial_pool(layer: Layer) -> bool:
    """A 1x1 window at every position of its input."""
    return layer.op == "maxpool" and tuple(layer.kernel) == (1, 1) and layer.output.shape == layer.input.shape


def insert_identities(graph: Graph) -> Graph:
    """Put an identity 1x1 convolution before every max pool that follows the input or a max pool."""
    layers: list[Layer] = []
    name, before = INPUT_NAME, None
    used = {layer.name for layer in graph.layers}
    for layer in graph.layers:
        if layer.op == "maxpool" and (before is None or before.op == "maxpool"):
            identity = _identity(_free_name(f"{layer.name}_in", used), name, layer.input)
            layers.append(identity)
            name = identity.name
        layers.append(replace(layer, input_name=name))
        name, before = layer.name, layer
    return graph.with_layers(layers)


def _free_name(name: str, used: set[str]) -> str:
    """`name`, else one like it: not used yet, and no longer than names may be."""
    free, count = name[: checks.NAME_LENGTH], 0
    while free in used:
        count += 1
        free = f"{name[: checks.NAME_LENGTH - 5]}_{count}"
    used.add(free)
    return free


def _identity(name: str, input_name: str, tensor: TensorType) -> Conv2D:
    """y = zero point + ((x - zero point) * 1 * 2^30 + 2^29) >> 30 = x; signs are compared with 0."""
    channels = tensor.channels
    if channels**2 > limits.MAX_WEIGHTS:
        raise FitError(
            f"{name}: a max pool of {channels} channels that reads the input or another pool needs a layer "
            f"of {channels**2} weights before it, at most {limits.MAX_WEIGHTS} are allowed; use fewer "
            "channels"
        )
    weights = np.eye(channels, dtype=np.int64).reshape(channels, 1, 1, channels)
    bias = np.zeros(channels, dtype=np.int64)
    if tensor.bits == 1:
        rule: Requantize | Threshold = Threshold(bias, bias.astype(bool))
    else:
        rule = Requantize("half_up", np.full(channels, 2**30), np.full(channels, 30), *tensor.qrange)
    weight_bits = max(2, tensor.bits)  # for 0 and 1: a narrow tensor is not widened
    return Conv2D(
        name, input_name, tensor, tensor, weights, weight_bits, np.ones(channels), bias, (1, 1), (0, 0, 0, 0), rule
    )


def stream_dense(graph: Graph) -> Graph:
    """Write a first dense layer as a convolution over its whole input: only those read the stream."""
    first = graph.layers[0]
    if first.op != "dense":
        return graph
    weights = first.weights.reshape(-1, *first.input.shape)
    conv = Conv2D(
        first.name,
        first.input_name,
        first.input,
        first.output,
        weights,
        first.weight_bits,
        first.weight_scale,
        first.bias,
        (1, 1),
        (0, 0, 0, 0),
        first.requantize,
        first.notes,
    )
    return graph.with_layers((conv, *graph.layers[1:]))


def prepare(graph: Graph) -> Graph:
    """All passes of this file, in order."""
    return insert_identities(stream_dense(drop_trivial_pools(graph)))
