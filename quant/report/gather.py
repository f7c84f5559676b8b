"""Everything that a report says, as one plain dictionary: the JSON, and what the page is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch

from accel.compile.choices import weighted_layers
from accel.errors import BitloomError, DataError
from quant.check.model_check import check_network
from quant.check.thresholds import PRESETS
from quant.data.loaders import check_labels
from quant.models.call import classes_of, run_module
from quant.models.train import to_float
from quant.report import histograms, measure
from quant.report.compared import PTQ
from quant.report.mixed import dominated
from quant.report.widths import WIDTHS, verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from accel.config import HardwareConfig
    from accel.types import Bytes, Ints, Notes
    from quant.check.model_check import TensorCheck
    from quant.report.compared import Entry, Source
    from quant.report.measure import Size
    from quant.report.widths import Width

FORMAT = 1
LITERATURE = (
    "−0.5 to −1 points at INT8, −1 to −4 at INT4 and −10 to −20 with signs are rules of thumb for tasks of "
    "the size of ImageNet; the first binary networks there lost 12.4 points (AlexNet) and 18.1 (ResNet-18): "
    "Rastegari et al., XNOR-Net, ECCV 2016. INT6, INT2 and mixed widths have no such rule."
)
HISTOGRAM_IMAGES = 200
CHECK_IMAGES = 200
FLOAT = "fp32"

Result = TypeVar("Result")


def float_classes(source: Source, images: Bytes, advance: Callable[[int], None] = lambda count: None) -> Ints:
    """Class of every image by the float module, int64 [N]."""
    mean, std = (
        torch.tensor(part).float().reshape(1, -1, 1, 1)
        for part in (source.normalization.mean, source.normalization.std)
    )
    parts = []
    with torch.no_grad():
        for start in range(0, len(images), measure.BATCH):
            part = images[start : start + measure.BATCH]
            result = run_module(source.module, (to_float(part) - mean) / std)
            parts.append(classes_of(result.flatten(1) if result.dim() > 1 else result).numpy())
            advance(len(part))
    return np.concatenate(parts)


def networks(
    source: Source,
    entries: Iterable[Entry],
    images: Bytes,
    labels: Ints,
    config: HardwareConfig,
    advance: Callable[[int], None] = lambda count: None,
) -> list[Notes]:
    """Figures of the float network and of every Entry, the float one first: a list of plain dictionaries.

    Raises DataError where a label is no class of the network.
    """
    classes = class_names(source)
    check_labels(labels, len(classes), source.name)
    size = measure.float_size(source.prepared.network)
    count = len(classes)
    rows = [
        {
            "key": FLOAT,
            "width": FLOAT,
            "title": "FP32",
            "method": "float",
            "how": "the network itself",
            "weight_bits": [32],
            "activation_bits": [32],
            **_size(size, size),
            **_accuracy(labels, float_classes(source, images, advance), count),
        }
    ]
    for entry in entries:
        layers = weighted_layers(entry.graph)
        found = _accuracy(labels, measure.integer_classes(entry.graph, images, advance), count)
        change = 100 * (found["correct"] - rows[0]["correct"]) / len(labels)
        width = WIDTHS.get(entry.width)
        expected = width.expected if width else None
        rows.append(
            {
                "key": entry.key,
                "width": entry.width,
                "title": entry.title,
                "method": entry.method,
                "how": entry.how,
                "weight_bits": [layer.weight_bits for layer in layers],
                "activation_bits": [layer.output.bits for layer in layers[:-1]],
                **_size(measure.integer_size(entry.graph, config), size),
                **found,
                "change_points": change,
                "expected_points": expected,
                "verdict": verdict(change, expected),
            }
        )
    return rows


def class_names(source: Source) -> list[str]:
    """Names of the classes: the data set's, else numbers."""
    if source.class_names:
        return list(source.class_names)
    height, width, channels = source.prepared.network.input_shape
    with torch.no_grad():
        outputs = source.prepared.network.run(torch.zeros(1, channels, height, width, dtype=torch.float64))
    return [str(index) for index in range(list(outputs.values())[-1].numel())]


def _size(size: Size, reference: Size) -> Notes:
    found = {
        "weight_bytes": size.weight_bytes,
        "other_bytes": size.other_bytes,
        "share_of_fp32": size.weight_bytes / reference.weight_bytes,
        "cycles": size.cycles,
    }
    return {**found, "refusal": size.refusal} if size.refusal else found


def _accuracy(labels: Ints, classes: Ints, count: int) -> Notes:
    correct = int((classes == labels).sum())
    low, high = measure.wilson_interval(correct, len(labels))
    return {
        "correct": correct,
        "accuracy": correct / len(labels),
        "interval_95": [low, high],
        "confusion": measure.confusion(labels, classes, count).tolist(),
    }


