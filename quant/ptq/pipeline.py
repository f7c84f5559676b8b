"""The whole way of post-training quantization: float module -> integer graph with its feasibility figures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from quant.check.feasibility import FeasibilityCheck, annotate
from quant.frontend.prepare import prepare, with_pixel_scale
from quant.frontend.read import read_module
from quant.ptq import awq, observe
from quant.ptq.clipping import weight_warnings
from quant.ptq.equalize import equalize
from quant.ptq.quantize import PtqOptions, quantize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    import torch

    from accel.ir import Graph
    from accel.types import Array
    from quant.frontend.prepare import PreparedNetwork

BATCH = 100
POW2_PIXEL = 1 / 256


@dataclass(frozen=True)
class Normalization:
    """The network reads x = (u / 255 - mean) / std of an image u; one value, or one per channel, each."""

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


def batches(images: Array, size: int = BATCH) -> Iterator[Array]:
    """Consecutive parts of [N, H, W, C], at most `size` images each."""
    return (images[start : start + size] for start in range(0, len(images), size))


class Inputs:
    """The real inputs of a PreparedNetwork for images, batch by batch, as often as they are asked for; advance(count)
    is called per batch."""

    def __init__(
        self, prepared: PreparedNetwork, images: Array, advance: Callable[[float], None] = lambda count: None
    ) -> None:
        self.prepared, self.images, self.advance = prepared, images, advance

    def __iter__(self) -> Iterator[torch.Tensor]:
        for batch in batches(self.images):
            yield self.prepared.input_values(batch)
            self.advance(len(batch))


def work(options: PtqOptions, count: int) -> int:
    """The sum of all counts that quantize_module gives to `advance`, for so many calibration images."""
    return count * (observe.passes(options.calibration) + 1 + options.needs_images)


def prepare_network(
    module: torch.nn.Module,
    images: Array,
    name: str,
    normalization: Normalization,
    options: PtqOptions,
    input_shape: Sequence[int] | None = None,
) -> PreparedNetwork:
    """The PreparedNetwork that the options quantize: read, folded, with the channels' scales moved between layers where
    they ask for it. images: calibration images [N, H, W, C]."""
    network = read_module(module, input_shape or images.shape[1:], name)
    prepared = prepare(network, normalization.mean, normalization.std, options.encoding)
    if options.scales == "pow2" and options.encoding == "uint8":
        prepared = with_pixel_scale(prepared, POW2_PIXEL)
    if not options.equalize and options.weight_rounding != "awq":
        return prepared
    widths = options.layer_widths(prepared.network)
    samples = prepared.input_values(images[: options.layer_images])
    weights: dict[str, Any] = {"full_range": options.full_range, "per_tensor": options.granularity == "tensor"}
    if options.equalize:
        prepared = replace(prepared, network=equalize(prepared.network, samples, widths, **weights))
    if options.weight_rounding == "awq":
        inputs = [None, *(width.activation_bits for width in widths[:-1])]
        network = awq.scale_inputs(
            prepared.network, samples, [width.weight_bits for width in widths], activation_bits=inputs, **weights
        )
        prepared = replace(prepared, network=network)
    return prepared


def quantize_module(
    module: torch.nn.Module,
    images: Array,
    *,
    name: str = "network",
    normalization: Normalization | None = None,
    options: PtqOptions | None = None,
    class_names: Sequence[str] = (),
    input_shape: Sequence[int] | None = None,
    advance: Callable[[float], None] = lambda count: None,
    warn: Callable[[str], None] = lambda text: None,
) -> Graph:
    """Post-training quantization of an nn.Module: an ir.Graph whose notes carry SNR and range coverage.

    images: calibration images [N, H, W, C], uint8 (or float32, already normalized, for the float input
    encoding).
    advance(count) is called per batch and layer; the counts' sum is `work(options, len(images))`. warn(text) is called
    for every tensor that the calibration clips with a great loss (`clipping`). Raises the errors of the front end,
    calibration and quantizer.
    """
    options, normalization = options or PtqOptions(), normalization or Normalization()
    prepared = prepare_network(module, images, name, normalization, options, input_shape)
    ranges = observe.calibrate(
        prepared.network,
        Inputs(prepared, images, advance),
        options.calibration,
        options.grids(prepared.network),
        percentile=options.percentile,
        warn=warn,
    )

    def advance_layer(share: float) -> None:
        if options.needs_images:
            advance(share * len(images))

    graph = quantize(prepared, ranges, options, class_names, images, advance_layer)
    for text in weight_warnings(prepared.network, graph, options):
        warn(text)
    check = FeasibilityCheck(prepared, graph)
    for batch in batches(images):
        check.add(batch)
        advance(len(batch))
    notes = {"calibration": options.calibration, "calibration_images": len(images), "rounding": options.rule}
    return annotate(graph, check.figures(), {**notes, **options.notes()})
