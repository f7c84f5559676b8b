"""The converted Verilog against the integer reference: all layers on 100 images, logits on all 10,000."""

from benchmarks import workload
from benchmarks.report import Result, Row
from sim.cli import compile_for
from sim.comparison import run_network

SIZE = (16, 16)
LAYER_IMAGES, LOGIT_IMAGES = 100, 10_000


def measure(progress, folder, quick, data_dir):
    """In Verilator, at 16x16. Quick: 3 and 20 images."""
    graph = workload.lenet()
    layer_images, logit_images = (3, 20) if quick else (LAYER_IMAGES, LOGIT_IMAGES)
    inputs, labels = workload.mnist(graph, data_dir, logit_images)
    program = compile_for(graph, *SIZE)
    task = progress.add_task("images", total=len(program.layers) * layer_images + logit_images)

    def run(count, layers):
        return run_network(
            graph,
            program,
            inputs[:count],
            "verilator",
            layers=layers,
            advance=lambda done: progress.advance(task, done),
        )

    by_layer, logits = run(layer_images, True), run(logit_images, False)
    classes = logits.outputs.reshape(logit_images, -1).argmax(axis=1)
    correct = int((classes == labels).sum())
    rows = (
        _row(f"converted Verilog (Verilator, 16x16) = reference, every layer, {layer_images} images", by_layer),
        _row(
            f"the same, logits of {logit_images:,} images",
            logits,
            f"; accuracy of the Verilog {correct / logit_images:.2%}",
        ),
    )
    return Result("verilog", rows, {"correct": correct, "images": logit_images, "layer_images": layer_images})


def _row(what, result, more=""):
    wrong = len(result.mismatches)
    measured = f"{wrong} layers of images differ, the first: {result.mismatches[0]}" if wrong else "equal"
    return Row(what, "equal", "", measured + more, not wrong)
