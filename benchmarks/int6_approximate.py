"""LeNet-5 with 6-bit weights on MNIST's test images: exact products against those of the approximate multiplier."""

from accel import reference
from accel.model_dir import load
from accel.names import INT6_MULTIPLIERS
from benchmarks.report import Result, Row
from quant.data import datasets

MODEL, BATCH = "lenet5-w6a8", 250


def measure(progress, folder, quick, data_dir):
    """10,000 images; quick: 500."""
    images, labels = datasets.load("mnist", data_dir)
    if quick:
        images, labels = images[:500], labels[:500]
    graph = load(MODEL)
    last = graph.layers[-1].name
    task = progress.add_task("images", total=len(images))
    correct, same = dict.fromkeys(INT6_MULTIPLIERS, 0), 0
    for start in range(0, len(images), BATCH):
        q = reference.encode_input(graph, images[start : start + BATCH])
        classes = {}
        for name in INT6_MULTIPLIERS:
            logits = reference.run(graph, q, (last,), int6_multiplier=name)[last]
            classes[name] = logits.reshape(len(q), -1).argmax(axis=1)
            correct[name] += int((classes[name] == labels[start : start + BATCH]).sum())
        same += int((classes["exact"] == classes["approximate"]).sum())
        progress.advance(task, len(q))
    exact, near = (correct[name] / len(images) for name in INT6_MULTIPLIERS)
    row = Row(
        f"LeNet-5 W6A8 on {len(images):,} MNIST test images, approximate products",
        "stated",
        "",
        f"{near:.2%}, exact {exact:.2%}",
        True,
        f"the same class for {same:,} images",
    )
    return Result("int6_approximate", (row,), {"exact": exact, "approximate": near, "same": same})
