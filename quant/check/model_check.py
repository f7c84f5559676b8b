"""The feasibility check of a float network: which layer can have which width."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from accel.errors import DataError, RangeError
from quant.arithmetic import scales
from quant.check.tensors import ErrorSums, RangeSearch, check_clip, weight_figures
from quant.check.thresholds import gaussian_snr
from quant.frontend.floatnet import NO_CLAMP, has_weights
from quant.names import MULTI_BIT_ACTIVATIONS, MULTI_BIT_WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Literal

    import torch

    from accel.types import Array, Notes
    from quant.check.tensors import Figure
    from quant.check.thresholds import Thresholds
    from quant.frontend.prepare import PreparedNetwork

WIDEST, NARROWEST = MULTI_BIT_WEIGHTS[0], MULTI_BIT_WEIGHTS[-1]
BATCH = 100
PASSES = 3  # over the images: ranges, histograms, errors


@dataclass(frozen=True)
class TensorCheck:
    """A layer's weights or its output. figures: one per width, widest first. proposal: the lowest width that passes;
    8 where none does, which is flagged."""

    layer: str
    kind: Literal["weights", "activations"]
    figures: tuple[Figure, ...]

    @property
    def proposal(self) -> int:
        passing = [figure.bits for figure in self.figures if figure.passes]
        return min(passing, default=WIDEST)

    @property
    def flagged(self) -> bool:
        return not any(figure.passes for figure in self.figures)


@dataclass(frozen=True)
class ModelCheck:
    """The whole network: weights of every layer that has some, outputs of those that are not raw int32."""

    name: str
    thresholds: Thresholds
    clip: str
    images: int
    weights: tuple[TensorCheck, ...]
    activations: tuple[TensorCheck, ...]

    @property
    def flagged(self) -> tuple[TensorCheck, ...]:
        """The TensorChecks that pass at no width."""
        return tuple(check for check in (*self.weights, *self.activations) if check.flagged)

    @property
    def ok(self) -> bool:
        return not self.flagged

    @property
    def weight_bits(self) -> tuple[int, ...]:
        """Proposed widths, one per layer with weights."""
        return tuple(check.proposal for check in self.weights)

    @property
    def activation_bits(self) -> tuple[int, ...]:
        """Proposed widths, one per layer with weights but a raw last one."""
        return tuple(check.proposal for check in self.activations)

    @property
    def verdict(self) -> str:
        """One sentence about the whole network."""
        if self.flagged:
            names = ", ".join(f"{check.layer} ({check.kind})" for check in self.flagged)
            return f"not feasible at these thresholds; at no width pass, so INT8 stays: {names}"
        narrow = sum(bits < WIDEST for bits in (*self.weight_bits, *self.activation_bits))
        total = len(self.weights) + len(self.activations)
        if not narrow:
            return "feasible at INT8 only: no tensor passes below"
        return f"feasible: every tensor passes, {narrow} of {total} below INT8"

    @property
    def advice(self) -> str:
        """What a failure says and doesn't say, where a threshold is beyond what a width can give; else ''."""
        hopeless = [bits for bits in self.thresholds.hopeless() if bits > NARROWEST]
        if not hopeless:
            return ""
        reach = ", ".join(f"{gaussian_snr(bits):.0f} dB at INT{bits}" for bits in (*hopeless, NARROWEST))
        asked = " and ".join(f"{value:g} dB" for value in sorted({self.thresholds.snr_db[bits] for bits in hopeless}))
        return (
            f"At {asked} nearly nothing passes below INT8: a bit is worth 6 dB, and Gaussian values at the best "
            f"scale reach {reach}. A low SNR is not a low accuracy: --thresholds per-width asks of every width what "
            "networks that keep their accuracy reach."
        )

    def plain(self) -> Notes:
        """The check as plain JSON values."""
        tensors = [
            {
                "layer": check.layer,
                "kind": check.kind,
                "proposal": check.proposal,
                "flagged": check.flagged,
                "widths": [asdict(figure) for figure in check.figures],
            }
            for check in (*self.weights, *self.activations)
        ]
        thresholds = [
            {"bits": bits, "snr_db": self.thresholds.snr_db[bits], "coverage": self.thresholds.coverage[bits]}
            for bits in MULTI_BIT_WEIGHTS
        ]
        return {
            "clip": self.clip,
            "images": self.images,
            "thresholds": thresholds,
            "layers": tensors,
            "weight_bits": self.weight_bits,
            "activation_bits": self.activation_bits,
            "flagged": [{"layer": check.layer, "kind": check.kind} for check in self.flagged],
            "feasible": self.ok,
            "verdict": self.verdict,
            "advice": self.advice,
        }


