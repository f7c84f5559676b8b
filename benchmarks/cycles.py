"""Cycles of LeNet-5 on the converted Verilog, alone and back to back; the cost model against the counters."""

from benchmarks import workload
from benchmarks.report import Result, Row
from sim.cli import compile_for

# Array size -> most cycles of one image that are accepted, and the goal.
LIMITS = {(4, 4): (None, None), (8, 8): (9_800, 9_200), (16, 16): (6_200, 3_200)}
BACK_TO_BACK = 10


def measure(progress, folder, quick, data_dir):
    """One image alone and ten back to back at each size; `quick` measures 4x4 only."""
    graph = workload.lenet()
    inputs, _ = workload.mnist(graph, data_dir, BACK_TO_BACK)
    sizes = workload.SIZES[:1] if quick else workload.SIZES
    task = progress.add_task("array sizes", total=len(sizes))
    rows, details, worst = [], {}, 0.0
    for size in sizes:
        figures = _measure_size(graph, size, inputs)
        rows.append(_row(size, figures))
        details["{}x{}".format(*size)] = figures
        worst = max(
            [
                worst,
                _error_percent(figures["predicted_cycles"], figures["cycles"]),
                *(layer["error_percent"] for layer in figures["layers"]),
            ]
        )
        progress.advance(task)
    layers = sum(len(figures["layers"]) for figures in details.values())
    rows.append(
        Row(
            "cost model against measured cycles, every layer",
            "within 1 %",
            "equal",
            f"largest error {worst:.2f} % in {layers} layers and {len(sizes)} whole images",
            worst <= 1,
        )
    )
    return Result("cycles", tuple(rows), details)


def _measure_size(graph, size, inputs):
    program = compile_for(graph, *size)
    beats = [program.encode_input(q) for q in inputs]
    with workload.loaded(program) as accelerator:
        singles = accelerator.run(beats)
        together = accelerator.run(beats, isolated=False)
        # Of the last image: its first layer does not wait for a source.
        counters = accelerator.counters(len(program.layers))
    cycles = max(singles.cycles_per_image)
    macs = program.mac_count
    return {
        "beat_bytes": program.config.lanes,
        "cycles": cycles,
        "predicted_cycles": program.predicted_cycles,
        "utilization": macs / (cycles * size[0] * size[1]),
        "steady_cycles": together.total_cycles / len(beats),
        "same_outputs": together.outputs == singles.outputs,
        "layers": [
            {
                "name": plan.name,
                "predicted": plan.predicted_cycles,
                "cycles": count,
                "stalls": stalls,
                "error_percent": _error_percent(plan.predicted_cycles, count),
            }
            for plan, (count, stalls) in zip(program.layers, counters, strict=True)
        ],
    }


def _error_percent(predicted, measured):
    return 100 * abs(predicted - measured) / measured


def _row(size, figures):
    limit, goal = LIMITS[size]
    same = "equal" if figures["same_outputs"] else "DIFFER"
    measured = (
        f"{figures['cycles']:,} ({figures['utilization']:.1%}); {BACK_TO_BACK} back to back "
        f"{figures['steady_cycles']:,.0f} each, outputs {same}"
    )
    met = figures["same_outputs"] and (limit is None or figures["cycles"] <= limit)
    return Row(
        f"cycles of LeNet-5 at {size[0]}x{size[1]}, {figures['beat_bytes']}-byte beats",
        f"<= {limit:,}" if limit else "",
        f"<= {goal:,}" if goal else "",
        measured,
        met,
    )
