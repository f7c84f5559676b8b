"""Histograms of weights and activations, before and after quantization, in the same bins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from accel import reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import SupportsFloat

    from numpy.typing import ArrayLike

    from accel.ir import Graph
    from accel.types import Array, Ints, Notes, Reals
    from quant.frontend.prepare import PreparedNetwork

BINS = 48
BATCH = 50


class Histogram:
    """Counts of values in BINS equal bins of low..high; what lies outside is counted in the outermost bins."""

    def __init__(self, low: SupportsFloat, high: SupportsFloat) -> None:
        low, high = float(low), float(high)
        if low == high:
            low, high = low - 0.5, high + 0.5
        self.edges = np.linspace(low, high, BINS + 1)
        self.counts: dict[str, Ints] = {}

    def add(self, name: str, values: ArrayLike) -> None:
        """Count the values (any shape) under a name."""
        found, _ = np.histogram(np.clip(values, self.edges[0], self.edges[-1]), self.edges)
        self.counts[name] = self.counts.get(name, 0) + found

    def as_json(self) -> Notes:
        """{'low', 'high', 'counts': {name: [BINS integers]}}."""
        return {
            "low": float(self.edges[0]),
            "high": float(self.edges[-1]),
            "counts": {name: counts.tolist() for name, counts in self.counts.items()},
        }


def weight_histograms(prepared: PreparedNetwork, graphs: Mapping[str, Graph]) -> dict[str, Histogram]:
    """{layer: Histogram} of the layers with weights: 'fp32', and the real values of every graph's integers.

    graphs: {name: ir.Graph} with the layers of the PreparedNetwork.
    """
    found = {}
    for layer in prepared.network.layers:
        if hasattr(layer, "weight"):
            values = layer.weight.numpy()
            found[layer.name] = histogram = Histogram(values.min(), values.max())
            histogram.add("fp32", values)
    for name, graph in graphs.items():
        for built in graph.layers:
            if built.op != "maxpool":
                scale = np.reshape(built.weight_scale, (-1,) + (1,) * (built.weights.ndim - 1))
                found[built.name].add(name, built.weights * scale)
    return found


def activation_histograms(
    prepared: PreparedNetwork,
    graphs: Mapping[str, Graph],
    images: Array,
    advance: Callable[[int], None] = lambda count: None,
) -> dict[str, Histogram]:
    """{layer: Histogram} of the outputs of the layers with weights: 'fp32', and the real values of every graph's.

    images: as the network's encoding takes them. The range is that of the float network. advance(count) is called per
    batch, twice per image.
    """
    names = [layer.name for layer in prepared.network.layers if hasattr(layer, "weight")]
    bounds = dict.fromkeys(names, (np.inf, -np.inf))
    for _, outputs in _float_outputs(prepared, images, advance):
        for name in names:
            low, high = bounds[name]
            bounds[name] = min(low, outputs[name].min()), max(high, outputs[name].max())
    found = {name: Histogram(*bounds[name]) for name in names}
    for part, outputs in _float_outputs(prepared, images, advance):
        for name in names:
            found[name].add("fp32", outputs[name])
        for title, graph in graphs.items():
            integers = reference.run(graph, reference.encode_input(graph, part))
            for layer in graph.layers:
                if layer.op != "maxpool":
                    tensor = layer.output
                    found[layer.name].add(title, (integers[layer.name] - tensor.zero_point) * tensor.scale)
    return found


def _float_outputs(
    prepared: PreparedNetwork, images: Array, advance: Callable[[int], None]
) -> Iterator[tuple[Array, dict[str, Reals]]]:
    """(images, {layer: float64 outputs}) batch by batch."""
    for start in range(0, len(images), BATCH):
        part = images[start : start + BATCH]
        yield part, {name: values.numpy() for name, values in prepared.network.run(prepared.input_values(part)).items()}
        advance(len(part))
