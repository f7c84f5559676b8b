"""The integer program finds what trying every choice finds."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel.errors import FitError
from quant.search.pareto import front, sweep
from quant.search.solve import Chain, best_choices, choice, smallest, solve

WEIGHTS = (8, 4, 2)


@st.composite
def chains(draw):
    """Chains of 1 to 3 layers with random losses and costs, some combinations missing."""
    layers = draw(st.integers(1, 3))
    edges = [(8,), *(draw(st.sampled_from([(8, 4), (8, 4, 2), (4,)])) for _ in range(layers - 1)), (32,)]
    losses, cycles, energy = [], [], []
    for index in range(layers):
        keys = list(product(edges[index], WEIGHTS, edges[index + 1]))
        gone = draw(st.sets(st.sampled_from(keys), max_size=len(keys) // 3))
        keys = [key for key in keys if key not in gone]
        losses.append({key: draw(st.integers(-100, 5000)) / 1000 for key in keys})
        cycles.append({key: draw(st.integers(1, 100_000)) for key in keys})
        energy.append({key: draw(st.integers(0, 10**6)) / 7 for key in keys})
    return Chain(tuple(losses), {"cycles": tuple(cycles), "energy": tuple(energy)}, {"cycles": draw(st.integers(0, 9))})


def every_choice(chain, keys=()):
    """All chains of keys whose edges agree."""
    if len(keys) == len(chain.losses):
        yield choice(chain, keys)
        return
    for key in chain.losses[len(keys)]:
        if not keys or keys[-1][2] == key[0]:
            yield from every_choice(chain, (*keys, key))


def within(chain, budgets):
    return sorted(
        (one for one in every_choice(chain) if all(one.costs[metric] <= limit for metric, limit in budgets.items())),
        key=lambda one: one.loss,
    )


@settings(max_examples=40)
@given(chains(), st.floats(0, 1), st.floats(0, 1))
def test_the_solver_equals_brute_force(chain, share, other):
    budgets = {}
    for metric, part in (("cycles", share), ("energy", other)):
        costs = [one.costs[metric] for one in every_choice(chain)] or [0]
        budgets[metric] = min(costs) + part * (max(costs) - min(costs))
    wanted = within(chain, budgets)
    if not wanted:
        with pytest.raises(FitError, match="no choice of widths"):
            solve(chain, budgets)
        return
    found = solve(chain, budgets)
    assert found.loss == pytest.approx(wanted[0].loss, abs=1e-6)
    assert all(found.costs[metric] <= limit * (1 + 1e-9) for metric, limit in budgets.items())
    assert found.keys in {one.keys for one in wanted}


@settings(max_examples=25)
@given(chains(), st.integers(1, 6))
def test_the_best_choices_are_those_of_brute_force_in_order(chain, count):
    wanted = within(chain, {})[:count]
    if not wanted:
        return
    found = best_choices(chain, {}, count)
    assert len({one.keys for one in found}) == len(found) == len(wanted)
    assert [one.loss for one in found] == pytest.approx([one.loss for one in wanted], abs=1e-6)


@settings(max_examples=15)
@given(chains())
def test_the_sweep_gives_points_that_nothing_dominates(chain):
    all_of_them = list(every_choice(chain))
    if not all_of_them:
        return
    points = sweep(chain, "cycles", 8)
    assert points[0].costs["cycles"] == min(one.costs["cycles"] for one in all_of_them)
    assert points[-1].loss == pytest.approx(min(one.loss for one in all_of_them), abs=1e-6)
    for point in points:
        better = [one for one in all_of_them if one.costs["cycles"] <= point.costs["cycles"]]
        assert point.loss == pytest.approx(min(one.loss for one in better), abs=1e-6)


def test_the_front_keeps_what_no_other_point_beats():
    points = [(5, 1.0), (3, 2.0), (4, 2.0), (6, 0.5), (7, 0.7), (3, 2.5)]
    assert front(points, lambda point: point) == [(3, 2.0), (5, 1.0), (6, 0.5)]


def simple():
    losses = ({(8, 8, 8): 0.0, (8, 4, 4): 1.0}, {(8, 8, 32): 0.0, (4, 4, 32): 0.5, (4, 8, 32): 0.2})
    cycles = ({(8, 8, 8): 100, (8, 4, 4): 60}, {(8, 8, 32): 50, (4, 4, 32): 20, (4, 8, 32): 45})
    return Chain(losses, {"cycles": cycles})


def test_a_budget_changes_the_choice_along_the_edge():
    assert solve(simple(), {"cycles": 150}).weight_bits == (8, 8)
    found = solve(simple(), {"cycles": 149})
    assert (found.weight_bits, found.activation_bits, found.costs["cycles"]) == ((4, 8), (4,), 105)
    assert solve(simple(), {"cycles": 104}).weight_bits == (4, 4)
    assert smallest(simple(), "cycles").costs["cycles"] == 80


def test_the_least_that_is_possible_is_named():
    with pytest.raises(FitError, match=r"no choice of widths has cycles of at most 79; the least is 80; raise"):
        solve(simple(), {"cycles": 79})
