"""LeNet-5 in every precision on one and the same generated RTL: every integer, and the cycles."""

from accel.names import PRECISIONS
from benchmarks import workload
from benchmarks.report import Result, Row
from sim import breakdown

SIZE = (16, 16)
NETWORKS = tuple(f"lenet5-{name}" for name in ("w8a8", "w6a8", "w4a8", "w4a4", "w2a2", "w1a1", "mixed"))
LAYER_IMAGES, LOGIT_IMAGES = 10, 100


def measure(progress, folder, quick, data_dir):
    """The shipped digits: every layer of 10 images, the outputs of 100. Quick: 1 and 3."""
    by_layer, count = (1, 3) if quick else (LAYER_IMAGES, LOGIT_IMAGES)
    graphs = {name: workload.load(name) for name in NETWORKS}
    config = workload.one_build(graphs.values(), SIZE, PRECISIONS)
    task = progress.add_task("networks", total=len(graphs))
    figures = {}
    with workload.accelerator(config) as accelerator:
        for name, graph in graphs.items():
            inputs, labels = workload.digits(graph, count)
            _, every = workload.compare(accelerator, graph, inputs[:by_layer], layers=True)
            program, run = workload.compare(accelerator, graph, inputs)
            classes = run.outputs.reshape(len(inputs), -1).argmax(axis=1)
            cycles = run.cycles_per_image
            figures[name] = {
                "cycles": cycles,
                "predicted_cycles": program.predicted_cycles,
                "mismatches": len(every.mismatches) + len(run.mismatches),
                "correct": int((classes == labels).sum()),
                "images": len(inputs),
                "utilization": breakdown.utilization(program, cycles),
                "weight_words": sum(plan.weight_words for plan in program.layers),
                "layers": breakdown.by_layer(program, run.cycles[-1], run.counters),
            }
            progress.advance(task)
    wrong = sum(values["mismatches"] for values in figures.values())
    exact = all(values["cycles"] == values["predicted_cycles"] for values in figures.values())
    rows = [
        Row(
            f"{len(figures)} LeNet-5 of all precisions, one after the other on one 16x16 netlist = reference",
            "equal",
            "",
            "equal" if not wrong else f"{wrong} layers of images differ",
            not wrong,
            f"precisions {','.join(map(str, PRECISIONS))}; every layer of {by_layer} digits, outputs of {count}",
        ),
        Row(
            "their cycles an image at 16x16",
            "",
            "",
            ", ".join(f"{name[7:]} {values['cycles']:,}" for name, values in figures.items())
            + ("; all as predicted" if exact else "; NOT as predicted"),
            exact,
        ),
    ]
    return Result("precision_networks", tuple(rows), figures | {"config": config.to_dict()})
