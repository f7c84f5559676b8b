"""What `python -m quant report` says on its page and prints."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accel.cli import print_json, print_table
from accel.start import spelled
from quant.cli.report_options import Report

if TYPE_CHECKING:  # imports torch
    from quant.report.compared import Source

MODULE = "python -m quant"


def command_line() -> str:
    """The command line, for the page."""
    arguments = sys.argv[1:] if spelled(MODULE) == MODULE else sys.argv[2:]
    return f"{spelled(MODULE)} {shlex.join(arguments)}"


def notes_of(source: "Source", seed: int, epochs: int) -> list[str]:
    mean, std = source.normalization.mean, source.normalization.std
    notes = [
        f"After training: ranges by {source.options.calibration} from {len(source.calibration):,} training "
        f"images, weights rounded by {source.options.weight_rounding} (signs: of the float weights).",
        "Every accuracy but FP32's is that of integers: the same integers come out of the reference, the PyTorch "
        "network and the hardware.",
    ]
    if epochs:
        notes.append(f"Trained networks: {epochs} epochs, seed {seed}, from the float network.")
    if any(mean) or set(std) != {1.0}:
        notes.append(
            f"The network reads (u / 255 - mean) / std with mean {', '.join(map(str, mean))} and std "
            f"{', '.join(map(str, std))}."
        )
    return notes


def print_report(figures: dict[str, Any], given: Report, page: Path, figures_file: Path) -> None:
    keys = ("key", "title", "method", "accuracy", "change_points", "weight_bytes", "cycles", "verdict")
    networks = [{key: item.get(key) for key in keys} for item in figures["networks"]]
    if given.as_json:
        print_json(
            {
                "model": given.model,
                "data": given.data,
                "out": page,
                "json": figures_file,
                "networks": networks,
                "refused": figures["refused"],
            }
        )
        return
    rows = [
        (
            item["title"],
            item["method"],
            f"{100 * item['accuracy']:.2f} %",
            "" if item["change_points"] is None else f"{item['change_points']:+.2f}",
            item["weight_bytes"],
            item["cycles"],
            item["verdict"],
        )
        for item in networks
    ]
    print_table(
        f"{given.model} on {given.data}",
        ("network", "made", "accuracy", "points", "weight bytes", "cycles", "expected"),
        rows,
    )
    for item in figures["refused"]:
        click.echo(f"left out: {item['width']}, {item['method']}: {item['reason']}", err=True)
    click.echo(f"{page} and {figures_file}")
