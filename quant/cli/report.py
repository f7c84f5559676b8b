"""`python -m quant report`: one HTML page and one JSON about a network in every width."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from accel.atomic import write_file
from accel.checks import shown
from accel.cli import EXIT_OK
from accel.config import HardwareConfig
from accel.errors import OutputError, UnsupportedError
from accel.names import PRECISIONS
from accel.options import taking
from accel.outputs import File, check_outputs
from quant import marks
from quant.cli.given import Labelled
from quant.cli.options import bar, code_file
from quant.cli.report_networks import Made, add_trained, add_untrained, given_networks, read_source
from quant.cli.report_options import WIDTH_NAMES, Report, options
from quant.cli.report_output import command_line, notes_of, print_report
from quant.cli.user_input import check_splits, labelled

if TYPE_CHECKING:  # imports torch
    from quant.report.widths import Width


@click.command()
@options
@taking(Report)
def report(given: Report) -> int:
    """Compare a network in every width: one self-contained HTML page and a JSON with the same figures.

    Accuracy and size of FP32, INT8, INT6, INT4, INT2, binary and mixed widths, quantized after training and trained;
    what the literature expects; the Pareto front of the search; per-layer signal-to-noise ratio; histograms before and
    after; confusion matrices. LeNet-5 on MNIST takes one to two minutes of one core. The same options give the same
    bytes.

    JSON keys: model, data, out, json, networks (key, title, method, accuracy, change_points, weight_bytes, cycles,
    verdict), refused.

    Example: python -m quant report --model lenet5 --data mnist --out build/out/report.html
    """
    page, figures_file = _outputs(given)
    widths = _widths(given.widths)
    rows, lanes = given.build
    config = HardwareConfig(rows=rows, lanes=lanes, precisions=PRECISIONS)
    from quant.report import gather
    from quant.report import page as pages

    calibration, test = _images(given)
    made = Made(read_source(given, calibration), widths)
    training = None
    if given.qat_epochs:
        training = labelled(given.data, "--qat-epochs", given.split("train", given.train_count))
    folders = given_networks(made.source, given.networks, gather.class_names(made.source))
    add_untrained(made, given, config)
    add_trained(made, given, training)
    made.entries += folders
    same = np.array_equal(calibration, test.images[: len(calibration)])
    with bar("measuring", gather.steps(made.source, made.entries, len(test.images)), given.as_json) as advance:
        figures = gather.report(
            made.source,
            made.entries,
            test,
            config,
            data=given.data,
            same_images=same,
            search=made.search,
            refused=made.refused,
            command=command_line(),
            notes=notes_of(made.source, given.seed, given.qat_epochs),
            advance=advance,
        )
    write_file(page, pages.render(figures), marks.REPORT)
    text = json.dumps({"made_by": marks.REPORT.decode(), **figures}, indent=1, allow_nan=False)
    write_file(figures_file, text + "\n", marks.REPORT)
    print_report(figures, given, page, figures_file)
    return EXIT_OK


def _outputs(given: Report) -> tuple[Path, Path]:
    """(page, JSON file), checked before anything takes time."""
    page = Path(given.out)
    if page.suffix not in (".html", ".htm"):
        raise OutputError(f"--out {shown(given.out)}: the report is an HTML page; end the name with .html")
    figures_file = page.with_suffix(".json")
    check_outputs(
        File(page, marks.REPORT),
        File(figures_file, marks.REPORT, "JSON beside --out"),
        model=code_file(given.model),
        weights=given.weights,
        network=[folder for _, folder in given.networks],
    )
    return page, figures_file


def _widths(text: str) -> "tuple[Width, ...]":
    from quant.report.widths import choose

    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UnsupportedError("--widths names nothing; give some of " + WIDTH_NAMES)
    return choose(names)


def _images(given: Report) -> tuple[np.ndarray, Labelled]:
    """(calibration images, test images with labels)."""
    calibration = given.split("train", given.calibration_images).images
    test = labelled(given.data, "a report", given.split("test", given.test_count))
    check_splits(given.data, calibration, test.images, "a report")
    return calibration, test
