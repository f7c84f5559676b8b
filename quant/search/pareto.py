"""Pareto fronts: the choices of which none is better in loss and in cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from quant.search.solve import smallest, solve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from quant.search.solve import Chain, Choice

Item = TypeVar("Item")


def front(points: Iterable[Item], figures: Callable[[Item], tuple[float, float]]) -> list[Item]:
    """The points that no other one beats, by rising cost. figures(point) -> (cost, loss); both are better lower."""
    kept: list[Item] = []
    for point in sorted(points, key=figures):
        if not kept or figures(point)[1] < figures(kept[-1])[1]:
            kept.append(point)
    return kept


def sweep(chain: Chain, metric: str, count: int, budgets: Mapping[str, float] | None = None) -> list[Choice]:
    """Choices of least loss at `count` budgets of one metric, from the least possible to that of the least loss.

    budgets: limits of other metrics, which hold throughout. Equal choices are named once. Every point is optimal for
    its own cost. Raises FitError where the budgets leave no choice.
    """
    others = {name: limit for name, limit in (budgets or {}).items() if name != metric}
    best = solve(chain, others)
    least = smallest(chain, metric, others)
    low, high = (least or best).costs[metric], best.costs[metric]
    found = [solve(chain, {**others, metric: limit}) for limit in np.linspace(low, high, count)[:-1].tolist()]
    return front([*found, best], lambda point: (point.costs[metric], point.loss))
