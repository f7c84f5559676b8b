"""What post-training quantization is asked for, checked, and what it means for a network's layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel import ir
from accel.errors import ModelError, RangeError, UnsupportedError
from accel.names import ENCODINGS, RULES, WEIGHT_BITS
from quant.arithmetic import multipliers
from quant.frontend.floatnet import NO_CLAMP, has_weights
from quant.names import (
    CALIBRATIONS,
    GRANULARITIES,
    MULTI_BIT_ACTIVATIONS,
    PERCENTILE,
    SCALES,
    SCHEMES,
    WEIGHT_LEVELS,
    WEIGHT_ROUNDINGS,
)
from quant.ptq.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accel.types import Notes
    from quant.frontend.floatnet import FloatNetwork

INPUT_BITS = 8
CHOICES = {
    "rule": RULES,
    "encoding": ENCODINGS,
    "weight_levels": WEIGHT_LEVELS,
    "calibration": CALIBRATIONS,
    "weight_calibration": CALIBRATIONS,
    "granularity": GRANULARITIES,
    "activation_scheme": SCHEMES,
    "scales": SCALES,
    "weight_rounding": WEIGHT_ROUNDINGS,
}
WORDS = {"rule": "rounding rule", "encoding": "input encoding", "weight_rounding": "weight rounding"}
# What the accelerator's arithmetic cannot express: (option, value) -> why, and what to do.
INEXPRESSIBLE = {
    ("weight_scheme", "affine"): "weights have no zero point in the accelerator; use symmetric weights",
    ("activation_granularity", "channel"): "an activation tensor has one scale and one zero point in the accelerator; "
    "use --equalize, which moves the channels' ranges into the weights",
}


@dataclass(frozen=True)
class LayerWidth:
    """Bits of one layer's weights and of its output; activation_bits None: raw int32."""

    weight_bits: int
    activation_bits: int | None


