"""The Pareto front as a picture: SVG or PNG, by the file's ending."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from accel.atomic import write_file
from accel.errors import OutputError
from quant import marks
from quant.search.budget import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.axes import Axes

    from accel.types import StrPath
    from quant.search.search import Point, Result

FORMATS = (".svg", ".png")
LABELS = {"kl": "KL divergence from the float network (nats)", "loss": "cross entropy (nats)"}


def widths_text(point: Point) -> str:
    """ "8,4,4 / 4,8": bits of the weights, then of the activations."""
    return f"{','.join(map(str, point.weight_bits))} / {','.join(map(str, point.activation_bits))}"


def plot_front(result: Result, path: StrPath) -> None:
    """Draw a search Result: the front, the uniform networks and the chosen point, measured harm over the axis' cost.

    path: .svg or .png. Equal results give equal bytes. Raises OutputError for another ending.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    path = Path(path)
    if path.suffix not in FORMATS:
        raise OutputError(f"{path}: the front is drawn as {' or '.join(FORMATS)}; choose such an ending")
    axis, harm = result.options.axis, "loss" if result.options.measure == "loss" else "kl"
    with matplotlib.rc_context({"svg.hashsalt": "bitloom", "svg.fonttype": "none"}):
        figure = Figure(figsize=(7.5, 4.8), layout="constrained")
        canvas = FigureCanvasSVG(figure) if path.suffix == ".svg" else FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        _draw(axes, result, axis, harm)
        data = io.BytesIO()
        own = marks.FRONT.decode()
        metadata = {"Date": None, "Creator": own} if path.suffix == ".svg" else {"Software": own}
        canvas.print_figure(data, format=path.suffix[1:], dpi=120, metadata=metadata)
    write_file(path, data.getvalue(), marks.FRONT)


def _draw(axes: Axes, result: Result, axis: str, harm: str) -> None:
    def line(points: Iterable[Point]) -> tuple[list[float], list[float]]:
        return [point.costs[axis] for point in points], [max(getattr(point.figures, harm), 1e-9) for point in points]

    axes.step(*line(result.front), where="post", color="tab:blue", linewidth=1)
    axes.plot(*line(result.front), "o", color="tab:blue", label="Pareto front")
    axes.plot(*line(result.uniform.values()), "x", color="tab:gray", label="equal widths everywhere")
    for (weights, outputs), point in result.uniform.items():
        axes.annotate(
            f"W{weights}A{outputs}",
            (line([point])[0][0], line([point])[1][0]),
            fontsize=7,
            color="dimgray",
            textcoords="offset points",
            xytext=(4, 4),
        )
    axes.plot(
        *line([result.chosen]), "*", color="tab:red", markersize=13, label=f"chosen: {widths_text(result.chosen)}"
    )
    if axis in result.limits:
        axes.axvline(result.limits[axis], color="tab:red", linewidth=0.8, linestyle=":", label="budget")
    axes.set_yscale("log")
    axes.set_xlabel(f"{METRICS[axis][2]} ({METRICS[axis][1]})")
    axes.set_ylabel(LABELS[harm])
    axes.grid(visible=True, which="major", linewidth=0.3)
    axes.legend(fontsize=8)
