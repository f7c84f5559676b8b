"""Every network of a choice of widths, measured: what a search's points are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quant.search.budget import METRICS
from quant.search.pareto import front
from quant.search.search import Point
from quant.search.solve import best_choices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from quant.search.search import Search


def every_network(search: Search, advance: Callable[[], None] = lambda: None) -> list[Point]:
    """The Points of all widths that a Search chooses from and its build runs, measured on its images.

    Their number is the product of all choices: 3 widths of 5 weights and 4 activations are 19,683.
    """
    weights = [search.options.weight_bits] * len(search.tables.layers)
    outputs = [search.options.activation_bits] * (len(search.tables.layers) - 1)
    points = []
    for weight_bits, activation_bits, figures in search.probe.measure_all(weights, outputs):
        keys = search.keys(weight_bits, activation_bits)
        if all(key in table for key, table in zip(keys, search.tables.tables, strict=True)):
            costs = {metric: search.chain.total(metric, keys) for metric in METRICS}
            points.append(Point(weight_bits, activation_bits, costs, search.chain.loss(keys), figures))
        advance()
    return points


@dataclass(frozen=True)
class Gap:
    """At one budget: the Point that the search chose, the best one, and how many within the budget are better."""

    limit: float
    chosen: Point
    best: Point
    better: int
    within: int


def gaps(
    search: Search,
    points: Sequence[Point],
    counts: Sequence[int],
    metric: str = "cycles",
    budgets: Iterable[float] | None = None,
) -> dict[int, list[Gap]]:
    """{count: a Gap per budget} for the search that measures so many of the integer program's best choices.

    points: those of `every_network`. budgets: by default the costs of the front of all points.
    """

    def figures(point: Point) -> tuple[float, float]:
        return point.costs[metric], search.harm(point)

    known = {(point.weight_bits, point.activation_bits): point for point in points}
    limits = budgets if budgets is not None else [point.costs[metric] for point in front(points, figures)]
    found: dict[int, list[Gap]] = {count: [] for count in counts}
    for limit in limits:
        within = [point for point in points if point.costs[metric] <= limit]
        choices = best_choices(search.chain, {metric: limit}, max(counts))
        measured = [known[one.weight_bits, one.activation_bits] for one in choices]
        best = min(within, key=search.harm)
        for count in counts:
            chosen = min(measured[:count], key=search.harm)
            better = sum(search.harm(point) < search.harm(chosen) for point in within)
            found[count].append(Gap(limit, chosen, best, better, len(within)))
    return found
