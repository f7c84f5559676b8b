"""Waves of a simulation as WaveDrom JSON (wavedrom.com), and WaveDrom JSON as an SVG."""

import json
import math
import re
from dataclasses import dataclass, field

import schemdraw
from schemdraw import logic

MARGIN, STEP = 12, 2  # pixels around a timing diagram, and of the shortest part of a line
LONGEST = 3  # cycles in which nothing changes are drawn, of longer waits a break


@dataclass
class Row:
    """One line of a timing diagram.

    read: () -> value of the coming clock edge: a bool, an integer or a text. valid: () -> whether that means anything.
    form: how an integer is written.
    """

    name: str
    read: object
    valid: object = None
    form: str = "{:x}"
    seen: list = field(default_factory=list)

    def sample(self):
        value = self.read() if self.valid is None or self.valid() else None
        self.seen.append(self.form.format(value) if type(value) is int else value)


class Recorder:
    """Samples rows before every clock edge of a dut. groups: {name of a group of rows, or "": [Row]}."""

    def __init__(self, dut, groups):
        self.dut, self.groups = dut, groups
        self.rows = [row for rows in groups.values() for row in rows]
        self.first = dut.cycle
        dut.observers.append(self.sample)

    def sample(self):
        for row in self.rows:
            row.sample()

    def when(self, name, value=True, after=0):
        """The first cycle, from `after` on, in which a row has this value."""
        return self.row(name).index(value, after)

    def row(self, name):
        """What a row showed in every cycle."""
        return next(row for row in self.rows if row.name == name).seen

    def json(self, begin, end, spans=(), hscale=1):
        """WaveDrom JSON of the cycles begin .. end - 1.

        spans: (row, cycle, row, cycle) of which the picture tells the distance in cycles.
        """
        marks = [(name, cycle) for span in spans for name, cycle in (span[:2], span[2:])]
        marks = list(dict.fromkeys(marks))
        columns = self.columns(begin, end, {cycle for _, cycle in marks})
        letters = {mark: chr(ord("A") + i) for i, mark in enumerate(marks)}
        signal = [{"name": "clk", "wave": "p" + "".join("|" if cut else "." for _, cut in columns[1:])}]
        for group, rows in self.groups.items():
            lines = [_line(row, columns, letters) for row in rows]
            signal += [[group, *lines]] if group else lines
        picture = {"signal": signal}
        if spans:
            picture["edge"] = [f"{letters[span[:2]]}~>{letters[span[2:]]} {span[3] - span[1]}" for span in spans]
        if hscale != 1:
            picture["config"] = {"hscale": hscale}
        return picture

    def columns(self, begin, end, marked):
        """(cycle, is a break) of every column: of long waits the first and the last cycles only, a break between."""
        changes = [
            cycle == begin or cycle in marked or any(row.seen[cycle] != row.seen[cycle - 1] for row in self.rows)
            for cycle in range(begin, end)
        ]
        columns, cycle = [], begin
        while cycle < end:
            still = next((i for i in range(cycle + 1, end) if changes[i - begin]), end)
            columns.append((cycle, False))
            if still - cycle > LONGEST:
                columns += [(cycle + 1, True), (still - 1, False)]
            else:
                columns += [(i, False) for i in range(cycle + 1, still)]
            cycle = still
        return columns


def _line(row, columns, letters):
    wave, data, nodes, before = "", [], "", object()
    for cycle, cut in columns:
        value = row.seen[cycle]
        if cut or value == before:
            wave += "|" if cut else "."
        elif value is None:
            wave += "x"
        elif isinstance(value, bool):
            wave += str(int(value))
        else:
            wave += "="
            data.append(value)
        nodes += "." if cut else letters.get((row.name, cycle), ".")
        before = value
    line = {"name": row.name, "wave": wave}
    if data:
        line["data"] = data
    return line | ({"node": nodes} if nodes.strip(".") else {})


def text(picture):
    """WaveDrom JSON as it stands in a file, a signal a line."""
    members = [f'  "{key}": {json.dumps(value)}' for key, value in picture.items() if key != "signal"]
    signal = ",\n".join("\n".join(f"    {line}" for line in _lines(entry)) for entry in picture["signal"])
    return "{\n" + ",\n".join([f'  "signal": [\n{signal}\n  ]', *members]) + "\n}\n"


def _lines(entry):
    """A signal as one line; of a group its signals, in the brackets that hold its name."""
    if isinstance(entry, dict):
        return [json.dumps(entry)]
    name, *rows = entry
    lines = [json.dumps(name), *(json.dumps(row) for row in rows)]
    return [f"[{lines[0]},", *(f" {line}," for line in lines[1:-1]), f" {lines[-1]}]"]


HATCH = """\
<defs><pattern id="hatch" patternUnits="userSpaceOnUse" width="4" height="4">
<path d="M-1,1 l2,-2 M0,4 l4,-4 M3,5 l2,-2" stroke="#999" stroke-width="0.5"/></pattern></defs>
"""


def svg(picture):
    """The picture on a light panel, text as text; the same picture gives the same bytes."""
    schemdraw.svgconfig.text = "text"
    with schemdraw.Drawing(canvas="svg", show=False) as drawing:
        drawing.add(logic.TimingDiagram(picture, namecolor="#222", edgecolor="#3a7d44", nodesize=9, datafontsize=9))
    image = drawing.get_imagedata("svg").decode()
    x, y, width, height = (float(number) for number in re.search(r'viewBox="([^"]*)"', image)[1].split())
    x, y, width, height = x - MARGIN, y - MARGIN, width + 2 * MARGIN, height + 2 * MARGIN
    size = f'width="{width:g}" height="{height:g}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="{x:g} {y:g} {width:g} {height:g}" role="img">\n'
        f'<rect x="{x:g}" y="{y:g}" {size} rx="8" fill="#fff"/>\n{HATCH}{_tidy(image)}</svg>\n'
    )


def _tidy(image):
    """What schemdraw draws, an element a line, without its frame, with short curves and short numbers.

    Its definitions go: clips of what nothing crosses, numbered on from picture to picture, and HATCH many times over.
    """
    image = re.sub(r'</?defs>|<clipPath.*?</clipPath>|<pattern.*?</pattern>| clip-path="[^"]*"', "", image, flags=re.S)
    image = re.sub(r"^<svg.*?>|</svg>", "", image.strip())
    image = re.sub(r'(?<=d="M )[-.\d]+,[^"C]+|(?<=points=")[^"]+', _shorter, image)
    image = re.sub(r"-?\d+\.\d+", lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), image)
    image = image.replace('font-family="sans"', 'font-family="sans-serif"').replace("stroke-dasharray:-;", "")
    return re.sub(r"(?<=>)\s*<(?=path|poly|text)", "\n<", image).strip() + "\n"


def _shorter(points):
    """A line without the points that lie closer than STEP to the one before."""
    separator = " L " if " L " in points[0] else " "
    first, *between, last = points[0].strip().split(separator)
    kept = [first]
    for point in between:
        (x1, y1), (x2, y2) = (map(float, place.split(",")) for place in (kept[-1], point))
        if math.hypot(x2 - x1, y2 - y1) >= STEP:
            kept.append(point)
    return separator.join([*kept, last])
