"""Ablation of the gradient estimator: short trainings of LeNet-5 with `clipped` and `identity` at 8, 6, 4 and 2 bits.

The images that are counted are the last of the training split, which the trainings do not see. The float network that
all start from has seen them, so the figures compare estimators and nothing else.
"""

from benchmarks.report import Result, Row
from quant.data import datasets
from quant.names import MULTI_BIT_WEIGHTS

ESTIMATORS = ("clipped", "identity")
SEEDS = (1, 2, 3)
TRAINED, COUNTED = 6000, 5000
EPOCHS, LEARNING_RATE = 2, 2e-3


def measure(progress, folder, quick, data_dir):
    """24 trainings of two epochs of 6,000 images (quick: 4 of one epoch of 200)."""
    from quant.qat.ablation import estimators

    images, labels = datasets.load("mnist", data_dir, "train")
    trained, counted = (200, 200) if quick else (TRAINED, COUNTED)
    seeds, bits, epochs = (SEEDS[:1], MULTI_BIT_WEIGHTS[2:], 1) if quick else (SEEDS, MULTI_BIT_WEIGHTS, EPOCHS)
    task = progress.add_task("trainings", total=len(bits) * len(ESTIMATORS) * len(seeds))
    found = estimators(
        "lenet5",
        (images[:trained], labels[:trained]),
        (images[-counted:], labels[-counted:]),
        bits=bits,
        names=ESTIMATORS,
        seeds=seeds,
        epochs=epochs,
        learning_rate=LEARNING_RATE,
        advance=lambda: progress.advance(task),
    )
    rows = tuple(
        Row(
            f"gradient estimator at {width} bits, short trainings",
            "",
            "",
            "; ".join(f"{name} {_text(runs)}" for name, runs in found[width].items()),
        )
        for width in bits
    )
    details = {
        "images": trained,
        "counted": counted,
        "epochs": epochs,
        "learning_rate": LEARNING_RATE,
        "seeds": list(seeds),
        "runs": {
            str(width): {
                name: [{"loss": loss, "accuracy": share} for loss, share in runs] for name, runs in by_name.items()
            }
            for width, by_name in found.items()
        },
    }
    return Result("qat_estimators", rows, details)


def _text(runs):
    losses, shares = zip(*runs, strict=True)
    mean, loss = sum(shares) / len(runs), sum(losses) / len(runs)
    return f"{mean:.2%} ({min(shares):.2%} .. {max(shares):.2%}), loss {loss:.3f}"
