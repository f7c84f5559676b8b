"""A float network with quantizers at chosen places, in float32: what a choice of widths does to the network's output.

The quantizers come from integer graphs of uniform widths, as post-training quantization makes them: layer i's weights
of b bits are those of the graph with b-bit weights, its output of a bits has scale and zero point of the graph with
a-bit activations. Without them (None) weights and outputs stay floats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
from torch.nn import functional

from accel.errors import ModelError
from accel.tensor import Requantize
from quant.frontend.floatnet import FloatConv, has_weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from accel.ir import Graph
    from accel.tensor import TensorType
    from accel.types import Array, Ints
    from quant.frontend.floatnet import FloatLayer, Weighted
    from quant.frontend.prepare import PreparedNetwork


@dataclass(frozen=True)
class Figures:
    """Of a set of images: mean cross entropy, mean KL divergence of the float network's classes from these (nats), and
    the share of images that are classified as their labels say."""

    loss: float
    kl: float
    accuracy: float


Measured: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], Figures]  # widths of weights, of outputs

Source: TypeAlias = int | Literal["variable"] | None  # bits of weights, those of a derivative, or floats


class Probe:
    """A network over fixed images.

    prepared: PreparedNetwork. images: uint8 [N, H, W, C] (float32 for a float input). labels: int64 [N] or None: then
    the float network's classes. graphs: {bits: ir.Graph} with these weights and, where such activations exist,
    activations everywhere.
    """

    def __init__(
        self, prepared: PreparedNetwork, images: Array, labels: Ints | None, graphs: Mapping[int, Graph]
    ) -> None:
        self.prepared = prepared
        self.layers: list[Weighted] = []
        self.pools: list[list[FloatLayer]] = []
        leading: list[FloatLayer] = []
        for layer in prepared.network.layers:
            if has_weights(layer):
                self.layers.append(layer)
                self.pools.append([])
            elif self.layers:
                self.pools[-1].append(layer)
            else:
                leading.append(layer)
        x = prepared.input_values(images).float()
        for pool in leading:
            x = pool.forward(x)
        self.names = [layer.name for layer in self.layers]
        self.parameters: list[dict[Source, tuple[torch.Tensor, torch.Tensor]]] = [
            {None: (layer.weight.float(), layer.bias.float())} for layer in self.layers
        ]
        self.quantizers: list[dict[int, tuple[TensorType, Requantize]]] = [{} for _ in self.layers]
        for graph in graphs.values():
            self._take(graph)
        self.inputs = [x]  # of every layer in the float network
        for index in range(len(self.layers)):
            self.inputs.append(self.step(index, self.inputs[-1], None, None))
        self.reference = functional.log_softmax(self.inputs[-1].flatten(1), 1)
        self.labels = self.reference.argmax(1) if labels is None else torch.from_numpy(labels)

    def _take(self, graph: Graph) -> None:
        weighted = [layer for layer in graph.layers if layer.op != "maxpool"]
        if [layer.name for layer in weighted] != self.names:
            raise ModelError(
                f"{graph.name}: its layers {', '.join(layer.name for layer in weighted)} are not the "
                f"float network's {', '.join(self.names)}"
            )
        for index, layer in enumerate(weighted):
            scale = torch.tensor(layer.weight_scale)
            weight = torch.tensor(layer.weights).double() * scale.reshape(-1, *(1,) * (layer.weights.ndim - 1))
            if layer.op == "conv2d":
                weight = weight.permute(0, 3, 1, 2)
            bias = torch.tensor(layer.bias).double() * scale * layer.input.scale
            self.parameters[index][layer.weight_bits] = weight.float().contiguous(), bias.float()
            if isinstance(layer.requantize, Requantize):
                self.quantizers[index][layer.output.bits] = layer.output, layer.requantize

    def step(self, index: int, x: torch.Tensor, weight_bits: Source, output_bits: int | None) -> torch.Tensor:
        """Output [N, C, H, W] of layer `index` and the pools behind it for its input x."""
        layer, (weight, bias) = self.layers[index], self.parameters[index][weight_bits]
        if isinstance(layer, FloatConv):
            top, bottom, left, right = layer.pads
            if (top, left) == (bottom, right):
                x = functional.conv2d(x, weight, bias, layer.stride, (top, left))
            else:
                x = functional.conv2d(functional.pad(x, (left, right, top, bottom)), weight, bias, layer.stride)
        else:
            x = functional.linear(x.permute(0, 2, 3, 1).flatten(1), weight, bias)[..., None, None]
        x = x.clamp(*layer.clamp)
        for pool in self.pools[index]:  # before the quantizer: both are monotone, and there is less to quantize
            x = pool.forward(x)
        return x if output_bits is None else self.quantized(index, x, output_bits)

    def quantized(self, index: int, x: torch.Tensor, bits: int) -> torch.Tensor:
        """The output x of layer `index` on its grid of `bits` bits."""
        tensor, rule = self.quantizers[index][bits]
        steps = torch.round(x / tensor.scale) + tensor.zero_point
        return (steps.clamp(rule.qmin, rule.qmax) - tensor.zero_point) * tensor.scale

    def finish(self, x: torch.Tensor, start: int) -> torch.Tensor:
        """Logits [N, classes] of float layers from `start` on."""
        for index in range(start, len(self.layers)):
            x = self.step(index, x, None, None)
        return x.flatten(1)

    @torch.no_grad()
    def figures(self, logits: torch.Tensor) -> Figures:
        """The Figures of logits [N, classes]."""
        own = functional.log_softmax(logits, 1)
        return Figures(
            float(functional.nll_loss(own, self.labels)),
            float(functional.kl_div(own, self.reference, reduction="batchmean", log_target=True)),
            float((logits.argmax(1) == self.labels).double().mean()),
        )

    @torch.no_grad()
    def measure(self, weight_bits: Sequence[int], activation_bits: Sequence[int]) -> Figures:
        """Figures of the whole network with these widths: one per layer, and per layer but the last."""
        x = self.inputs[0]
        for index, bits in enumerate(weight_bits):
            x = self.step(index, x, bits, self._output_bits(index, activation_bits))
        return self.figures(x.flatten(1))

    def _output_bits(self, index: int, activation_bits: Sequence[int]) -> int | None:
        """Bits of a layer's output; a last one that is quantized has its widest grid."""
        if index < len(activation_bits):
            return activation_bits[index]
        return max(self.quantizers[index], default=None)

    @torch.no_grad()
    def measure_all(
        self, weight_choices: Sequence[Sequence[int]], activation_choices: Sequence[Sequence[int]]
    ) -> Iterator[Measured]:
        """Yield (weight bits, activation bits, Figures) of every combination; common beginnings are computed once.

        weight_choices: widths per layer; activation_choices: widths per layer but the last.
        """

        def walk(
            index: int, x: torch.Tensor, weights: tuple[int, ...], activations: tuple[int, ...]
        ) -> Iterator[Measured]:
            if index == len(self.layers):
                yield weights, activations, self.figures(x.flatten(1))
                return
            outputs = activation_choices[index] if index < len(activation_choices) else (None,)
            for bits in weight_choices[index]:
                wide = self.step(index, x, bits, None)
                for output in outputs:
                    grid = self._output_bits(index, ()) if output is None else output
                    found = wide if grid is None else self.quantized(index, wide, grid)
                    yield from walk(
                        index + 1, found, (*weights, bits), activations if output is None else (*activations, output)
                    )

        yield from walk(0, self.inputs[0], (), ())
