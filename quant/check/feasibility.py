"""How well the integers represent the float network: signal-to-noise ratio and range coverage of every
layer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from accel import reference
from quant.check.thresholds import decibel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel.ir import Graph
    from accel.types import Array, Notes
    from quant.frontend.prepare import PreparedNetwork


class FeasibilityCheck:
    """Accumulates, per layer, signal power, error power and the share of float values inside the
    representable range."""

    def __init__(self, prepared: PreparedNetwork, graph: Graph) -> None:
        self.prepared, self.graph = prepared, graph
        self.sums = {layer.name: np.zeros(4) for layer in graph.layers}

    def add(self, images: Array) -> None:
        """Compare float and integer network on images (uint8, or float32 for a float input) [N, H, W, C]."""
        floats = self.prepared.network.run(self.prepared.input_values(images))
        integers = reference.run(self.graph, reference.encode_input(self.graph, images))
        for layer in self.graph.layers:
            wanted = floats[layer.name].permute(0, 2, 3, 1).numpy()
            tensor = layer.output
            actual = (integers[layer.name] - tensor.zero_point) * tensor.scale
            qmin, qmax = tensor.qrange
            low, high = (tensor.scale * (bound - tensor.zero_point) for bound in (qmin - 0.5, qmax + 0.5))
            inside = np.count_nonzero((wanted >= low) & (wanted <= high))
            noise = np.sum((wanted - actual) ** 2)
            self.sums[layer.name] += np.array([np.sum(wanted**2), noise, inside, wanted.size], dtype=np.float64)

    def figures(self) -> dict[str, dict[str, float]]:
        """{layer: {'snr_db', 'range_coverage'}}; the ratio is limited to +-200 dB so that it stays a
        number."""
        return {
            name: {
                "snr_db": round(decibel(signal, noise), 2),
                "range_coverage": round(float(inside / max(count, 1)), 6),
            }
            for name, (signal, noise, inside, count) in self.sums.items()
        }


def annotate(graph: Graph, figures: Mapping[str, Mapping[str, float]], notes: Notes | None = None) -> Graph:
    """The graph with the figures in its layers' notes and `notes` in its own."""
    layers = tuple(replace(layer, notes={**layer.notes, **figures[layer.name]}) for layer in graph.layers)
    return replace(graph, layers=layers, notes={**graph.notes, **(notes or {})})
