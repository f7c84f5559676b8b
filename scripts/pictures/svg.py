"""Boxes, arrows and text as an SVG: one element a line, so that a change of a picture reads as a diff."""

from xml.sax.saxutils import escape

# A light panel of its own below everything: the picture reads the same on a light and on a dark page.
STYLE = """\
  <style>
    text { fill: #222; text-anchor: middle; dominant-baseline: middle; font-size: 13px }
    .name { font-weight: 600; font-size: 12px }
    .small { font-size: 11px; fill: #444 }
    .left { text-anchor: start }
    .block { fill: #f4f6fb; stroke: #3b5b92; stroke-width: 1.5 }
    .memory { fill: #fdf6e3; stroke: #b58900; stroke-width: 1.5 }
    .control { fill: #eef7ee; stroke: #3a7d44; stroke-width: 1.5 }
    .option { stroke-dasharray: 5 3 }
    .group { fill: #fafafa; stroke: #999 }
    .stream { stroke: #222; stroke-width: 1.8; fill: none; marker-end: url(#tip) }
    .wire { stroke: #3a7d44; stroke-width: 1.2; fill: none; marker-end: url(#small-tip) }
  </style>
  <defs>
    <marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto">
      <path d="M0 0 8 4 0 8z" fill="#222"/></marker>
    <marker id="small-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto">
      <path d="M0 0 8 4 0 8z" fill="#3a7d44"/></marker>
  </defs>"""
LINE = 15  # pixels from one line of text in a box to the next


class Drawing:
    """A picture of `width` by `height` pixels; `title` is what a screen reader says."""

    def __init__(self, width, height, title):
        self.lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="sans-serif" role="img">',
            f"  <title>{escape(title)}</title>",
            STYLE,
            f'  <rect width="{width}" height="{height}" rx="8" fill="#fff"/>',
        ]

    def add(self, line):
        self.lines.append(f"  {line}")

    def text(self, x, y, text, style=""):
        kind = f' class="{style}"' if style else ""
        self.add(f'<text x="{x:g}" y="{y:g}"{kind}>{escape(text)}</text>')

    def rectangle(self, x, y, width, height, style, corner=6):
        self.add(f'<rect class="{style}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{corner}"/>')

    def box(self, x, y, width, height, style, name, *notes):
        """A box with its name and smaller notes below it, all centred."""
        self.rectangle(x, y, width, height, style)
        top = y + height / 2 - LINE * len(notes) / 2
        self.text(x + width / 2, top, name, "name")
        for i, note in enumerate(notes, start=1):
            self.text(x + width / 2, top + LINE * i, note, "small")

    def group(self, x, y, width, height, name):
        """A frame around blocks, its name in the upper left corner."""
        self.rectangle(x, y, width, height, "group")
        self.text(x + 10, y + 14, name, "name left")

    def arrow(self, points, style="stream", label="", at=None):
        """A line through the points to an arrow head; the label stands at `at`, else beside the longest part."""
        path = "M" + " ".join(f"{x:g} {y:g}" for x, y in points)
        self.add(f'<path class="{style}" d="{path}"/>')
        if label:
            if at is None:
                (x1, y1), (x2, y2) = max(
                    zip(points, points[1:], strict=False),
                    key=lambda ends: abs(ends[0][0] - ends[1][0]) + abs(ends[0][1] - ends[1][1]),
                )
                at = ((x1 + x2) / 2 + 16 * (x1 == x2), (y1 + y2) / 2 - 9 * (y1 == y2))
            self.text(*at, label, "small")

    def __str__(self):
        return "\n".join([*self.lines, "</svg>", ""])
