"""The Fashion-MNIST network in float32, int8 and mixed precision: accuracy, weight bytes, cycles on one accelerator."""

from accel import model_dir
from accel.reference import encode_input
from benchmarks import workload
from benchmarks.report import Result, Row
from quant.data import datasets
from quant.models import sources
from quant.reference import evaluate

FLOAT_MODEL, INT8, MIXED = "fashion-cnn", "fashion-cnn-int8", "fashion-cnn-mixed"
SIZE, PRECISIONS, OPTIONS = (8, 8), (8, 4), {"req_lanes": 4}
RTL_IMAGES = 100
MUST_FLOAT, MUST_INT8, MUST_MIXED, MUST_SHARE = 0.91, 0.002, 0.01, 0.6


def measure(progress, folder, quick, data_dir):
    """10,000 test images by the references, 100 on the RTL; quick: 300 and 2."""
    images, labels = datasets.load("fashion_mnist", data_dir)
    if quick:
        images, labels = images[:300], labels[:300]
    task = progress.add_task("images", total=2 * len(images))
    graphs = {name: model_dir.load(name) for name in (INT8, MIXED)}
    exact = sources.float_accuracy(FLOAT_MODEL, images, labels)
    figures = {
        name: {"accuracy": evaluate.accuracy(graph, images, labels, lambda count: progress.advance(task, count))}
        for name, graph in graphs.items()
    }
    config = workload.one_build(graphs.values(), SIZE, PRECISIONS, **OPTIONS)
    with workload.accelerator(config) as accelerator:
        for name, graph in graphs.items():
            inputs = encode_input(graph, images[: 2 if quick else RTL_IMAGES])
            program, run = workload.compare(accelerator, graph, inputs, layers=True)
            figures[name] |= {
                "cycles": run.cycles_per_image,
                "predicted_cycles": program.predicted_cycles,
                "mismatches": len(run.mismatches),
                "images": len(inputs),
                "bank_bytes": sum(plan.weight_memory.bank_bytes for plan in program.layers),
                "file_bytes": sum(model_dir.packed_weights(layer).size for layer in graph.layers if layer.macs),
                "widths": [[layer.weight_bits, layer.output.bits] for layer in graph.layers if layer.macs],
            }
    return Result(
        "fashion", tuple(_rows(exact, figures, len(images))), {"float": exact, "config": config.to_dict(), **figures}
    )


def _rows(exact, figures, count):
    int8, mixed = figures[INT8], figures[MIXED]
    shares = {key: mixed[key] / int8[key] for key in ("bank_bytes", "file_bytes", "cycles")}
    equal = all(not item["mismatches"] and item["cycles"] == item["predicted_cycles"] for item in figures.values())
    weights, outputs = (",".join(map(str, bits)) for bits in zip(*mixed["widths"], strict=True))
    yield Row(
        f"Fashion-MNIST, {FLOAT_MODEL} (60,688 weights), {count:,} test images: FP32",
        ">= 91 %",
        "",
        f"{exact:.2%}",
        exact >= MUST_FLOAT,
    )
    yield Row(
        "the same, int8", "within 0.2 point", "", f"{int8['accuracy']:.2%}", exact - int8["accuracy"] <= MUST_INT8
    )
    yield Row(
        f"the same, mixed: bits of weights {weights}, of outputs {outputs} (32: raw)",
        "within 1 point",
        "",
        f"{mixed['accuracy']:.2%}",
        exact - mixed["accuracy"] <= MUST_MIXED,
    )
    yield Row(
        "its weight bytes and its cycles against int8 on one 8x8 build",
        "<= 60 %, <= 60 %",
        "",
        f"{shares['bank_bytes']:.1%}, {shares['cycles']:.1%} ({mixed['cycles']:,} of {int8['cycles']:,})",
        max(shares.values()) <= MUST_SHARE,
        f"bytes in the bank, in the file {shares['file_bytes']:.1%}; precisions 8,4, req_lanes 4",
    )
    yield Row(
        f"both on that RTL = reference, every layer of {int8['images']} images, cycles as predicted",
        "equal",
        "",
        "equal" if equal else "NOT equal",
        equal,
    )
