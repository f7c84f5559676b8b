"""What the documentation quotes of the stored results: the page of figures, and six of them for the README."""

import textwrap
from pathlib import Path

from accel.atomic import write_file
from benchmarks.catalog import BENCHMARKS, GROUPS
from benchmarks.report import load_all
from benchmarks.sources import is_old
from scripts.pages import fill

ROOT = Path(__file__).resolve().parent.parent
README, FIGURES = ROOT / "README.md", ROOT / "docs" / "figures.md"
WIDTH = 120
OLD = "old"
SIX = "six figures"  # the README's part
SIX_ROWS = (  # (what it says, benchmark, row)
    ("LeNet-5 on 10,000 MNIST test images, int8", "accuracy", 1),
    ("PyTorch = integer reference, every layer", "equality", 0),
    ("converted Verilog = reference, every layer", "verilog", 0),
    ("cycles of LeNet-5 on an 8x8 array", "cycles", 1),
    ("8x8 accelerator in an Artix-7 35T", "xc7", 0),
    ("Fmax of the 8x8 accelerator on an ECP5", "ecp5", 0),
)


def table(results, old=()):
    """Markdown of rows. old: names of the results that were measured with earlier sources."""
    lines = ["| | must | aim | measured | holds |", "|---|---|---|---|---|"]
    for result in results:
        for row in result.rows:
            holds = {True: "yes", False: "**no**", None: ""}[row.met]
            mark = f"{holds}, {OLD}" if holds else OLD
            lines.append(
                f"| {row.what} | {row.must} | {row.aim} | {row.measured} | {mark if result.name in old else holds} |"
            )
    return "\n".join(lines)


def notes(results):
    """What the table has no room for, a line for each row that has it."""
    lines = [f"{row.what}: {row.note}." for result in results for row in result.rows if row.note]
    return "\n".join(
        textwrap.fill(
            line, WIDTH, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False, break_long_words=False
        )
        for line in lines
    )


def figures(page):
    """The page of figures with its tables up to date."""
    results = load_all(BENCHMARKS)
    old = {result.name for result in results if is_old(result)}
    parts = []
    for group, title in GROUPS.items():
        own = [result for result in results if BENCHMARKS[result.name].group == group]
        if own:
            parts.append("\n\n".join(filter(None, (f"## {title}", table(own, old), notes(own)))))
    return fill(page, "figures", "\n\n".join(parts))


def readme(page):
    """The README with its six figures up to date; as it is where it has no place for them."""
    if f"<!-- {SIX} -->" not in page:
        return page
    results = {result.name: result for result in load_all(BENCHMARKS)}
    lines = ["| | |", "|---|---|"]
    for what, name, number in SIX_ROWS:
        mark = f" ({OLD})" if is_old(results[name]) else ""
        lines.append(f"| {what} | {results[name].rows[number].measured}{mark} |")
    return fill(page, SIX, "\n".join(lines))


def write():
    """Bring both pages up to date."""
    for path, change in ((FIGURES, figures), (README, readme)):
        write_file(path, change(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    write()
