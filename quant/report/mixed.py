"""The mixed network and the Pareto front of a report, from the precision search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel.compile.choices import weighted_layers
from accel.tensor import RAW_BITS
from quant.report.compared import PTQ, after_training
from quant.report.widths import MIXED, WIDTHS
from quant.search.budget import Budget
from quant.search.probe import Probe
from quant.search.search import SearchOptions, search

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from accel.config import HardwareConfig
    from accel.types import Notes
    from quant.report.compared import Entry, Source
    from quant.search.search import Point, Result

IMAGES = 500


def find(
    source: Source,
    entries: Sequence[Entry],
    config: HardwareConfig,
    cost: str,
    share: float,
    advance: Callable[[], None] = lambda: None,
) -> tuple[Entry, Notes]:
    """(Entry of the chosen widths after training, the search's figures as plain values).

    entries: those quantized after training with the same widths everywhere; they are what the search chooses from.
    config: HardwareConfig with large memories. cost: metric of the budget and of the front; share: the budget, of what
    the 8-bit network costs, 0..1. Raises FitError where no choice meets it.
    """
    graphs = {weighted_layers(entry.graph)[0].weight_bits: entry.graph for entry in entries if entry.method == PTQ}
    weights = tuple(sorted(graphs, reverse=True))
    activations = tuple(
        sorted({weighted_layers(graph)[0].output.bits for graph in graphs.values()} - {RAW_BITS}, reverse=True)
    ) or (8,)
    images = source.calibration[:IMAGES]
    options = SearchOptions(
        weight_bits=weights, activation_bits=activations, axis=cost, budgets=(Budget(cost, share, relative=True),)
    )
    result = search(graphs[8], [config], Probe(source.prepared, images, None, graphs), options, advance)
    chosen = _undominated(result)
    how = f"search: at most {100 * share:.0f}\u00a0% of INT8's {cost.replace('_', ' ')}"
    entry = after_training(source, MIXED, chosen.weight_bits, chosen.activation_bits, how=how)
    front = [{**point.to_dict(), "chosen": point == chosen} for point in result.front]
    uniform = [
        {**point.to_dict(), "title": f"W{weight}A{output}"} for (weight, output), point in result.uniform.items()
    ]
    return entry, {
        "axis": cost,
        "budget": share,
        "images": len(images),
        "measure": options.measure,
        "front": front,
        "chosen": chosen.to_dict(),
        "uniform": uniform,
    }


def _undominated(result: Result) -> Point:
    """The Point of a search Result of least harm that no network with equal widths beats, among those within the
    limits; the chosen one where there is none."""

    def beats(uniform: Point, point: Point) -> bool:
        return uniform.figures.kl <= point.figures.kl and all(
            uniform.costs[metric] <= point.costs[metric] for metric in ("file_bytes", "cycles")
        )

    within = [
        point
        for point in (result.chosen, *result.front)
        if all(point.costs[metric] <= limit for metric, limit in result.limits.items())
    ]
    uniform = {id(point) for point in result.uniform.values()}
    left = [
        point
        for point in within
        if id(point) not in uniform and not any(beats(other, point) for other in result.uniform.values())
    ]
    return min(left, key=lambda point: point.figures.kl, default=result.chosen)


def dominated(rows: Sequence[Notes]) -> list[tuple[str, str]]:
    """[(key of a mixed network, reason)] of those in a report's rows of figures that one with equal widths, made the
    same way, beats or equals in accuracy, bytes of weights and cycles, and beats in one of them."""
    found = []
    for row in rows:
        if row["width"] != MIXED.key:
            continue
        for other in rows:
            if other["width"] in WIDTHS and other["width"] != MIXED.key and other["method"] == row["method"]:
                pairs = [(-other["correct"], -row["correct"]), (other["weight_bytes"], row["weight_bytes"])]
                if other["cycles"] is not None and row["cycles"] is not None:
                    pairs.append((other["cycles"], row["cycles"]))
                if all(one <= own for one, own in pairs) and any(one < own for one, own in pairs):
                    reason = (
                        f"none is better: {other['title']} classifies {other['correct']:,} images right with "
                        f"{other['weight_bytes']:,} bytes of weights, this one {row['correct']:,} with "
                        f"{row['weight_bytes']:,}"
                    )
                    found.append((row["key"], reason))
                    break
    return found
