"""Accuracy of a LeNet-5 with 1-bit weights whose element-wise layers multiply by 8-bit numbers, or by two shifts.

The two networks are trained alike. Both are exported and run on the accelerator: the second on a build whose
requantizer has no multiplier.
"""

from accel.reference import encode_input
from benchmarks import workload
from benchmarks.report import Result, Row
from quant.data import datasets

MOST_POINTS = 0.4  # that 2-hot multipliers may cost
TRAINED, RUN = 30_000, 100
ACTIVATION = 4
SEEDS = (1, 2, 3)
OPTIONS = {"epochs": 4, "learning_rate": 5e-3, "augment": 0.5, "copies": 1}
KINDS = {"8-bit multiplier": (None, "full"), "2-hot": (2, "khot2")}


def measure(progress, folder, quick, data_dir):
    """Six trainings of four epochs of 30,000 images, counted on the 10,000 test images (quick: two of 100 images)."""
    from quant.qfx.binary import trained_graph
    from quant.reference import evaluate

    images, labels = datasets.load("mnist", data_dir, "train")
    test = datasets.load("mnist", data_dir)
    count, seeds, options = TRAINED, SEEDS, OPTIONS
    if quick:
        test, count, seeds = (test[0][:100], test[1][:100]), 100, SEEDS[:1]
        options = OPTIONS | {"epochs": 1, "copies": 1}
    task = progress.add_task("trainings", total=len(KINDS) * len(seeds))
    shares, wrong = {kind: {} for kind in KINDS}, {}
    for kind, (hot, requantizer) in KINDS.items():
        for seed in seeds:
            graph = trained_graph(
                (images[:count], labels[:count]), hot=hot, activation=ACTIVATION, options=options | {"seed": seed}
            )
            shares[kind][seed] = evaluate.accuracy(graph, *test)
            progress.advance(task)
        wrong[kind] = differing(graph, requantizer, test[0][: 2 if quick else RUN])
    return summarize(shares, wrong, options, quick)


def differing(graph, requantizer, images):
    """Layers of images in which the accelerator, 8x8, differs from the reference."""
    config = workload.one_build([graph], (8, 8), (8, 4, 1), requantizer=requantizer)
    with workload.accelerator(config) as accelerator:
        _, run = workload.compare(accelerator, graph, encode_input(graph, images), layers=True)
    return len(run.mismatches)


def summarize(shares, wrong, options, quick=False):
    """The Result of {kind: {seed: accuracy}} and {kind: layers of images that differ on the accelerator}."""
    means = {kind: sum(found.values()) / len(found) for kind, found in shares.items()}
    full, hot = means.values()
    points = round(100 * (full - hot), 6)
    texts = [
        f"{kind} {means[kind]:.2%} ({', '.join(f'{share:.2%}' for share in found.values())})"
        for kind, found in shares.items()
    ]
    seeds = ", ".join(map(str, next(iter(shares.values()))))
    rows = (
        Row(
            f"W1A{ACTIVATION} LeNet-5: 2-hot multipliers in element-wise layers against 8-bit ones",
            "within 0.4 point",
            "no loss",
            f"{hot:.2%} against {full:.2%}: {points:+.2f} points lost",
            points <= MOST_POINTS or quick,
            f"mean of seeds {seeds}: {', '.join(texts)}",
        ),
        Row(
            "both on the RTL, every layer; the 2-hot one without a multiplier in the requantizer",
            "equal",
            "",
            "equal" if not any(wrong.values()) else f"{sum(wrong.values())} layers of images differ",
            not any(wrong.values()),
        ),
    )
    return Result("khot_accuracy", rows, {"accuracy": shares, "mean": means, "mismatches": wrong, "options": options})
