"""Accuracy of LeNet-5 on MNIST's test images: FP32 in PyTorch, int8 by the integer reference."""

from accel.model_dir import load
from benchmarks.report import Result, Row
from quant.data import datasets
from quant.models import sources
from quant.reference import evaluate

FLOAT_MODEL, MODEL = "lenet5", "lenet5-int8"
MUST_FLOAT, MUST_LOSS = 0.99, 0.001


def measure(progress, folder, quick, data_dir):
    """10,000 images; quick: 500."""
    images, labels = datasets.load("mnist", data_dir)
    if quick:
        images, labels = images[:500], labels[:500]
    task = progress.add_task("images", total=2 * len(images))
    exact = sources.float_accuracy(FLOAT_MODEL, images, labels)
    progress.advance(task, len(images))
    quantized = evaluate.accuracy(load(MODEL), images, labels, lambda count: progress.advance(task, count))
    rows = (
        Row(
            f"LeNet-5 on {len(images):,} MNIST test images, FP32",
            ">= 99.0 %",
            "99.2 %",
            f"{exact:.2%}",
            exact >= MUST_FLOAT,
        ),
        Row(
            "the same, int8 by the integer reference",
            "within 0.1 point",
            "no loss",
            f"{quantized:.2%}",
            exact - quantized <= MUST_LOSS,
        ),
    )
    return Result("accuracy", rows, {"float": exact, "int8": quantized, "images": len(images)})
