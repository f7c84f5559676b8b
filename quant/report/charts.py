"""The report's charts, from its figures. Each function gives (Markup of an <svg>, what it shows in words)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from quant.report.compared import GIVEN, PTQ, TRAINED
from quant.report.svg import COLOURS, drawing, inline
from quant.report.widths import WIDTHS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.ticker import Locator

    from accel.types import Notes

MARKS = {
    PTQ: ("o", "ptq", "quantized after training"),
    TRAINED: ("D", "trained", "trained with quantizers"),
    GIVEN: ("s", "given", "given"),
}
LINES = {
    "int8": ("-", "o"),
    "int6": ("--", "s"),
    "int4": ("-", "^"),
    "int2": ("--", "v"),
    "binary": (":", "D"),
    "mixed": ("-.", "P"),
}
AXES = {
    "file_bytes": "bytes of weights",
    "weight_bytes": "bytes of the weight bank",
    "cycles": "cycles of an image",
    "energy": "picojoules of an image (estimate)",
}
CLOSE, CHARACTER, LINE = 0.05, 0.013, 0.09  # of the axes: points that share a label; size of a label's text
HALF = 0.5  # of an image: where a network without mistakes stands on a logarithmic axis


def error_chart(networks: Sequence[Notes]) -> tuple[Markup, str]:
    """Error rate of every network on a logarithmic axis, a row per width."""
    images = sum(map(sum, networks[0]["confusion"]))
    rows = list(dict.fromkeys(_row(item) for item in networks[1:]))
    with drawing(7.6, 0.75 + 0.36 * max(2, len(rows))) as figure:
        axes = figure.subplots()
        base = 100 * max(images - networks[0]["correct"], HALF) / images
        axes.axvline(base, color=COLOURS["muted"], linewidth=1.2, linestyle="--", zorder=1)
        axes.annotate(
            f"FP32 {_percent(networks[0], images)}",
            (base, 1),
            xycoords=("data", "axes fraction"),
            xytext=(4, 3),
            textcoords="offset points",
            va="bottom",
            color=COLOURS["muted"],
        )
        for item in networks[1:]:
            mark, colour, _ = MARKS[item["method"]]
            low, high = (100 * (1 - share) for share in reversed(item["interval_95"]))
            place = rows.index(_row(item)) + {PTQ: -0.14, TRAINED: 0.14}.get(item["method"], 0)
            error = 100 * max(images - item["correct"], HALF) / images
            axes.plot(
                [max(low, 100 * HALF / images / 2), high], [place] * 2, color=COLOURS[colour], linewidth=1.4, alpha=0.55
            )
            axes.plot(
                [error],
                [place],
                mark,
                color=COLOURS[colour],
                markersize=6.5,
                markeredgecolor=COLOURS["surface"],
                markeredgewidth=0.8,
            )
        axes.set_xscale("log")
        axes.set_yticks(range(len(rows)), rows)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} %")
        axes.xaxis.set_minor_formatter(lambda value, _: "")
        axes.set_xlabel("test images with a wrong class (logarithmic), with the 95 % interval")
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        _legend(figure, networks[1:])
        text = "; ".join(f"{item['title']} {item['method']} {_percent(item, images)}" for item in networks)
        words = f"Error rates: {text}."
        return inline(figure, "errors", "Error rate of every network", words), words


def _row(item: Notes) -> str:
    return item["title"]


def _percent(item: Notes, images: int) -> str:
    return f"{100 * (images - item['correct']) / images:.2f}\u00a0%"


def _legend(figure: Figure, networks: Sequence[Notes]) -> None:
    """What the marks mean, for the methods that occur, above the axes."""
    from matplotlib.lines import Line2D

    used = [MARKS[method] for method in MARKS if any(item["method"] == method for item in networks)]
    handles = [
        Line2D([], [], linestyle="none", marker=mark, color=COLOURS[colour], markersize=6.5, label=text)
        for mark, colour, text in used
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), handletextpad=0.2, borderpad=0)


def trade_chart(networks: Sequence[Notes], metric: str, label: str, name: str) -> tuple[Markup, str]:
    """Accuracy against a cost (a key of the networks), with the front of those that no other beats."""
    points = [item for item in networks if item.get(metric)]
    images = sum(map(sum, networks[0]["confusion"]))
    with drawing(7.6, 3.3) as figure:
        axes = figure.subplots()
        best = measured_front(points, metric)
        if len(best) > 1:
            axes.step(
                [item[metric] for item in best],
                [_error(item, images) for item in best],
                where="post",
                color=COLOURS["front"],
                linewidth=1.6,
                alpha=0.7,
                zorder=1,
            )
        for item in points:
            mark, colour, _ = MARKS.get(item["method"], ("*", "muted", ""))
            axes.plot(
                item[metric],
                _error(item, images),
                mark,
                color=COLOURS[colour],
                zorder=3,
                markersize=7 if mark != "*" else 10,
                markeredgecolor=COLOURS["surface"],
                markeredgewidth=0.8,
            )
        _labels(axes, [(item[metric], _error(item, images), item["title"]) for item in points], logarithmic=True)
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_formatter(lambda value, _: "")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} %")
        _readable_ticks(axes.xaxis, [item[metric] for item in points])
        axes.set_xlabel(f"{label} (logarithmic)")
        axes.set_ylabel("wrong class (logarithmic)")
        axes.grid()
        axes.margins(x=0.1, y=0.14)
        _legend(figure, points)
        listed = "; ".join(
            f"{item['title']} {item['method']}: {item[metric]:,}, {_percent(item, images)}" for item in best
        )
        words = f"No other network has both fewer {label} and fewer errors than: {listed}."
        return inline(figure, name, f"Errors against {label}", words), words


def _labels(axes: Axes, points: Sequence[tuple[float, float, str]], logarithmic: bool) -> None:
    """Writes the text of (x, y, text) beside each point; points that lie close together share one label.

    Where labels would overlap, the later one moves: below its point, or higher. All sizes are shares of the axes.
    """
    xs = [math.log10(x) if logarithmic else x for x, _, _ in points]
    ys = [math.log10(y) for _, y, _ in points]
    spans = [max(max(axis) - min(axis), 1e-9) for axis in (xs, ys)]
    groups: list[tuple[tuple[float, float], list[tuple[float, float, str]]]] = []
    for x, y, point in sorted(zip(xs, ys, points, strict=True)):
        spot = (x - min(xs)) / spans[0], (y - min(ys)) / spans[1]
        for first, members in groups:
            if abs(spot[0] - first[0]) < CLOSE and abs(spot[1] - first[1]) < CLOSE:
                members.append(point)
                break
        else:
            groups.append((spot, [point]))
    taken: list[tuple[float, float, float]] = []
    for (x, y), members in groups:
        text = ", ".join(dict.fromkeys(item[2] for item in members))
        steps = [
            step
            for step in (0, -1, 1, -2, 2)
            if not any(
                x < right and left < x + CHARACTER * len(text) and abs(y + LINE * step - height) < LINE
                for left, right, height in taken
            )
        ] or [0]
        taken.append((x, x + CHARACTER * len(text), y + LINE * steps[0]))
        axes.annotate(
            text,
            (max(item[0] for item in members), members[0][1]),
            xytext=(6, 4 + 13 * steps[0]),
            textcoords="offset points",
            fontsize=8,
        )


def _readable_ticks(axis: Axis, values: Sequence[float]) -> None:
    """Ticks at 1, 2 and 5 times powers of ten where the values span less than two decades."""
    from matplotlib.ticker import LogLocator, NullLocator

    span = math.log10(max(values) / min(values)) if values else 0
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if span >= 0.7 else (1, 1.5, 2, 3, 4, 5, 6, 8)))
    axis.set_minor_locator(NullLocator())


def _error(item: Notes, images: int) -> float:
    return 100 * max(images - item["correct"], HALF) / images


def measured_front(networks: Iterable[Notes], metric: str) -> list[Notes]:
    """Those that no other network beats in cost and errors together, by rising cost."""
    kept: list[Notes] = []
    for item in sorted(networks, key=lambda item: (item[metric], -item["correct"])):
        if not kept or item["correct"] > kept[-1]["correct"]:
            kept.append(item)
    return kept


def noise_chart(noise: Mapping[str, Mapping[str, float]], networks: Sequence[Notes]) -> tuple[Markup, str]:
    """SNR of every layer's output against the float network's, a line per network quantized after training."""
    layers = list(noise)
    keys = [item for item in networks if item["key"] in next(iter(noise.values()), {})]
    with drawing(7.6, 3.1) as figure:
        axes = figure.subplots()
        axes.axhline(40, color=COLOURS["muted"], linewidth=1, linestyle=":")
        axes.annotate(
            "40 dB",
            (0, 40),
            xycoords=("axes fraction", "data"),
            xytext=(3, 2),
            textcoords="offset points",
            fontsize=8,
            color=COLOURS["muted"],
        )
        for item in keys:
            style, mark = LINES[item["width"]]
            axes.plot(
                range(len(layers)),
                [noise[layer][item["key"]] for layer in layers],
                style,
                marker=mark,
                color=COLOURS[f"w-{item['width']}"],
                linewidth=1.8,
                markersize=5,
                label=item["title"],
            )
        axes.set_xticks(
            range(len(layers)),
            layers,
            rotation=0 if len(layers) < 9 else 45,
            ha="center" if len(layers) < 9 else "right",
        )
        axes.set_ylabel("SNR of the layer's output, dB")
        axes.grid(axis="y")
        figure.legend(
            loc="outside upper right", ncols=max(1, len(keys)), handlelength=2.2, columnspacing=1.2, borderpad=0
        )
        last = layers[-1] if layers else ""
        words = (
            "SNR of the last layer's output: "
            + "; ".join(f"{item['title']} {round(noise[last][item['key']], 1) + 0.0:.1f} dB" for item in keys)
            + "."
        )
        return inline(figure, "noise", "Signal-to-noise ratio layer by layer", words), words


def histogram_chart(
    kind: str, index: int, layer: str, histogram: Notes, networks: Sequence[Notes]
) -> tuple[Markup, str]:
    """Histograms of one layer's weights or outputs: a panel per network, float in the background."""
    shown = [item for item in networks if item["key"] in histogram["counts"]]
    step = (histogram["high"] - histogram["low"]) / len(histogram["counts"]["fp32"])
    edges = [histogram["low"] + step * place for place in range(len(histogram["counts"]["fp32"]) + 1)]
    with drawing(7.6, 1.55, layout=None) as figure:
        panels = figure.subplots(1, max(1, len(shown)), squeeze=False)[0]
        figure.subplots_adjust(left=0.075, right=0.99, bottom=0.17, top=0.84, wspace=0.16)
        for axes, item in zip(panels, shown, strict=True):
            before, after = (_shares(histogram["counts"][key]) for key in ("fp32", item["key"]))
            axes.stairs(after, edges, fill=True, color=COLOURS["after"], linewidth=0, alpha=0.75)
            axes.stairs(before, edges, color=COLOURS["ink"], linewidth=0.9)
            axes.set_title(item["title"])
            axes.set_yscale("log")
            axes.set_ylim(1e-4, 1.5)
            axes.set_yticks([1e-4, 1e-2, 1], ["0.01 %", "1 %", "100 %"] if axes is panels[0] else [])
            axes.yaxis.set_minor_locator(_no_ticks())
            axes.tick_params(labelsize=7.5)
            axes.locator_params(axis="x", nbins=3)
        words = (
            f"{layer}: {kind} before from {histogram['low']:.3g} to {histogram['high']:.3g}; "
            f"bins that hold values: FP32 {_filled(histogram, 'fp32')} of {len(edges) - 1}; "
            + "; ".join(f"{item['title']} {_filled(histogram, item['key'])}" for item in shown)
            + "."
        )
        name = f"hist-{kind}-{index}"
        return inline(figure, name, f"Histogram of {kind} of {layer}, before and after", words), words


