"""PyTorch's quantized reference against the integer reference, the plain fake-quantized network beside it."""

import json
import subprocess
import sys

from accel.errors import DataError
from benchmarks.report import Result, Row


def measure(progress, folder, quick, data_dir):
    """Every integer of every layer by `python -m quant compare`, 10,000 images (quick: 200)."""
    task = progress.add_task("compare", total=1)
    command = [
        sys.executable,
        "-m",
        "quant",
        "compare",
        "--model",
        "lenet5-int8",
        "--float-model",
        "lenet5",
        "--data",
        "mnist",
        "--json",
    ]
    command += ["--count", "200"] if quick else []
    command += ["--data-dir", data_dir] if data_dir else []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if not done.stdout:
        raise DataError("the comparison gave no result; its message stands above")
    figures = json.loads(done.stdout)
    progress.advance(task)
    layers = figures["layers"]
    values, mismatches, one_step, more = (
        sum(layer[key] for layer in layers) for key in ("values", "mismatches", "fake_one_step", "fake_more")
    )
    nearest = max(layer["tie_distance"] for layer in layers)
    rows = (
        Row(
            f"PyTorch quantized reference = integer reference, all layers, {figures['count']:,} images",
            "every integer equal",
            "",
            f"{mismatches} of {values:,} differ",
            mismatches == 0,
        ),
        Row(
            "plain fake-quant beside it, on equal inputs",
            "none above 1 step per layer",
            "",
            f"{one_step:,} differ by 1 step, {more} by more",
            more == 0,
            f"all within {nearest:.2g} step of a rounding tie; the class changes in {figures['fake_class_changes']} "
            "images",
        ),
    )
    return Result("equality", rows, figures)
