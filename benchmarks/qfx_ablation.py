"""Ablation of learned fixed point: start of the binary points x how fast they learn, against where they end up.

Short trainings of LeNet-5 at 4 bits. The images that are counted are the last of the training split, which the
trainings do not see (the float network has: the figures compare settings and nothing else).
"""

from benchmarks.report import Result, Row
from quant.data import datasets

STARTS = ("mse", "max", 3, -2)
RATES = (0, 1.0, 10.0, 100.0)
WIDTH = 4
TRAINED, COUNTED = 4000, 3000
OPTIONS = {"epochs": 2, "learning_rate": 1e-3, "augment": 0.5, "seed": 1}


def measure(progress, folder, quick, data_dir):
    """16 trainings of two epochs of 4,000 images (quick: 2 of 100 images)."""
    from quant.qfx.study import ablation

    images, labels = datasets.load("mnist", data_dir, "train")
    trained, counted = (100, 100) if quick else (TRAINED, COUNTED)
    starts, rates = (STARTS[:1], RATES[1:3]) if quick else (STARTS, RATES)
    task = progress.add_task("trainings", total=len(starts) * len(rates))
    runs = ablation(
        "lenet5",
        (images[:trained], labels[:trained]),
        (images[-counted:], labels[-counted:]),
        width=WIDTH,
        starts=starts,
        rates=rates,
        options=OPTIONS,
        advance=lambda: progress.advance(task),
    )
    return result(runs, {"images": trained, "counted": counted, "options": OPTIONS, "width": WIDTH})


def result(runs, details):
    """The Result of the runs of `ablation`; the best points are those of the run with the highest accuracy."""
    best = {name: last for name, (_, last) in max(runs, key=lambda run: run["after"])["points"].items()}
    starts = dict.fromkeys(run["start"] for run in runs)
    rows = []
    for start in starts:
        own = [run for run in runs if run["start"] == start]
        accuracies = ", ".join(f"{run['after']:.1%}" for run in own)
        rows.append(
            Row(
                f"QFX, {WIDTH} bits: binary points start {_name(start)}",
                "",
                "",
                f"{accuracies} by rate",
                None,
                "; ".join(_text(run, best) for run in own),
            )
        )
    return Result("qfx_ablation", tuple(rows), {**details, "best_points": best, "runs": runs})


def _name(start):
    return {"mse": "at the least squared error", "max": "at the maximum"}.get(start, f"at {start} integer bits")


def _text(run, best):
    moved = sum(abs(last - first) for first, last in run["points"].values())
    away = sum(abs(last - best[name]) for name, (_, last) in run["points"].items())
    rate = f"rate {run['rate']:g}" if run["rate"] else "fixed"
    return f"{rate}: {run['before']:.1%} -> {run['after']:.1%}, {moved} bits moved, {away} off the best"