def layer_noise(entries: Iterable[Entry]) -> dict[str, dict[str, float | None]]:
    """{layer: {network: SNR in dB}} against the float network, of those quantized after training."""
    found: dict[str, dict[str, float | None]] = {}
    for entry in entries:
        if entry.method == PTQ:
            for layer in entry.graph.layers:
                found.setdefault(layer.name, {})[entry.key] = layer.notes.get("snr_db")
    return found


def feasibility(source: Source, advance: Callable[[int], None] = lambda count: None) -> Notes:
    """SNR, coverage and proposal of every layer's weights and outputs at every width, on the calibration images."""
    check = check_network(source.prepared, source.calibration[:CHECK_IMAGES], PRESETS["per-width"], advance=advance)

    def rows(checks: Iterable[TensorCheck]) -> list[Notes]:
        return [
            {
                "layer": item.layer,
                "proposal": item.proposal,
                "flagged": item.flagged,
                "widths": {
                    str(figure.bits): {
                        "snr_db": round(figure.snr_db, 2),
                        "coverage": round(figure.coverage, 6),
                        "max_error": figure.max_error,
                        "passes": figure.passes,
                    }
                    for figure in item.figures
                },
            }
            for item in checks
        ]

    return {
        "thresholds": "per-width",
        "images": check.images,
        "verdict": check.verdict,
        "weights": rows(check.weights),
        "activations": rows(check.activations),
    }


def distributions(
    source: Source, entries: Iterable[Entry], advance: Callable[[int], None] = lambda count: None
) -> Notes:
    """Histograms of weights and outputs by layer, before and after, of the entries with the float network's layers."""
    names = [layer.name for layer in source.prepared.network.layers]
    graphs = {entry.key: entry.graph for entry in entries if [layer.name for layer in entry.graph.layers] == names}
    images = source.calibration[:HISTOGRAM_IMAGES]
    weights = histograms.weight_histograms(source.prepared, graphs)
    outputs = histograms.activation_histograms(source.prepared, graphs, images, advance)
    return {
        "images": len(images),
        "weights": {name: item.as_json() for name, item in weights.items()},
        "activations": {name: item.as_json() for name, item in outputs.items()},
    }


def report(
    source: Source,
    entries: Sequence[Entry],
    test: tuple[Bytes, Ints],
    config: HardwareConfig,
    *,
    data: str,
    same_images: bool,
    search: Notes | None = None,
    refused: Iterable[Notes] = (),
    command: str = "",
    notes: Iterable[str] = (),
    advance: Callable[[int], None] = lambda count: None,
) -> Notes:
    """All figures of a report as plain values, ready for JSON and for `page.render`.

    entries: the networks besides FP32; a mixed one that equal widths beat is left out with a note. test: (images uint8
    [N, H, W, C], labels int64 [N]). config: HardwareConfig of the cycles. search: figures of `mixed.find`, or None.
    refused: notes of `attempt`. advance(count) is called per batch: see `steps`. Raises DataError for labels that are
    no class.
    """
    images, labels = test
    network = source.prepared.network
    rows = networks(source, entries, images, labels, config, advance)
    beaten = dict(dominated(rows))
    refused = [
        *refused,
        *(
            {"width": row["title"], "method": row["method"], "reason": beaten[row["key"]]}
            for row in rows
            if row["key"] in beaten
        ),
    ]
    rows = [row for row in rows if row["key"] not in beaten]
    entries = [entry for entry in entries if entry.key not in beaten]
    layers = [
        {"name": layer.name, "weights": layer.weight.numel()} for layer in network.layers if hasattr(layer, "weight")
    ]
    return {
        "format": FORMAT,
        "model": source.model,
        "data": data,
        "weights": sum(item["weights"] for item in layers),
        "layers": layers,
        "classes": class_names(source),
        "images": {"calibration": len(source.calibration), "test": len(images), "same": same_images},
        "build": f"{config.rows}x{config.lanes}",
        "networks": rows,
        "refused": refused,
        "literature": LITERATURE,
        "layer_snr_db": layer_noise(entries),
        "search": search,
        "feasibility": feasibility(source, advance),
        "histograms": distributions(source, entries, advance),
        "command": command,
        "notes": list(notes),
    }


def steps(source: Source, entries: Sequence[Entry], count: int) -> int:
    """How far `report` advances for `count` test images."""
    passes = 3 * min(CHECK_IMAGES, len(source.calibration)) + 2 * min(HISTOGRAM_IMAGES, len(source.calibration))
    return count * (1 + len(entries)) + passes


def attempt(refused: list[Notes], width: Width, method: str, make: Callable[[], Result]) -> list[Result]:
    """[make()], or [] with the reason noted in `refused` where the network cannot be made so."""
    try:
        return [make()]
    except DataError:
        raise
    except BitloomError as error:
        refused.append({"width": width.title, "method": method, "reason": str(error)})
        return []
