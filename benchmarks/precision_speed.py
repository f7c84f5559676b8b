"""Cycles of one layer in every width, all on one 16x16 netlist with all modes: what a layer gains from each bit."""

from accel.names import ACTIVATION_BITS, PRECISIONS
from benchmarks import workload
from benchmarks.report import Result, Row
from sim import breakdown

SIZE = (16, 16)
# Layer -> what it is, and the least speed-up over int8 of each width.
LAYERS = {
    "conv128": ("3x3 convolution 128->128 on 16x16 pixels", {4: 1.97, 2: 3.9, 1: 7.8}),
    "dense1024": ("dense layer 1024->1024", {4: 1.9, 2: 3.7, 1: 7.0}),
}


def measure(progress, folder, quick, data_dir):
    """One image of each of the eight layers on one model. `quick`: the convolution only."""
    kinds = list(LAYERS)[:1] if quick else list(LAYERS)
    graphs = {kind: {bits: workload.load(f"{kind}-w{bits}a{bits}") for bits in ACTIVATION_BITS} for kind in kinds}
    task = progress.add_task("layers", total=len(kinds) * len(ACTIVATION_BITS))
    config = workload.one_build([graph for group in graphs.values() for graph in group.values()], SIZE, PRECISIONS)
    rows, details = [], {"config": config.to_dict()}
    with workload.accelerator(config) as accelerator:
        for kind in kinds:
            figures = {}
            for bits, graph in graphs[kind].items():
                figures[bits] = run_layer(accelerator, graph)
                progress.advance(task)
            rows.append(_row(kind, figures))
            details[kind] = figures
    return Result("precision_speed", tuple(rows), details)


def run_layer(accelerator, graph):
    """Cycles of one random image and whether its output equals the reference."""
    inputs = workload.random_inputs(graph, 1)
    program, run = workload.compare(accelerator, graph, inputs)
    plan, cycles = program.layers[0], run.cycles_per_image
    return {
        "cycles": cycles,
        "predicted_cycles": program.predicted_cycles,
        "equal": not run.mismatches,
        "macs": program.mac_count,
        "macs_per_cycle": program.mac_count / cycles,
        "note": plan.precision.note,
        "utilization": breakdown.utilization(program, cycles),
        "weight_words": plan.weight_words,
        "compute_bits": plan.precision.compute_bits,
    }


def _row(kind, figures):
    title, least = LAYERS[kind]
    gains = {bits: figures[8]["cycles"] / figures[bits]["cycles"] for bits in least}
    exact = all(values["equal"] and values["cycles"] == values["predicted_cycles"] for values in figures.values())
    own = all(values["compute_bits"] == bits for bits, values in figures.items())
    asked = ", ".join(f">= {gain}" for gain in least.values())
    cycles = " / ".join(f"{figures[bits]['cycles']:,}" for bits in ACTIVATION_BITS)
    found = ", ".join(f"{gain:.2f}" for gain in gains.values())
    same = "equal to" if exact else "DIFFER from"
    return Row(
        f"{title}: speed-up of int4, int2, binary over int8",
        asked,
        "2, 4, 8",
        found,
        exact and own and all(gains[bits] >= gain for bits, gain in least.items()),
        f"one 16x16 netlist; cycles int8 / int4 / int2 / binary {cycles}; outputs and predicted cycles {same} "
        "the reference",
    )