def check_network(
    prepared: PreparedNetwork,
    images: Array,
    thresholds: Thresholds,
    clip: str = "best",
    advance: Callable[[int], None] = lambda count: None,
) -> ModelCheck:
    """The ModelCheck of a PreparedNetwork.

    images: [N, H, W, C] as the network's encoding takes them, for the activations; each tensor is measured on its own:
    the float network's values against the nearest representable ones. advance(count) is called per batch, three times
    per image. Raises DataError without images, RangeError where an image makes a tensor infinite or NaN,
    UnsupportedError for an unknown clip.
    """
    check_clip(clip)
    network = prepared.network
    if not len(images):
        raise DataError(f"{network.name}: the check needs at least one image; raise --calibration-images")
    last = network.layers[-1]
    weights, measured = [], []
    for layer in filter(has_weights, network.layers):
        raw = layer is last and layer.clamp == NO_CLAMP
        weights.append(TensorCheck(layer.name, "weights", weight_figures(layer.weight, raw, thresholds, clip)))
        if not raw:
            measured.append(layer.name)
    activations = _activations(prepared, images, measured, thresholds, clip, advance)
    return ModelCheck(network.name, thresholds, clip, len(images), tuple(weights), activations)


def _activations(
    prepared: PreparedNetwork,
    images: Array,
    names: Sequence[str],
    thresholds: Thresholds,
    clip: str,
    advance: Callable[[int], None],
) -> tuple[TensorCheck, ...]:
    """TensorChecks of the layers' outputs, in three passes over the images: no tensor is kept."""

    def outputs() -> Iterator[list[torch.Tensor]]:
        for start in range(0, len(images), BATCH):
            part = images[start : start + BATCH]
            found = prepared.network.run(prepared.input_values(part))
            yield [found[name] for name in names]
            advance(len(part))

    ranges = [(math.inf, -math.inf)] * len(names)
    for tensors in outputs():
        for index, (name, x) in enumerate(zip(names, tensors, strict=True)):
            low, high = float(x.min()), float(x.max())
            if not (math.isfinite(low) and math.isfinite(high)):
                raise RangeError(f"{name}: its output {low}..{high} must be finite; check the weights and the images")
            ranges[index] = min(ranges[index][0], low), max(ranges[index][1], high)
    searches = [RangeSearch(*bounds) for bounds in ranges]
    for tensors in outputs():
        for search, x in zip(searches, tensors, strict=True):
            search.add(x)
    choices = [[_quantizer(search, bits, clip, thresholds) for bits in MULTI_BIT_ACTIVATIONS] for search in searches]
    sums = [[ErrorSums() for _ in MULTI_BIT_ACTIVATIONS] for _ in names]
    for tensors in outputs():
        for x, quantizers, own in zip(tensors, choices, sums, strict=True):
            for quantizer, total in zip(quantizers, own, strict=True):
                total.add(x, *quantizer)
    return tuple(
        TensorCheck(
            name,
            "activations",
            tuple(total.figure(bits, thresholds) for bits, total in zip(MULTI_BIT_ACTIVATIONS, own, strict=True)),
        )
        for name, own in zip(names, sums, strict=True)
    )


def _quantizer(search: RangeSearch, bits: int, clip: str, thresholds: Thresholds) -> tuple[float, int, int, int]:
    """(scale, zero point, qmin, qmax) of an activation at one width."""
    scale, zero_point = scales.affine_scale(*search.range(bits, clip, thresholds.coverage[bits]), bits)
    return scale, zero_point, *scales.integer_range(bits)
