"""Learned fixed point (QFX) against post-training quantization at 4, 5 and 6 bits, weights and activations, on the
Fashion-MNIST network of the zoo.

Both start from the same float network. QFX must beat PTQ to formats of its own kind (binary point by maximum or by
least squared error, whichever is better); the aim is the best PTQ to float scales as well (rounded to nearest or by
GPTQ), which no fixed-point format has. QFX trains for a short while. The test images decide nothing.
"""

from benchmarks.report import Result, Row
from quant.data import datasets

MODEL, DATA = "fashion-cnn", "fashion_mnist"
WIDTHS, SEEDS = (4, 5, 6), (1, 2, 3)
TRAINED = 30000
OPTIONS = {"epochs": 1, "learning_rate": 1e-3, "augment": 0.3, "flip": True}
FIGURES = 4  # of PTQ per width


def measure(progress, folder, quick, data_dir):
    """9 trainings of one epoch of 30,000 images (quick: one of 100 images)."""
    from quant.qfx.study import against_ptq
    trained, counted = (datasets.load(DATA, data_dir, split) for split in ("train", "test"))
    widths, seeds, size, tested = (WIDTHS[:1], SEEDS[:1], 100, 100) if quick else (WIDTHS, SEEDS, TRAINED, None)
    task = progress.add_task("figures", total=1 + len(widths) * (FIGURES + len(seeds)))
    found = against_ptq(MODEL, [part[:size] for part in trained], [part[:tested] for part in counted], widths=widths,
                        seeds=seeds, options=OPTIONS, gptq_images=16 if quick else 256,
                        advance=lambda: progress.advance(task))
    rows = tuple(_row(width, found[width], found["float"], quick) for width in widths)
    details = {"images": size, "seeds": list(seeds), "options": OPTIONS, "float": found["float"],
               "widths": {str(width): found[width] for width in widths}}
    return Result("qfx_vs_ptq", rows, details)


def _row(width, found, full, quick):
    runs, ptq = found["qfx"], {name: share for name, share in found.items() if name != "qfx"}
    best = max(ptq, key=ptq.get)
    formats = max(share for name, share in ptq.items() if name.startswith("formats"))
    mean = sum(runs) / len(runs)
    text = (f"{mean:.2%} ({', '.join(f'{run:.2%}' for run in runs)}); PTQ to such formats {formats:.2%}, best of all "
            f"PTQ {ptq[best]:.2%} ({best}); FP32 {full:.2%}")
    return Row(f"QFX at {width} bits on fashion-cnn, mean of {len(runs)} seed{'s' * (len(runs) > 1)}",
               f"> {formats:.2%}", f"> {ptq[best]:.2%}", text, quick or mean > formats)
