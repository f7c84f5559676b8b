"""Accuracy of the integer reference; without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel import limits, reference
from accel.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from accel.ir import Graph
    from accel.types import Array, Ints


def accuracy(
    graph: Graph, images: Array, labels: Ints | None, advance: Callable[[int], None] = lambda count: None
) -> float:
    """Share of images whose class by the integer reference is their label.

    images: [N, H, W, C] as the graph's input encoding takes them; labels: int64 [N]. advance(count) is
    called per batch.
    Raises DataError without labels, ModelError where the images do not fit, RangeError where an accumulator
    could leave int32.
    """
    if labels is None:
        raise DataError("the images have no labels; give an .npz file with arrays `images` and `labels`")
    if not len(images):
        raise DataError("there are no images to evaluate; raise --count")
    reference.check_network(graph)
    correct, batch = 0, limits.batch(graph.work)
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        classes = reference.classify(graph, reference.encode_input(graph, part))
        correct += int((classes == labels[start : start + batch]).sum())
        advance(len(part))
    return correct / len(images)
