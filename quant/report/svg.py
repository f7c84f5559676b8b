"""matplotlib figures as inline SVG: equal bytes for equal figures, colours from the page's style sheet, no fonts.

A colour of COLOURS is drawn as a placeholder and becomes a CSS variable, so that one drawing serves light and dark
pages; text stays text in the page's own font.
"""

from __future__ import annotations

import html
import io
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import matplotlib
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Literal

# name of the CSS variable -> the colour that stands for it in the drawing; each differs from every other one
COLOURS = {
    name: f"#0101{index:02x}"
    for index, name in enumerate(
        (
            "ink",
            "muted",
            "grid",
            "surface",
            "ptq",
            "trained",
            "given",
            "after",
            "front",
            "w-int8",
            "w-int6",
            "w-int4",
            "w-int2",
            "w-binary",
            "w-mixed",
        ),
        1,
    )
}
SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "report",
    "svg.fonttype": "none",
    "svg.id": None,
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": COLOURS["muted"],
    "axes.labelcolor": COLOURS["ink"],
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": COLOURS["muted"],
    "ytick.color": COLOURS["muted"],
    "xtick.labelcolor": COLOURS["ink"],
    "ytick.labelcolor": COLOURS["ink"],
    "text.color": COLOURS["ink"],
    "grid.color": COLOURS["grid"],
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "axes.titlesize": 9,
    "axes.titleweight": "normal",
    "axes.titlelocation": "left",
    "path.simplify": False,
}


@contextmanager
def drawing(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Iterator[Figure]:
    """A Figure of width x height inches under this module's settings, whatever the user's own are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({key: value for key, value in SETTINGS.items() if key in matplotlib.rcParams})
        yield Figure(figsize=(width, height), layout=layout)


def inline(figure: Figure, name: str, title: str, description: str) -> Markup:
    """The figure as an <svg> element for an HTML page.

    name: prefix of its ids, unique in the page. title, description: what a screen reader says.
    """
    stream = io.StringIO()
    FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    width, height = size.groups() if size else ("0", "0")
    text = text[text.index(">") + 1 :].strip()
    text = re.sub(r"<metadata>.*?</metadata>|<style .*?</style>|<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px var(--font)", text)
    for colour, code in COLOURS.items():
        text = text.replace(code, f"var(--{colour})")
    text = _own_ids(text, name)
    text = re.sub(r"\s*\n\s*", "\n", text)
    head = (
        f'<svg class="chart" role="img" aria-labelledby="{name}-title {name}-text" viewBox="0 0 {width} {height}" '
        f'style="max-width: {float(width) * 1.7:.0f}px" preserveAspectRatio="xMidYMid meet">'
        f'<title id="{name}-title">{html.escape(title)}</title>'
        f'<desc id="{name}-text">{html.escape(description)}</desc>'
    )
    return Markup(head + text)


def _own_ids(text: str, name: str) -> str:
    """Ids that something refers to get the prefix `name`; the others vanish."""
    used = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text))
    used = {first or second for first, second in used}

    def rename(match: re.Match[str]) -> str:
        return f' id="{name}-{match[1]}"' if match[1] in used else ""

    text = re.sub(r' id="([^"]*)"', rename, text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    return re.sub(r'(?:xlink:)?href="#([^"]+)"', rf'href="#{name}-\1"', text)
