"""Comparison of three executions of one graph: PyTorch quantized reference, integer reference,
fake-quantized floats."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from accel import reference
from accel.tensor import RAW_BITS, TensorType
from quant.reference.fake import FakeQuantNetwork
from quant.reference.integer import IntegerNetwork

if TYPE_CHECKING:
    from accel.ir import Graph, Layer, WeightedLayer
    from accel.types import Ints, Reals
    from quant.frontend.floatnet import FloatNetwork


@dataclass
class LayerCounts:
    """Counts of one layer over all images compared.

    mismatches: integers that differ between the two exact references. fake_one_step, fake_more: integers of
    the fake-quantized layer that differ by one step, by more, on equal inputs. tie_distance: the largest
    distance, in steps, of a differing integer's exact value from a rounding tie. first: coordinate and
    values of the first mismatch.
    """

    name: str
    values: int = 0
    mismatches: int = 0
    fake_one_step: int = 0
    fake_more: int = 0
    tie_distance: float = 0.0
    first: str = ""


@dataclass
class Comparison:
    """Result over `images` images: counts per layer, and images whose class the fake-quantized network
    changes."""

    images: int = 0
    layers: list[LayerCounts] = field(default_factory=list)
    fake_class_changes: int = 0

    @property
    def mismatches(self) -> int:
        return sum(layer.mismatches for layer in self.layers)

    @property
    def ok(self) -> bool:
        """Every integer equal, and no fake-quantized integer more than a step away."""
        return all(not layer.mismatches and not layer.fake_more for layer in self.layers)


class Comparer:
    """Feeds batches through the three executions and counts."""

    def __init__(self, graph: Graph, network: FloatNetwork | None = None) -> None:
        self.graph = graph
        self.integer = IntegerNetwork(graph)
        self.fake = FakeQuantNetwork(graph, network)
        self.result = Comparison(layers=[LayerCounts(layer.name) for layer in graph.layers])

    def add(self, q: Ints) -> None:
        """Compare one batch of input integers q int64 [N, H, W, C]."""
        expected, actual = reference.run(self.graph, q), self.integer.run(q)
        source = q
        for layer, counts in zip(self.graph.layers, self.result.layers, strict=True):
            wanted = expected[layer.name]
            _count_mismatches(counts, wanted, actual[layer.name].numpy(), self.result.images)
            _count_steps(counts, layer, source, wanted, self.fake.step(layer.name, source))
            source = wanted
        logits = self.fake(q).numpy().reshape(len(q), -1)
        classes = source.reshape(len(q), -1).argmax(1)
        self.result.fake_class_changes += int((logits.argmax(1) != classes).sum())
        self.result.images += len(q)


def _count_mismatches(counts: LayerCounts, wanted: Ints, actual: Ints, first_image: int) -> None:
    counts.values += wanted.size
    wrong = wanted != actual
    if wrong.any() and not counts.mismatches:
        image, *place = (int(axis[0]) for axis in np.nonzero(wrong))
        counts.first = (
            f"image {first_image + image}, (y, x, channel)={tuple(place)}: integer reference "
            f"{wanted[image, *place]}, PyTorch {actual[image, *place]}"
        )
    counts.mismatches += int(wrong.sum())


def _count_steps(counts: LayerCounts, layer: Layer, source: Ints, wanted: Ints, fake: Ints) -> None:
    difference = np.abs(fake - wanted)
    counts.fake_one_step += int((difference == 1).sum())
    counts.fake_more += int((difference > 1).sum())
    if layer.op == "maxpool" or layer.output.bits in (1, RAW_BITS) or not difference.any():
        return
    exact = exact_values(layer, source)[difference != 0]
    distance = np.abs(exact - np.floor(exact) - 0.5)
    counts.tie_distance = max(counts.tie_distance, float(distance.max()))


def exact_values(layer: WeightedLayer, source: Ints) -> Reals:
    """Output of a layer before rounding, in steps of the output, float64 [N, H, W, C]."""
    height, width, channels = layer.output.shape
    raw = replace(layer, output=TensorType(height, width, channels, RAW_BITS, 1.0, 0), requantize=None)
    return reference.run_layer(raw, source) * (layer.weight_scale * layer.input.scale / layer.output.scale)
