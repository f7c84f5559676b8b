"""The page: the report's figures as one self-contained HTML file, without scripts and without any other file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from quant.report import charts
from quant.report.measure import most_confused
from quant.report.widths import WIDTHS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from accel.types import Notes

FOLDER = Path(__file__).resolve().parent
TEMPLATE = "report.html"


def render(figures: Notes) -> str:
    """The HTML text of a report's figures (`gather.report`). Equal figures give equal text."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, points=points, bits=bits, thousands=thousands, decibel=decibel)
    return environment.get_template(TEMPLATE).render(figures=figures, charts=_charts(figures), **_tables(figures))


def percent(share: float, digits: int = 2) -> str:
    """0.9955 -> '99.55 %' with a space that does not break."""
    return f"{100 * share:.{digits}f}\u00a0%"


def points(change: float) -> str:
    """A change in percentage points with its sign; a true minus."""
    return f"{change:+.2f}".replace("-", "−")


def thousands(number: int | None) -> str:
    """61470 -> '61,470'; nothing for None."""
    return "–" if number is None else f"{number:,}"


def decibel(value: float | None) -> str:
    """12.34 -> '12.3'; a dash for None."""
    return "–" if value is None else f"{round(value, 1) + 0:.1f}".replace("-", "−")


def bits(values: Sequence[int]) -> str:
    """'8' where all layers agree, else '8, 4, 2'."""
    return str(values[0]) if len(set(values)) == 1 else ", ".join(map(str, values))


def _charts(figures: Notes) -> dict[str, Any]:
    networks = figures["networks"]
    shown = charts.in_order(networks)
    distributions = figures["histograms"]
    result = {
        "errors": charts.error_chart(networks),
        "bytes": charts.trade_chart(networks, "weight_bytes", "bytes of weights", "trade-bytes"),
        "cycles": charts.trade_chart(networks, "cycles", "cycles of an image", "trade-cycles"),
        "noise": charts.noise_chart(figures["layer_snr_db"], networks),
        "histograms": [
            {
                "layer": layer,
                **{
                    kind: charts.histogram_chart(kind, index, layer, distributions[kind][layer], shown)
                    for kind in ("weights", "activations")
                },
            }
            for index, layer in enumerate(distributions["weights"])
        ],
    }
    if figures["search"]:
        result["search"] = charts.search_chart(figures["search"])
    return result


def _tables(figures: Notes) -> dict[str, Any]:
    networks, classes = figures["networks"], figures["classes"]
    by_key = {item["key"]: item for item in networks}
    expected = [
        {
            "title": width.title,
            "expected": width.expected,
            "measured": [item for item in networks if item["width"] == key],
        }
        for key, width in WIDTHS.items()
        if any(item["width"] == key for item in networks)
    ]
    noise = figures["layer_snr_db"]
    columns = [by_key[key] for key in next(iter(noise.values()), {})]
    matrices = [
        {"network": item, "rows": _shaded(item["confusion"]), "mistakes": _mistakes(item, classes)} for item in networks
    ]
    return {"expected": expected, "noise_columns": columns, "matrices": matrices, "findings": findings(figures)}


def _mistakes(item: Notes, classes: Sequence[str]) -> list[tuple[str, str, int]]:
    return most_confused(np.array(item["confusion"]), classes)


def _shaded(matrix: Sequence[Sequence[int]]) -> list[list[tuple[int, float, bool]]]:
    """Rows of cells (count, share of the row's images in percent, on the diagonal)."""
    return [
        [(count, round(100 * count / max(1, sum(row))), place == index) for place, count in enumerate(row)]
        for index, row in enumerate(matrix)
    ]


def findings(figures: Notes) -> list[str]:
    """What the figures say, in sentences, the most useful first."""
    networks = figures["networks"]
    base, others = networks[0], networks[1:]
    if not others:
        return ["No quantized network is in this report."]
    told = []
    close = [item for item in others if item["change_points"] >= -0.5]
    if close:
        least = min(close, key=lambda item: (item["weight_bytes"], -item["correct"]))
        told.append(
            f"The smallest network within half a point of FP32 is {least['title']} ({least['method']}): "
            f"{percent(least['accuracy'])} with {percent(least['share_of_fp32'], 1)} of the weight bytes."
        )
    else:
        told.append("No network is within half a point of FP32.")
    runs = [item for item in others if item["cycles"]]
    near = [item for item in runs if item in close]
    if near:
        quick = min(near, key=lambda item: (item["cycles"], -item["correct"]))
        slow = max(runs, key=lambda item: item["cycles"])
        told.append(
            f"The quickest of these on the {figures['build']} build is {quick['title']} ({quick['method']}): "
            f"{quick['cycles']:,} cycles an image; the slowest of all networks takes {slow['cycles']:,}."
        )
    lost = [item for item in others if item["change_points"] < -10]
    if lost:
        names = ", ".join(f"{item['title']} ({item['method']}, {percent(item['accuracy'])})" for item in lost)
        told.append(f"Lost more than ten points: {names}. Widths as narrow as these need training.")
    if figures["images"]["same"]:
        told.append(
            f"Calibration and test use the same {figures['images']['test']:,} images, as the data has one "
            "split only: read the accuracies as a check of the tools, not as a result."
        )
    low, high = base["interval_95"]
    told.append(
        f"With {figures['images']['test']:,} test images, FP32's accuracy is known to "
        f"{percent(low)} .. {percent(high)} (95 % confidence): smaller differences are chance."
    )
    return told
