"""The networks around a search: uniform ones whose quantizers it reads, and the chosen one, quantized or trained."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from accel.errors import UnsupportedError
from quant.frontend.fold import is_unclamped
from quant.ptq import observe
from quant.ptq.pipeline import Inputs, prepare_network
from quant.ptq.quantize import quantize
from quant.search.probe import Probe
from quant.search.search import WIDE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    import torch

    from accel.ir import Graph
    from accel.types import Array, Ints
    from quant.frontend.prepare import PreparedNetwork
    from quant.models.loop import Checkpoint, OnEpoch, Unwritten
    from quant.ptq.options import PtqOptions
    from quant.ptq.pipeline import Normalization
    from quant.qat.qat_network import QatNetwork
    from quant.qat.train import QatOptions
    from quant.search.search import Point, SearchOptions


def quantized(prepared: PreparedNetwork, images: Array, options: PtqOptions) -> Graph:
    """The ir.Graph of a PreparedNetwork by PtqOptions, without its layers' figures. images: for calibration."""
    ranges = observe.calibrate(
        prepared.network,
        Inputs(prepared, images),
        options.calibration,
        options.grids(prepared.network),
        percentile=options.percentile,
    )
    return quantize(prepared, ranges, options, (), images)


def uniform_graphs(
    prepared: PreparedNetwork,
    images: Array,
    options: PtqOptions,
    widths: Iterable[int],
    activation_bits: Sequence[int],
    advance: Callable[[], None] = lambda: None,
) -> dict[int, Graph]:
    """{bits: ir.Graph with weights and activations of so many bits everywhere}; activations that do not exist get 8.

    prepared: PreparedNetwork. images: calibration images. options: PtqOptions; the weights are rounded to the nearest
    integer, whatever they say. advance is called once per graph.
    """
    graphs = {}
    for bits in widths:
        outputs = bits if bits in activation_bits else WIDE
        graphs[bits] = quantized(
            prepared,
            images,
            replace(
                options, weight_bits=bits, activation_bits=outputs, weight_rounding="nearest", bias_correction=False
            ),
        )
        advance()
    return graphs


def make_probe(
    module: torch.nn.Module,
    calibration: Array,
    images: Array,
    labels: Ints | None,
    *,
    name: str,
    normalization: Normalization,
    options: PtqOptions,
    search_options: SearchOptions,
    advance: Callable[[], None] = lambda: None,
) -> tuple[Probe, Graph]:
    """(Probe over images and labels, the 8-bit ir.Graph) of an nn.Module; the Probe holds its PreparedNetwork.

    calibration: images [N, H, W, C] for the ranges. options: PtqOptions; search_options: SearchOptions. Raises
    UnsupportedError where the last layer does not put out plain sums.
    """
    plain = replace(options, weight_bits=WIDE, activation_bits=WIDE, weight_rounding="nearest")
    prepared = prepare_network(module, calibration, name, normalization, plain)
    if not is_unclamped(prepared.network.layers[-1]):
        raise UnsupportedError(
            f"{name}: ends with {prepared.network.layers[-1].name}, a pool or a layer with an "
            "activation; a search needs a network that ends with a Conv2d or Linear and its logits"
        )
    widths = sorted({*search_options.weight_bits, *search_options.activation_bits}, reverse=True)
    graphs = uniform_graphs(prepared, calibration, options, widths, search_options.activation_bits, advance)
    return Probe(prepared, images, labels, graphs), graphs[WIDE]


def train_chosen(
    module: torch.nn.Module,
    point: Point,
    images: Array,
    labels: Ints,
    options: QatOptions,
    *,
    name: str,
    normalization: Normalization,
    requantizer: str = "full",
    on_epoch: OnEpoch | None = None,
    checkpoint: Callable[[dict[str, Any]], Checkpoint | Unwritten] | None = None,
) -> QatNetwork:
    """The QatNetwork of a Point after quantization-aware training.

    module: the float network, start and teacher; it reads images as the Normalization says. images: uint8
    [N, H, W, C]; labels: int64 [N]. options: QatOptions. checkpoint: function that gives the training's Checkpoint for
    its identity (plain values), or None.
    """
    from quant.frontend.prepare import prepare
    from quant.frontend.read import read_module
    from quant.qat.qat_network import QatNetwork, Widths
    from quant.qat.start import digest, identity
    from quant.qat.train import Teacher, real_input, train_qat

    prepared = prepare(read_module(module, images.shape[1:], name), normalization.mean, normalization.std)
    widths = Widths(tuple(point.weight_bits), tuple(point.activation_bits), requantizer=requantizer)
    network = QatNetwork(prepared, widths)
    known = {**identity(network), **asdict(options), "start": digest(network)}
    train_qat(
        network,
        Teacher(module, prepared),
        real_input(prepared, images),
        labels,
        options,
        on_epoch,
        None if checkpoint is None else checkpoint(known),
    )
    return network


def export_chosen(network: QatNetwork, options: QatOptions, *, name: str, class_names: Sequence[str] = ()) -> Graph:
    """The ir.Graph of what train_chosen gave, trained with these QatOptions."""
    from quant.qat.export import export

    notes = {
        "weight_bits": list(network.widths.weight_bits),
        "activation_bits": list(network.widths.activation_bits),
        "seed": options.seed,
        "epochs": options.epochs,
        "learning_rate": options.learning_rate,
    }
    return export(network, name, class_names=class_names, notes=notes)
