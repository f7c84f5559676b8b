"""The converted Verilog against the integer reference: all layers on 100 images, logits on all 10,000."""

import numpy as np

from accel.reference import run
from benchmarks import workload
from benchmarks.report import Result, Row

SIZE = (16, 16)
LAYER_IMAGES, LOGIT_IMAGES, CHUNK = 100, 10_000, 250


def measure(progress, folder, quick, data_dir):
    """Quick: 3 and 20 images."""
    graph = workload.lenet()
    layer_images, logit_images = (3, 20) if quick else (LAYER_IMAGES, LOGIT_IMAGES)
    inputs, labels = workload.mnist(graph, data_dir, logit_images)
    program = workload.compiled(graph, *SIZE)
    steps = len(program.layers) - 1
    task = progress.add_task("images", total=steps * layer_images + logit_images)
    values = mismatches = correct = 0
    with workload.loaded(program) as accelerator:
        expected = run(graph, inputs[:layer_images])
        for count in range(1, len(program.layers)):
            shorter = program.truncated(count)
            accelerator.load(shorter)
            actual = _outputs(accelerator, shorter, inputs[:layer_images])
            wanted = expected[shorter.layers[-1].output_name]
            values, mismatches = values + wanted.size, mismatches + int((actual != wanted).sum())
            progress.advance(task, layer_images)
        accelerator.load(program)
        logit_mismatches = 0
        for start in range(0, logit_images, CHUNK):
            chunk = inputs[start:start + CHUNK]
            actual = _outputs(accelerator, program, chunk)
            wanted = run(graph, chunk)[graph.layers[-1].name]
            logit_mismatches += int((actual != wanted).sum())
            correct += int((actual.reshape(len(chunk), -1).argmax(1) == labels[start:start + CHUNK]).sum())
            progress.advance(task, len(chunk))
    rows = (
        Row(f"converted Verilog (Verilator, 16x16) = reference, every layer, {layer_images} images",
            "equal", "",
            f"{mismatches} of {values:,} integers differ", mismatches == 0),
        Row(f"the same, logits of {logit_images:,} images", "equal", "",
            f"{logit_mismatches} of {logit_images * graph.output.elements:,} differ; accuracy of the Verilog "
            f"{correct / logit_images:.2%}", logit_mismatches == 0),
    )
    return Result("verilog", rows, {"layer_mismatches": mismatches, "logit_mismatches": logit_mismatches,
                                    "correct": correct, "images": logit_images})


def _outputs(accelerator, program, inputs):
    result = accelerator.run([program.encode_input(q) for q in inputs])
    return np.stack([program.decode_output(data) for data in result.outputs])
