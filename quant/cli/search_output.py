"""What `python -m quant search` writes beside the network and prints."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel.atomic import write_file
from accel.cli import print_table
from accel.errors import UnsupportedError
from accel.outputs import File
from quant import marks
from quant.search.budget import METRICS

if TYPE_CHECKING:  # imports torch
    from quant.search.search import Result


def front_output(path: str) -> File:
    """A file of --front. Raises UnsupportedError for a name that says no format."""
    if Path(path).suffix not in (".json", ".svg", ".png"):
        raise UnsupportedError(f"--front {path}: must end with .json, .svg or .png")
    return File(path, marks.FRONT, "--front")


def write_front(result: "Result", values: dict[str, Any], path: str) -> None:
    """The Pareto front as JSON, with all that is printed, or as a picture."""
    if Path(path).suffix == ".json":
        figures = {key: value for key, value in values.items() if key != "out"}
        write_file(path, json.dumps({"made_by": marks.FRONT.decode(), **figures}, indent=1) + "\n", marks.FRONT)
    else:
        from quant.search.plot import plot_front

        plot_front(result, path)


def print_result(result: "Result", values: dict[str, Any]) -> None:
    """Three tables: the chosen widths, all networks, the build."""
    outputs = (*result.chosen.activation_bits, "raw")
    print_table(
        f"{values['name']} -> {values['out']}",
        ("layer", "weight bits", "output bits"),
        list(zip(result.layers, result.chosen.weight_bits, outputs, strict=True)),
    )
    _print_points(result)
    config = result.config
    limits = ", ".join(f"{metric} <= {limit:.6g}" for metric, limit in result.limits.items())
    print_table(
        "Build",
        ("figure", "value"),
        [
            ("size", f"{config.rows}x{config.lanes}"),
            ("precisions", ",".join(map(str, config.precisions))),
            ("DSPs", config.dsp_estimate),
            ("weight_depth", config.weight_depth),
            ("req_lanes", config.req_lanes),
            ("budget", limits),
            ("accuracy", values["accuracy"]),
            ("test images", values["test_images"]),
        ],
    )


def _print_points(result: "Result") -> None:
    points = [
        ("chosen", result.chosen),
        *(("front", point) for point in result.front),
        *((f"W{weights}A{outputs}", point) for (weights, outputs), point in result.uniform.items()),
    ]
    print_table(
        "Training images: chosen network, Pareto front, equal widths everywhere",
        ("network", "weights", "activations", *METRICS, "KL", "cross entropy", "accuracy"),
        [
            (
                kind,
                ",".join(map(str, point.weight_bits)),
                ",".join(map(str, point.activation_bits)),
                *(point.costs[metric] for metric in METRICS),
                point.figures.kl,
                point.figures.loss,
                point.figures.accuracy,
            )
            for kind, point in points
        ],
    )
