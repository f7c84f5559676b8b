"""What a calibration that clips loses against one that keeps the extremes, and the warning where that is much.

KL divergence looks at how often values occur, not at how large they are: behind a ReLU few values are large, but of a
layer without a clamp both tails may be cut although they hold most of the signal.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from quant.check.thresholds import decibel
from quant.frontend.floatnet import has_weights
from quant.ptq.weights import weight_integers, weight_scales

if TYPE_CHECKING:
    from accel.ir import Graph
    from quant.frontend.floatnet import FloatNetwork
    from quant.ptq.grid import Grid
    from quant.ptq.histogram import Histogram
    from quant.ptq.options import PtqOptions

LOSS_DB = 20.0


def activation_warning(
    name: str, histogram: Histogram, grid: Grid, chosen: tuple[float, float], method: str
) -> str | None:
    """Text where a tensor's chosen range (low, high) has a signal-to-noise ratio LOSS_DB worse than that of its
    extremes, by its Histogram and Grid; else None."""
    values, counts = histogram.centres()

    def ratio(low: float, high: float) -> float:
        error = values - grid.rounded(values, *grid.fit(low, high))
        return decibel(float(counts @ np.square(values)), float(counts @ np.square(error)))

    return _text(
        name,
        f"its output has {grid.bits} bits",
        "--calibration",
        method,
        ratio(*chosen),
        ratio(histogram.low, histogram.high),
    )


def weight_warnings(network: FloatNetwork, graph: Graph, options: PtqOptions) -> list[str]:
    """Texts for the layers of a FloatNetwork whose weights in the ir.Graph made of it lose as much.

    options: PtqOptions. Both scales are compared with rounding to nearest.
    """
    found = []
    for layer, built in zip(network.layers, graph.layers, strict=True):
        if not has_weights(layer) or built.op == "maxpool":
            continue
        if built.weight_bits == 1 or options.weight_calibration == "minmax":
            continue
        plain = replace(options, weight_rounding="nearest", weight_calibration="minmax")
        widest = weight_scales(layer, built.input.scale, built.weight_bits, plain, per_tensor=built.requantize is None)
        ratios = []
        for scale in (torch.tensor(built.weight_scale), widest):
            rounded = weight_integers(layer, scale, built.weight_bits, plain) * scale.reshape(
                -1, *(1,) * (layer.weight.dim() - 1)
            )
            ratios.append(decibel(float(layer.weight.square().sum()), float((layer.weight - rounded).square().sum())))
        found.append(
            _text(
                layer.name,
                f"its weights have {built.weight_bits} bits",
                "--weight-calibration",
                options.weight_calibration,
                *ratios,
            )
        )
    return [text for text in found if text is not None]


def _text(name: str, what: str, option: str, method: str, chosen: float, extremes: float) -> str | None:
    if chosen > extremes - LOSS_DB:
        return None
    return (
        f"{name}: {what}, of which {option} {method} keeps {chosen:.1f} dB and minmax {extremes:.1f} dB on the "
        f"calibration data, as it clips large values; use {option} minmax or mse"
    )
