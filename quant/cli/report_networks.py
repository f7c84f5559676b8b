"""The networks that `python -m quant report` compares, made or loaded one after the other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from accel.config import HardwareConfig
from accel.errors import UnsupportedError
from accel.ir import Graph
from quant.cli.given import Labelled
from quant.cli.options import bar
from quant.cli.report_options import Report
from quant.cli.user_input import check_images, look_at
from quant.data import datasets

if TYPE_CHECKING:  # all import torch
    from quant.report.compared import Entry, Source
    from quant.report.widths import Width

BINARY_NOTE = "weights only: signs as activations need training"


@dataclass
class Made:
    """What a report has so far: Entries of networks, and (width, method, reason) of those that could not be made."""

    source: "Source"
    widths: "tuple[Width, ...]"
    entries: "list[Entry]" = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)
    search: dict[str, Any] | None = None


def read_source(given: Report, images: np.ndarray) -> "Source":
    from quant.ptq.options import PtqOptions
    from quant.report.compared import source_of

    module, name, shape = given.load()
    check_images(given.model, shape, given.data, images)
    look_at(module, images, name)
    options = PtqOptions(
        calibration=given.calibration, weight_calibration=given.calibration, weight_rounding=given.weight_rounding
    )
    names = datasets.CLASS_NAMES.get(given.data, ())
    return source_of(module, given.model, name, given.normalization(), names, images, options)


def add_untrained(made: Made, given: Report, config: HardwareConfig) -> None:
    """Add the networks that are quantized after training, and the search of the mixed one."""
    from accel.compile.choices import roomy
    from quant.ptq.pipeline import work
    from quant.report import mixed
    from quant.report.compared import PTQ, after_training
    from quant.report.gather import attempt
    from quant.report.widths import INT8, MIXED, WIDTHS

    uniform, source = [width for width in made.widths if width != MIXED], made.source
    found = {}
    wanted = [width for width in WIDTHS.values() if width in uniform or (MIXED in made.widths and width.weight_bits)]
    with bar("quantizing", work(source.options, len(source.calibration)) * len(wanted), given.as_json) as advance:
        for width in wanted:
            how = BINARY_NOTE if width.key == "binary" else ""
            own = made.refused if width in uniform else []
            found[width] = attempt(
                own,
                width,
                PTQ,
                partial(
                    after_training, source, width, width.weight_bits or 8, width.activation_bits or 8, advance, how
                ),
            )
    made.entries += [entry for width in uniform for entry in found[width]]
    if MIXED not in made.widths or not found[INT8]:
        return
    available = [entry for width in wanted for entry in found[width] if (width.weight_bits or 0) > 1]
    with bar("searching", None, given.as_json) as advance:
        best = attempt(
            made.refused,
            MIXED,
            PTQ,
            lambda: mixed.find(source, available, roomy(config), given.cost, given.budget, advance),
        )
    if best:
        entry, made.search = best[0]
        made.entries.append(entry)


def add_trained(made: Made, given: Report, training: Labelled | None) -> None:
    """Add the networks that are trained here, or the zoo's own for its own weights."""
    from quant.models.zoo import MODELS
    from quant.report import compared
    from quant.report.gather import attempt
    from quant.report.widths import MIXED

    source = made.source
    if training is None:
        if source.model in MODELS and given.weights is None:
            made.entries += compared.shipped(source.model, made.widths)
        return
    mixed = [entry.graph for entry in made.entries if entry.width == MIXED.key]
    for width in made.widths:
        if width == MIXED:
            widths = [_graph_widths(graph) for graph in mixed]
        else:
            widths = [compared.training_widths(width, source.layers)]
        for bits in widths:
            with bar(f"training {width.title}", given.qat_epochs, given.as_json) as advance:
                made.entries += attempt(
                    made.refused,
                    width,
                    compared.TRAINED,
                    partial(
                        compared.trained,
                        *(source, width, bits, *training, given.qat_epochs, given.seed),
                        on_epoch=partial(_step, advance),
                    ),
                )


def _step(advance: Callable[[], None], _epoch: int, _loss: float) -> None:
    advance()


def _graph_widths(graph: Graph) -> tuple[tuple[int, ...], tuple[int, ...]]:
    layers = [layer for layer in graph.layers if layer.op != "maxpool"]
    return tuple(layer.weight_bits for layer in layers), tuple(layer.output.bits for layer in layers[:-1])


def given_networks(source: "Source", networks: tuple[tuple[str, str], ...], classes: Sequence[str]) -> "list[Entry]":
    from quant.report.compared import given

    names = [name for name, _ in networks]
    if len(set(names)) != len(names):
        raise UnsupportedError("--network: two networks have the same name; give each its own")
    return [given(name, folder, source.calibration.shape[1:], len(classes)) for name, folder in networks]
