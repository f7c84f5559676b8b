"""python -m scripts.pictures: draw all pictures anew, block diagrams and timing diagrams."""

import sys
from pathlib import Path

from accel.atomic import write_file
from scripts.pictures import cell, engines, timing, top, waves
from scripts.pictures.wiring import PictureError

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCKS = {"top": top.draw, "engines": engines.draw, "cell": cell.draw}
TIMING = {"stream": timing.stream, "output": timing.output, "host": timing.host, "layer": timing.layer}


def block_diagram(name):
    """{file below docs/: text} of a block diagram."""
    return {f"pictures/{name}.svg": BLOCKS[name]()}


def timing_diagram(name):
    """{file below docs/: text} of a timing diagram: its WaveDrom source, and that drawn."""
    picture = TIMING[name]()
    return {f"timing/{name}.json": waves.text(picture), f"timing/{name}.svg": waves.svg(picture)}


def main():
    """Write all files; returns the exit code."""
    try:
        for make, names in ((block_diagram, BLOCKS), (timing_diagram, TIMING)):
            for name in names:
                for path, text in make(name).items():
                    write_file(DOCS / path, text)
    except PictureError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
