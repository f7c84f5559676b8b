"""What post-training quantization is asked for, checked, and the widths that it means for a network's layers."""

from dataclasses import dataclass

from accel import ir
from accel.errors import ModelError, UnsupportedError
from quant.arithmetic import multipliers, scales
from quant.frontend.floatnet import NO_CLAMP, has_weights

WEIGHT_BITS = (8, 6, 4, 2, 1)
ACTIVATION_BITS = (8, 4, 2)  # a sign needs training


@dataclass(frozen=True)
class LayerWidth:
    """Bits of one layer's weights and of its output; activation_bits None: raw int32."""

    weight_bits: int
    activation_bits: int | None


@dataclass(frozen=True)
class PtqOptions:
    """weight_bits: one value for every layer, or a tuple with one per layer with weights. activation_bits: of the
    layers' outputs, one value or a tuple with one per output that is quantized: every layer with weights but a last
    one that puts out raw int32; the input has 8. rule: rounding rule of every layer. encoding: 'uint8' or 'float'
    input. full_range: weights may be -2^(b-1). requantizer: the multipliers of the build. weights_khot: weights become
    sums or differences of so many powers of two (2 or None).
    """

    weight_bits: int | tuple = 8
    activation_bits: int | tuple = 8
    rule: str = "half_up"
    encoding: str = "uint8"
    full_range: bool = False
    requantizer: str = "full"
    weights_khot: int | None = None

    def __post_init__(self):
        for name, allowed in (("weight_bits", WEIGHT_BITS), ("activation_bits", ACTIVATION_BITS)):
            given = getattr(self, name)
            if isinstance(given, list):
                object.__setattr__(self, name, tuple(given))
            for bits in given if isinstance(given, tuple | list) else (given,):
                if bits not in allowed:
                    raise UnsupportedError(f"{name}={bits} is not supported by post-training "
                                           f"quantization; use one of {', '.join(map(str, allowed))}")
        multipliers.check_requantizer(self.requantizer)
        if self.weights_khot not in (None, 2):
            raise UnsupportedError(f"weights_khot={self.weights_khot} is not supported; use 2")
        if self.rule not in scales.RULES:
            raise UnsupportedError(f"rounding rule '{self.rule}' is unknown; choose one of "
                                   f"{', '.join(scales.RULES)}")
        if self.encoding not in ir.ENCODINGS:
            raise UnsupportedError(f"input encoding '{self.encoding}' is unknown; choose one of "
                                   f"{', '.join(ir.ENCODINGS)}")

    def layer_widths(self, network):
        """A LayerWidth per layer with weights of a FloatNetwork, in order.

        Raises ModelError where a tuple names another number of layers.
        """
        layers = [layer for layer in network.layers if has_weights(layer)]
        raw = bool(layers) and network.layers[-1] is layers[-1] and layers[-1].clamp == NO_CLAMP
        outputs = len(layers) - raw
        weights = _expand("weight_bits", self.weight_bits, len(layers), "layers with weights")
        activations = _expand("activation_bits", self.activation_bits, outputs, "outputs that are quantized")
        return [LayerWidth(*pair) for pair in zip(weights, (*activations, None)[:len(layers)], strict=True)]


def _expand(name, values, count, what):
    """`count` values from one value or a tuple of them."""
    values = values if isinstance(values, tuple) else (values,)
    if len(values) not in (1, count):
        raise ModelError(f"{name} {','.join(map(str, values))} has {len(values)} values but the network has {count} "
                         f"{what}; give one value, or {count}")
    return values * count if len(values) == 1 else values
