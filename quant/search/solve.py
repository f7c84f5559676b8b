"""The choice of widths as an integer program, solved by HiGHS (`scipy.optimize.milp`).

The network is a chain: a layer reads what the layer before it puts out. A variable stands for every (input, weight,
output) widths of every layer; one of them is 1 per layer, and the output width of a layer is the input width of the
next. Losses and costs are sums over the layers, so minimum loss under any number of budgets is a linear program over
0 and 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from accel.errors import FitError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from accel.compile.choices import Widths

OBJECTIVE_SCALE = 1e4  # HiGHS stops at an absolute gap of 1e-6: losses are stretched so that this is nothing
TOLERANCE = 1e-9
Row: TypeAlias = tuple[dict[int, float], float, float]  # {variable: factor}, and the bounds of their sum


@dataclass(frozen=True)
class Chain:
    """losses: per layer {(input, weight, output bits): loss}. costs: {metric: the same with costs}, integers or floats.
    fixed: {metric: cost that no choice changes}."""

    losses: tuple[Mapping[Widths, float], ...]
    costs: Mapping[str, tuple[Mapping[Widths, float], ...]]
    fixed: Mapping[str, float] = field(default_factory=dict)

    def total(self, metric: str, keys: Iterable[Widths]) -> float:
        """Cost of one key per layer."""
        return self.fixed.get(metric, 0) + sum(table[key] for table, key in zip(self.costs[metric], keys, strict=True))

    def loss(self, keys: Iterable[Widths]) -> float:
        """Loss of one key per layer."""
        return sum(table[key] for table, key in zip(self.losses, keys, strict=True))


@dataclass(frozen=True)
class Choice:
    """Widths of every layer with weights and, but for the last, of its output; what they lose and cost."""

    keys: tuple[Widths, ...]
    loss: float
    costs: dict[str, float]

    @property
    def weight_bits(self) -> tuple[int, ...]:
        return tuple(key[1] for key in self.keys)

    @property
    def activation_bits(self) -> tuple[int, ...]:
        return tuple(key[2] for key in self.keys[:-1])


def choice(chain: Chain, keys: Iterable[Widths]) -> Choice:
    """The Choice of one key per layer."""
    return Choice(tuple(keys), chain.loss(keys), {metric: chain.total(metric, keys) for metric in chain.costs})


def solve(chain: Chain, budgets: Mapping[str, float], excluded: Sequence[Choice] = ()) -> Choice:
    """The Choice of least loss whose costs are within `budgets` {metric: limit} and that is none of `excluded`.

    Raises FitError where there is none, with the least that is possible.
    """
    found = _solve(chain, chain.losses, budgets, excluded)
    if found is None:
        raise FitError(_refusal(chain, budgets, excluded))
    return found


def best_choices(chain: Chain, budgets: Mapping[str, float], count: int) -> list[Choice]:
    """Up to `count` Choices within the budgets, those of least loss, best first."""
    found = [solve(chain, budgets)]
    while len(found) < count:
        another = _solve(chain, chain.losses, budgets, found)
        if another is None:
            break
        found.append(another)
    return found


def smallest(chain: Chain, metric: str, budgets: Mapping[str, float] | None = None) -> Choice | None:
    """The Choice of least cost in one metric, or None where the budgets leave none."""
    return _solve(chain, chain.costs[metric], budgets or {})


def _refusal(chain: Chain, budgets: Mapping[str, float], excluded: Sequence[Choice]) -> str:
    if excluded:
        return "no other choice of widths meets the budget; ask for fewer candidates"
    for metric, limit in budgets.items():
        least = smallest(chain, metric)
        if least is None:
            return "no choice of widths fits the build; widen the choice, or the memories of the build"
        if least.costs[metric] > limit:
            return (
                f"no choice of widths has {metric.replace('_', ' ')} of at most {limit:.10g}; the least is "
                f"{least.costs[metric]:.10g}; raise the budget or allow narrower widths"
            )
    return "no choice of widths meets all budgets together; raise one of them"


def _solve(
    chain: Chain, goals: Sequence[Mapping[Widths, float]], budgets: Mapping[str, float], excluded: Sequence[Choice] = ()
) -> Choice | None:
    """As solve, with any table as the goal; None where there is no choice. The budgets are checked exactly."""
    limits = dict(budgets)
    program = _Program(chain, goals)
    while True:
        keys = program.solve(limits, excluded)
        if keys is None:
            return None
        found = choice(chain, keys)
        broken = [metric for metric, limit in budgets.items() if found.costs[metric] > limit * (1 + TOLERANCE)]
        if not broken:
            return found
        excluded = (*excluded, found)  # the solver's tolerance let it through


class _Program:
    """Variables and constraints that do not depend on the budgets."""

    def __init__(self, chain: Chain, goals: Sequence[Mapping[Widths, float]]) -> None:
        self.chain = chain
        self.variables = [(layer, key) for layer, table in enumerate(chain.losses) for key in table]
        self.place = {variable: index for index, variable in enumerate(self.variables)}
        values = np.array([goals[layer][key] for layer, key in self.variables], dtype=np.float64)
        reach = np.abs(values).max(initial=0)
        self.objective = values * (OBJECTIVE_SCALE / reach) if reach else values
        self.rows = [
            ({self.place[layer, key]: 1.0 for key in table}, 1.0, 1.0) for layer, table in enumerate(chain.losses)
        ]
        for layer, (before, after) in enumerate(pairwise(chain.losses)):
            for bits in {key[2] for key in before} | {key[0] for key in after}:
                row = {self.place[layer, key]: 1.0 for key in before if key[2] == bits}
                row |= {self.place[layer + 1, key]: -1.0 for key in after if key[0] == bits}
                self.rows.append((row, 0.0, 0.0))

    def solve(self, limits: Mapping[str, float], excluded: Sequence[Choice]) -> tuple[Widths, ...] | None:
        """One key per layer, or None."""
        rows = list(self.rows)
        for metric, limit in limits.items():
            costs = {
                self.place[layer, key]: float(self.chain.costs[metric][layer][key]) for layer, key in self.variables
            }
            rows.append((costs, -np.inf, float(limit) - self.chain.fixed.get(metric, 0)))
        for one in excluded:
            taken = {self.place[layer, key]: 1.0 for layer, key in enumerate(one.keys)}
            rows.append((taken, -np.inf, len(one.keys) - 1.0))
        matrix, lower, upper = _matrix(rows, len(self.variables))
        result = milp(
            self.objective,
            integrality=np.ones(len(self.variables)),
            bounds=Bounds(0, 1),
            constraints=LinearConstraint(matrix, lower, upper),
            options={"mip_rel_gap": 0.0},
        )
        if result.x is None:
            return None
        chosen = [self.variables[index] for index in np.flatnonzero(result.x > 0.5)]
        return tuple(key for _, key in chosen)


def _matrix(rows: Sequence[Row], columns: int) -> tuple[Any, list[float], list[float]]:
    entries = [(index, column, value) for index, (row, _, _) in enumerate(rows) for column, value in row.items()]
    index, column, value = (np.array(part) for part in zip(*entries, strict=True))
    matrix = csr_array((value, (index, column)), shape=(len(rows), columns))
    return matrix, [low for _, low, _ in rows], [high for _, _, high in rows]