@dataclass(frozen=True)
class PtqOptions:
    """weight_bits: one value for every layer, or a tuple with one per layer with weights. activation_bits: of the
    layers' outputs, one value or a tuple with one per output that is quantized: every layer with weights but a last
    one that puts out raw int32; the input has 8. rule: rounding rule of every requantization. encoding: 'uint8' or
    'float' input. full_range: weights may be -2^(b-1). requantizer: the multipliers of the build.

    weight_levels: the integers that weights may be: 'uniform', 'pow2' (0 and +-2^a), 'khot2' (sums and differences of
    two powers). calibration: how the activations' ranges are found, with `percentile` in per cent; weight_calibration:
    the weights'. granularity: a weight scale per 'channel' or per 'tensor'. activation_scheme: 'affine' or 'symmetric'
    (zero point 0). weight_scheme, activation_granularity: what other tools have and the accelerator has not; only the
    defaults are taken. scales: 'float', or 'pow2' for powers of two everywhere. equalize: cross-layer equalization.
    bias_correction: biases take the mean error of their layer. weight_rounding: one of WEIGHT_ROUNDINGS.
    layer_images: how many calibration images the last two look at, layer by layer.
    Raises UnsupportedError or RangeError for what is not supported.
    """

    weight_bits: int | tuple[int, ...] = 8
    activation_bits: int | tuple[int, ...] = 8
    rule: str = "half_up"
    encoding: str = "uint8"
    full_range: bool = False
    requantizer: str = "full"
    weight_levels: str = "uniform"
    calibration: str = "minmax"
    percentile: float = PERCENTILE
    weight_calibration: str = "minmax"
    granularity: str = "channel"
    activation_scheme: str = "affine"
    scales: str = "float"
    equalize: bool = False
    bias_correction: bool = False
    weight_rounding: str = "nearest"
    layer_images: int = 256
    weight_scheme: str = "symmetric"
    activation_granularity: str = "tensor"

    def __post_init__(self) -> None:
        self._check_bits()
        multipliers.check_requantizer(self.requantizer)
        for (name, value), reason in INEXPRESSIBLE.items():
            if getattr(self, name) == value:
                raise UnsupportedError(f"{name}={value} cannot be exported: {reason}")
        allowed = {**CHOICES, "weight_scheme": ("symmetric",), "activation_granularity": ("tensor",)}
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise UnsupportedError(
                    f"{WORDS.get(name, name)} '{getattr(self, name)}' is unknown; choose one of {', '.join(values)}"
                )
        if not 50 < self.percentile <= 100:
            raise RangeError(f"percentile {self.percentile} must be above 50 and at most 100")
        if self.layer_images < 1:
            raise RangeError(f"layer_images {self.layer_images} must be at least 1")
        if self.weight_rounding != "nearest" and 1 in (self.weight_bits, *_values(self.weight_bits)):
            raise UnsupportedError(
                f"weight_rounding={self.weight_rounding} chooses between integers, but 1-bit weights are signs; "
                "use weight_rounding=nearest"
            )

    def _check_bits(self) -> None:
        for name, allowed in (("weight_bits", WEIGHT_BITS), ("activation_bits", MULTI_BIT_ACTIVATIONS)):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
            for bits in _values(getattr(self, name)):
                if bits not in allowed:
                    raise UnsupportedError(
                        f"{name}={bits} is not supported by post-training "
                        f"quantization; use one of {', '.join(map(str, allowed))}"
                    )

    @property
    def needs_images(self) -> bool:
        """Whether layers are quantized with calibration images at hand."""
        return self.bias_correction or self.weight_rounding in ("adaround", "gptq")

    def layer_widths(self, network: FloatNetwork) -> list[LayerWidth]:
        """A LayerWidth per layer with weights of a FloatNetwork, in order.

        Raises ModelError where a tuple names another number of layers.
        """
        layers = [layer for layer in network.layers if has_weights(layer)]
        raw = bool(layers) and network.layers[-1] is layers[-1] and layers[-1].clamp == NO_CLAMP
        names = [layer.name for layer in layers]
        outputs = names[:-1] if raw else names
        weights = _expand("weight_bits", self.weight_bits, names, "layers with weights")
        activations = _expand("activation_bits", self.activation_bits, outputs, "outputs that are quantized")
        return [LayerWidth(*pair) for pair in zip(weights, (*activations, None)[: len(layers)], strict=True)]

    def grid(self, bits: int) -> Grid:
        """The Grid of an activation of so many bits."""
        return Grid(bits, self.activation_scheme == "symmetric", self.scales == "pow2")

    def grids(self, network: FloatNetwork) -> dict[str, Grid]:
        """{tensor name: Grid} of every tensor of a FloatNetwork that gets a scale; the input under 'input'."""
        layers = [layer for layer in network.layers if has_weights(layer)]
        pairs = zip(layers, self.layer_widths(network), strict=True)
        outputs = {
            layer.name: self.grid(width.activation_bits) for layer, width in pairs if width.activation_bits is not None
        }
        return {ir.INPUT_NAME: self.grid(INPUT_BITS), **outputs} if self.encoding == "float" else outputs

    def notes(self) -> Notes:
        """{name: value} of the options that differ from their defaults and are not seen in the network otherwise."""
        names = (
            "weight_levels",
            "weight_calibration",
            "granularity",
            "activation_scheme",
            "scales",
            "equalize",
            "bias_correction",
        )
        notes = {name: getattr(self, name) for name in names if getattr(self, name) != getattr(type(self), name)}
        if self.calibration == "percentile":
            notes["percentile"] = self.percentile
        if self.weight_rounding != "nearest":
            notes["weight_rounding"] = self.weight_rounding
        return notes


def _values(given: int | tuple[int, ...]) -> tuple[int, ...]:
    return given if isinstance(given, tuple) else (given,)


def _expand(name: str, given: int | tuple[int, ...], layers: Sequence[str], what: str) -> tuple[int, ...]:
    """A value per layer name, from one value or a tuple of them."""
    values, count = _values(given), len(layers)
    if len(values) not in (1, count):
        raise ModelError(
            f"{name} {','.join(map(str, values))} has {len(values)} values but the network has {count} "
            f"{what} ({', '.join(layers)}); give one value, or {count}"
        )
    return values * count if len(values) == 1 else values
