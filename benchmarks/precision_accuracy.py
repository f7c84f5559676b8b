"""Accuracy of LeNet-5 in every precision: the shipped networks by the integer reference, and the mean of the seeds.

The other seeds are not trained again here: `benchmarks/results/seeds.json` holds what the commands in it gave. The
shipped network is seed 1, and its figure is measured.
"""

import json

from accel.model_dir import load
from benchmarks.report import RESULTS, Result, Row
from quant.data import datasets
from quant.reference import evaluate

SEEDS = RESULTS / "seeds.json"
SHIPPED_SEED = "1"
BOUNDS = {
    "lenet5-w8a8": (0.992, 0.9969),
    "lenet5-w4a4": (0.991, 0.9968),
    "lenet5-w2a2": (0.989, 0.9962),
    "lenet5-w1a1": (0.984, 0.9937),
}


def measure(progress, folder, quick, data_dir):
    """10,000 images (quick: 300) through every shipped network."""
    images, labels = datasets.load("mnist", data_dir)
    if quick:
        images, labels = images[:300], labels[:300]
    seeds = json.loads(SEEDS.read_text())
    task = progress.add_task("images", total=len(seeds) * len(images))
    rows, details = [], {"images": len(images)}
    for name, stored in seeds.items():
        share = evaluate.accuracy(load(name), images, labels, lambda count: progress.advance(task, count))
        runs = stored["accuracy"]
        mean = sum(runs.values()) / len(runs)
        must, aim = BOUNDS.get(name, (None, None))
        repeated = quick or share == runs[SHIPPED_SEED]
        rows.append(
            Row(
                f"{name}, mean of {len(runs)} seed{'s' * (len(runs) > 1)}",
                f">= {must:.1%}" if must else "",
                f"{aim:.2%}" if aim else "",
                f"{mean:.2%} ({', '.join(f'{run:.2%}' for run in runs.values())}); the shipped one now {share:.2%}",
                repeated and (must is None or mean >= must),
            )
        )
        details[name] = {"shipped": share, "mean": mean, **stored}
    return Result("precision_accuracy", tuple(rows), details)
