"""Figures of one network on the test images: classes, confusion matrix, confidence interval, size, cycles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from accel import limits, reference
from accel.compile.choices import cost_tables, roomy, weighted_layers
from accel.errors import FitError
from quant.frontend.floatnet import has_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from accel.config import HardwareConfig
    from accel.ir import Graph
    from accel.types import Bytes, Ints
    from quant.frontend.floatnet import FloatNetwork

BATCH = 256
FLOAT_BYTES = 4
Z_95 = 1.959963984540054  # the normal distribution's 97.5 % quantile


def integer_classes(graph: Graph, images: Bytes, advance: Callable[[int], None] = lambda count: None) -> Ints:
    """Class of every image by the integer reference, int64 [N]. Raises the errors of the reference."""
    reference.check_network(graph)
    parts, batch = [], limits.batch(graph.work)
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        parts.append(reference.classify(graph, reference.encode_input(graph, part)))
        advance(len(part))
    return np.concatenate(parts)


def confusion(labels: Ints, classes: Ints, count: int) -> Ints:
    """int64 [count, count]: images by label (row) and by the class that the network says (column)."""
    return np.bincount(labels * count + classes, minlength=count * count).reshape(count, count)


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """(low, high) of the share correct / total at 95 % confidence.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927: it stays inside 0..1
    and is no point at 0 or 1.
    """
    share, square = correct / total, Z_95 * Z_95
    middle = (share + square / (2 * total)) / (1 + square / total)
    spread = Z_95 / (1 + square / total) * math.sqrt(share * (1 - share) / total + square / (4 * total * total))
    return max(0.0, middle - spread), min(1.0, middle + spread)


@dataclass(frozen=True)
class Size:
    """weight_bytes: weights in their own width, each layer rounded up to a byte. other_bytes: biases of 4 bytes.
    cycles: of one image on the build, None where it cannot run there; refusal: why."""

    weight_bytes: int
    other_bytes: int
    cycles: int | None
    refusal: str = ""


def integer_size(graph: Graph, config: HardwareConfig) -> Size:
    """The Size of an integer graph; cycles as the compiler predicts them for a build with enough memory."""
    layers = weighted_layers(graph)
    weight_bytes = sum(-(-layer.weights.size * layer.weight_bits // 8) for layer in layers)
    bias_bytes = sum(4 * len(layer.bias) for layer in layers)
    weights = [layer.weight_bits for layer in layers]
    activations = [layer.output.bits for layer in layers[:-1]]
    try:
        tables = cost_tables(graph, roomy(config), [(bits,) for bits in weights], [(bits,) for bits in activations])
        cycles, refusal = tables.total(weights, activations).cycles, ""
    except FitError as error:
        cycles, refusal = None, str(error)
    return Size(weight_bytes, bias_bytes, cycles, refusal)


def float_size(network: FloatNetwork) -> Size:
    """The Size of a FloatNetwork in float32."""
    layers = [layer for layer in network.layers if has_weights(layer)]
    return Size(
        sum(FLOAT_BYTES * layer.weight.numel() for layer in layers),
        sum(FLOAT_BYTES * layer.bias.numel() for layer in layers),
        None,
    )


def most_confused(matrix: Ints, names: Sequence[str], count: int = 3) -> list[tuple[str, str, int]]:
    """[(true name, said name, images)] of the most frequent mistakes, most first."""
    wrong = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    pairs = [divmod(int(place), len(matrix)) for place in order]
    return [(names[row], names[column], int(wrong[row, column])) for row, column in pairs if wrong[row, column]]
