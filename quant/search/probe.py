"""A float network with quantizers at chosen places, in float32: what a choice of widths does to the network's output.

The quantizers come from integer graphs of uniform widths, as post-training quantization makes them: layer i's weights
of b bits are those of the graph with b-bit weights, its output of a bits has scale and zero point of the graph with
a-bit activations. Without them (None) weights and outputs stay floats.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional

from accel.errors import ModelError
from quant.frontend.floatnet import FloatConv, has_weights


@dataclass(frozen=True)
class Figures:
    """Of a set of images: mean cross entropy, mean KL divergence of the float network's classes from these (nats), and
    the share of images that are classified as their labels say."""

    loss: float
    kl: float
    accuracy: float


class Probe:
    """A network over fixed images.

    prepared: PreparedNetwork. images: uint8 [N, H, W, C] (float32 for a float input). labels: int64 [N] or None: then
    the float network's classes. graphs: {bits: ir.Graph} with these weights and, where such activations exist,
    activations everywhere.
    """

    def __init__(self, prepared, images, labels, graphs):
        self.prepared = prepared
        self.layers, self.pools, leading = [], [], []
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
        self.parameters = [{None: (layer.weight.float(), layer.bias.float())} for layer in self.layers]
        self.quantizers = [{} for _ in self.layers]
        for graph in graphs.values():
            self._take(graph)
        self.inputs = [x]  # of every layer in the float network
        for index in range(len(self.layers)):
            self.inputs.append(self.step(index, self.inputs[-1], None, None))
        self.reference = functional.log_softmax(self.inputs[-1].flatten(1), 1)
        self.labels = self.reference.argmax(1) if labels is None else torch.from_numpy(labels)

    def _take(self, graph):
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
            if layer.requantize is not None:
                self.quantizers[index][layer.output.bits] = layer.output, layer.requantize

    def step(self, index, x, weight_bits, output_bits):
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

    def quantized(self, index, x, bits):
        """The output x of layer `index` on its grid of `bits` bits."""
        tensor, rule = self.quantizers[index][bits]
        steps = torch.round(x / tensor.scale) + tensor.zero_point
        return (steps.clamp(rule.qmin, rule.qmax) - tensor.zero_point) * tensor.scale

    def finish(self, x, start):
        """Logits [N, classes] of float layers from `start` on."""
        for index in range(start, len(self.layers)):
            x = self.step(index, x, None, None)
        return x.flatten(1)

    @torch.no_grad()
    def figures(self, logits):
        """The Figures of logits [N, classes]."""
        own = functional.log_softmax(logits, 1)
        return Figures(
            float(functional.nll_loss(own, self.labels)),
            float(functional.kl_div(own, self.reference, reduction="batchmean", log_target=True)),
            float((logits.argmax(1) == self.labels).double().mean()),
        )

    @torch.no_grad()
    def measure(self, weight_bits, activation_bits):
        """Figures of the whole network with these widths: one per layer, and per layer but the last."""
        x = self.inputs[0]
        for index, bits in enumerate(weight_bits):
            x = self.step(index, x, bits, self._output_bits(index, activation_bits))
        return self.figures(x.flatten(1))

    def _output_bits(self, index, activation_bits):
        """Bits of a layer's output; a last one that is quantized has its widest grid."""
        if index < len(activation_bits):
            return activation_bits[index]
        return max(self.quantizers[index], default=None)

    @torch.no_grad()
    def measure_all(self, weight_choices, activation_choices):
        """Yield (weight bits, activation bits, Figures) of every combination; common beginnings are computed once.

        weight_choices: widths per layer; activation_choices: widths per layer but the last.
        """

        def walk(index, x, weights, activations):
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