def _no_ticks() -> Locator:
    from matplotlib.ticker import NullLocator

    return NullLocator()


def _shares(counts: Sequence[int]) -> list[float]:
    total = max(sum(counts), 1)
    return [count / total for count in counts]


def _filled(histogram: Notes, key: str) -> int:
    return sum(count > 0 for count in histogram["counts"][key])


def in_order(networks: Iterable[Notes]) -> list[Notes]:
    """One network per width, widest first: the one quantized after training where there is one."""
    chosen: dict[str, Notes] = {}
    for item in networks:
        if item["width"] in WIDTHS and (item["width"] not in chosen or item["method"] == PTQ):
            chosen.setdefault(item["width"], item)
    return [chosen[key] for key in WIDTHS if key in chosen]


def search_chart(found: Notes) -> tuple[Markup, str]:
    """The search's front: KL divergence against the cost, with the uniform networks and the chosen point."""
    label = AXES[found["axis"]]
    floor = min([point["kl"] for point in found["front"] if point["kl"] > 0], default=1e-6) / 2
    with drawing(7.6, 3.3) as figure:
        axes = figure.subplots()
        front = found["front"]
        axes.step(
            [point[found["axis"]] for point in front],
            [max(point["kl"], floor) for point in front],
            where="post",
            color=COLOURS["front"],
            linewidth=1.6,
            alpha=0.7,
            zorder=1,
        )
        axes.plot(
            [point[found["axis"]] for point in front],
            [max(point["kl"], floor) for point in front],
            "o",
            color=COLOURS["front"],
            markersize=4.5,
            label="front of the search",
            linestyle="none",
        )
        axes.plot(
            [point[found["axis"]] for point in found["uniform"]],
            [max(point["kl"], floor) for point in found["uniform"]],
            "s",
            color=COLOURS["muted"],
            markersize=5,
            label="same widths everywhere",
            linestyle="none",
        )
        _labels(
            axes,
            [(point[found["axis"]], max(point["kl"], floor), point["title"]) for point in found["uniform"]],
            logarithmic=False,
        )
        chosen = found["chosen"]
        axes.plot(
            [chosen[found["axis"]]],
            [max(chosen["kl"], floor)],
            "o",
            markersize=11,
            fillstyle="none",
            color=COLOURS["trained"],
            markeredgewidth=1.8,
            label="chosen",
            linestyle="none",
        )
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_xlabel(label)
        axes.set_ylabel("KL divergence from FP32, nats")
        axes.yaxis.set_minor_locator(_no_ticks())
        axes.grid()
        axes.margins(x=0.08, y=0.1)
        figure.legend(loc="outside upper right", ncols=3, handletextpad=0.2, borderpad=0)
        words = (
            f"{len(front)} points from {front[0][found['axis']]:,.0f} to {front[-1][found['axis']]:,.0f} "
            f"({label}); chosen: weights {_list(chosen['weight_bits'])}, activations "
            f"{_list(chosen['activation_bits'])} bits, {chosen[found['axis']]:,.0f}, KL divergence "
            f"{chosen['kl']:.2g}."
        )
        return inline(figure, "front", "Pareto front of the precision search", words), words


def _list(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))
