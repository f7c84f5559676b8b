"""What each layer of a run took: widths, cycles, and the share of the array's multiply-accumulates in its mode."""

from accel.cli import print_table

COLUMNS = ("layer", "op", "compute", "weights", "input", "output", "cycles", "predicted", "utilization", "note")


def full_cycles(plan, config):
    """Cycles that a full array would need for a layer in its mode."""
    return plan.mac_count / (plan.macs_per_lane * config.rows * config.lanes)


def utilization(program, cycles):
    """Share of `cycles` that a full array would need for the layers, each in its own mode."""
    return sum(full_cycles(plan, program.config) for plan in program.layers) / cycles


def by_layer(program, cycles, counters):
    """A dict of figures for each layer; cycles, counters: of the last image, None where nothing was simulated.

    The first layer's counter begins before its image comes; here it gets the image's cycles less the others', so that
    the layers add up.
    """
    plans = program.layers
    predicted = [plan.predicted_cycles for plan in plans]
    predicted[0] = program.predicted_cycles - sum(predicted[1:])
    counted = [None] * len(plans)
    if counters is not None:
        counted = [count for count, _ in counters]
        counted[0] = cycles - sum(counted[1:])
    return [
        _row(plan, count, expected, program.config)
        for plan, count, expected in zip(plans, counted, predicted, strict=True)
    ]


def _row(plan, count, expected, config):
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


def print_layers(rows):
    print_table("Layers", COLUMNS, [[*row.values()] for row in rows])
