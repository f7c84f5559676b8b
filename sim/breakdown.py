"""What each layer of a run took: widths, cycles, and the share of the array's multiply-accumulates in its mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel.cli import print_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from accel.compile.program import LayerPlan, Program
    from accel.config import HardwareConfig
    from accel.types import Notes

COLUMNS = ("layer", "op", "compute", "weights", "input", "output", "cycles", "predicted", "utilization", "note")


def full_cycles(plan: LayerPlan, config: HardwareConfig) -> float:
    """Cycles that a full array would need for a layer in its mode."""
    return plan.mac_count / (plan.macs_per_lane * config.rows * config.lanes)


def utilization(program: Program, cycles: int) -> float:
    """Share of `cycles` that a full array would need for the layers, each in its own mode."""
    return sum(full_cycles(plan, program.config) for plan in program.layers) / cycles


def by_layer(program: Program, cycles: int | None, counters: Sequence[tuple[int, int]] | None) -> list[Notes]:
    """A dict of figures for each layer; cycles, counters: of the last image, None where nothing was simulated.

    The first layer's counter begins before its image comes; here it gets the image's cycles less the others', so that
    the layers add up.
    """
    plans = program.layers
    predicted = [plan.predicted_cycles for plan in plans]
    predicted[0] = program.predicted_cycles - sum(predicted[1:])
    counted: Sequence[int | None] = [None] * len(plans)
    if counters is not None and cycles is not None:
        others = [count for count, _ in counters[1:]]
        counted = [cycles - sum(others), *others]
    return [
        _row(plan, count, expected, program.config)
        for plan, count, expected in zip(plans, counted, predicted, strict=True)
    ]


def _row(plan: LayerPlan, count: int | None, expected: int, config: HardwareConfig) -> Notes:
    widths = plan.precision
    return {
        "name": plan.name,
        "op": plan.op,
        "compute_bits": widths.compute_bits,
        "weight_bits": plan.weight_memory.wire_bits,
        "input_bits": widths.input_bits,
        "output_bits": widths.output_bits,
        "cycles": count,
        "predicted_cycles": expected,
        "utilization": full_cycles(plan, config) / count if count else None,
        "note": widths.note,
    }


def print_layers(rows: Iterable[Notes]) -> None:
    print_table("Layers", COLUMNS, [[*row.values()] for row in rows])
