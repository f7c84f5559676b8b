"""Post-training quantization of LeNet-5 by every method: three float networks, four widths, levels, observers.

The float networks of seeds 2 and 3 lie in `benchmarks/seeds/`; each was trained with
`python -m quant train --model lenet5 --data mnist --seed SEED`. A width's method is the one with the smallest
divergence from the float outputs, averaged over the seeds, on training images that the calibration did not see. The
test images give the final figures and choose nothing.
"""

from pathlib import Path

import numpy as np

from benchmarks.report import Result, Row
from quant.data import datasets
from quant.models import sources
from quant.ptq import methods
from quant.reference import evaluate

MODEL = "lenet5"
SEEDS = Path(__file__).parent / "seeds"
WEIGHTS = {"1": None, "2": SEEDS / "lenet5-2.npz", "3": SEEDS / "lenet5-3.npz"}
# (bits of the weights, of the activations) -> points of accuracy that may be lost
WIDTHS = {"W8A8": ((8, 8), 0.1), "W6A8": ((6, 8), 0.1), "W4A8": ((4, 8), 0.3), "W4A4": ((4, 4), 1.0)}
SLOW = "AdaRound"  # tried at 4 bits only
# what -> (name, widths, ways that differ in it only). At 4 bits every integer is 2-hot.
LEAST_SQUARES = {"weight_calibration": "mse"}
COMPARISONS = {
    "levels": ("W6A8", (6, 8), {way: {**LEAST_SQUARES, **changes} for way, changes in methods.LEVELS.items()}),
    "observers": ("W8A4", (8, 4), methods.OBSERVERS),
}
CALIBRATION, HELD = 1000, 1000


class Study:
    """The float networks, the images and what was measured so far."""

    def __init__(self, progress, quick, data_dir):
        train, _ = datasets.load("mnist", data_dir, "train")
        self.test, self.labels = datasets.load("mnist", data_dir)
        count, held = (60, 40) if quick else (CALIBRATION, HELD)
        if quick:
            self.test, self.labels = self.test[:100], self.labels[:100]
        self.calibration, self.held = train[:count], train[-held:]
        self.quick = quick
        weights = {"1": None} if quick else WEIGHTS
        self.modules = {seed: sources.load_float_model(MODEL, path)[0] for seed, path in weights.items()}
        self.progress, self.task = progress, progress.add_task("networks", total=None)
        self.graphs = {}

    def graph(self, seed, widths, changes):
        """The integer network; the same request twice is quantized once."""
        key = (seed, widths, tuple(sorted(changes.items())))
        if key not in self.graphs:
            self.graphs[key] = methods.quantize_by(self.modules[seed], self.calibration, widths, changes)
            self.progress.advance(self.task, 1)
        return self.graphs[key]

    def divergences(self, widths, ways):
        """{way: {seed: divergence on the held-out training images}}."""
        return {
            way: {
                seed: methods.divergence(module, self.graph(seed, widths, changes), self.held)
                for seed, module in self.modules.items()
            }
            for way, changes in ways.items()
        }

    def accuracies(self, widths, changes):
        """{seed: share of the test images} by the integer reference."""
        return {
            seed: evaluate.accuracy(self.graph(seed, widths, changes), self.test, self.labels) for seed in self.modules
        }

    def float_accuracies(self):
        """{seed: share of the test images} in float32."""
        return {
            seed: sources.accuracy(module, sources.to_float(self.test), self.labels)
            for seed, module in self.modules.items()
        }


def mean(by_seed):
    return float(np.mean(list(by_seed.values())))


def losses(exact, measured):
    """Points of accuracy lost, seed by seed."""
    return {seed: 100 * (exact[seed] - measured[seed]) for seed in exact}


def text_of(exact, measured):
    lost = losses(exact, measured)
    each = ", ".join(f"{value:+.2f}" for value in lost.values())
    return f"{mean(measured):.2%}; lost {mean(lost):+.2f} ({each})"


def measure(progress, folder, quick, data_dir):
    """Quick: one float network, three methods, 100 test images."""
    study = Study(progress, quick, data_dir)
    exact = study.float_accuracies()
    count = len(exact)
    rows = [
        Row(
            f"LeNet-5 on {len(study.labels):,} MNIST test images, FP32, mean of {count} seed{'s' * (count > 1)}",
            "",
            "",
            f"{mean(exact):.2%} ({', '.join(f'{value:.2%}' for value in exact.values())})",
        )
    ]
    details = {
        "float": exact,
        "widths": {},
        "images": len(study.labels),
        "calibration": len(study.calibration),
        "held": len(study.held),
    }
    for name, (widths, must) in WIDTHS.items():
        row, details["widths"][name] = best_method(study, name, widths, must, exact)
        rows.append(row)
    for what, (name, widths, ways) in COMPARISONS.items():
        row, details[what] = comparison(study, what, name, widths, ways)
        rows.append(row)
    return Result("ptq_accuracy", tuple(rows), details)


def best_method(study, name, widths, must, exact):
    """The row and the figures of one width."""
    ways = {way: changes for way, changes in methods.METHODS.items() if way != SLOW or widths[0] == 4}
    if study.quick:
        ways = {way: methods.METHODS[way] for way in ("nearest", "AWQ", "GPTQ")}
    divergences = study.divergences(widths, ways)
    best = min(divergences, key=lambda way: mean(divergences[way]))
    accuracy = study.accuracies(widths, ways[best])
    plain = study.accuracies(widths, {})
    lost = mean(losses(exact, accuracy))
    row = Row(
        f"PTQ {name}, {best}",
        f"within {must} point",
        "no loss" if widths[1] == 8 else "",
        f"{text_of(exact, accuracy)}; to nearest: {mean(plain):.2%}",
        study.quick or lost <= must,
    )
    return row, {"divergence": divergences, "chosen": best, "accuracy": accuracy, "nearest": plain}


def comparison(study, what, name, widths, ways):
    """The row and the figures of ways that differ in one thing, rounding to nearest."""
    divergences = study.divergences(widths, ways)
    accuracy = {way: study.accuracies(widths, changes) for way, changes in ways.items()}
    measured = "; ".join(f"{way} {mean(values):.2%}" for way, values in accuracy.items())
    return Row(f"PTQ {name}, {what}", "", "", measured), {"divergence": divergences, "accuracy": accuracy}
