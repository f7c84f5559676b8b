"""A trained chain of fixed-point layers as an integer graph: every word of the model is a word of the graph.

A width that the accelerator lacks is stored in the next one, qmin and qmax keep the range. Between power-of-two steps
the multiplier of the requantization is a power of two, times an element-wise layer's multiplier where there is one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from accel import ir
from accel.errors import ModelError, RangeError, UnsupportedError
from accel.names import ACTIVATION_BITS, REQUANTIZERS, WEIGHT_BITS
from accel.reference import accumulator_bounds, check_accumulators
from accel.tensor import RAW_BITS, Requantize, TensorType, Threshold
from quant.arithmetic.multipliers import check_requantizer, hot_bits, real_value
from quant.arithmetic.scales import choose_multiplier
from quant.qfx.chain import CASTS, read_chain
from quant.qfx.format import OVERFLOWS, ROUNDINGS
from quant.qfx.layers import FixedConv2d
from quant.qfx.quantizer import SignQuantizer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from accel.types import Ints, Notes
    from quant.qfx.chain import Group
    from quant.qfx.quantizer import FixedQuantizer

RULE = "half_up"
ROUNDING, SATURATIONS = "AP_RND", ("AP_SAT", "AP_SAT_SYM")  # what the accelerator has: half up, qmin and qmax
PIXEL_BITS = 8


@torch.no_grad()
def export(
    module: torch.nn.Module,
    name: str,
    input_shape: Sequence[int],
    *,
    requantizer: str = "full",
    class_names: Sequence[str] = (),
    notes: Notes | None = None,
) -> ir.Graph:
    """The ir.Graph of a module of fixed-point layers (see `chain.SUPPORTED`).

    input_shape: (H, W, C) of the image. requantizer: the build's multipliers; one that does not hold a layer's is
    refused. Raises UnsupportedError for a rounding or overflow mode, a width or a layer that the accelerator lacks,
    each by name; RangeError for a number that the graph does not hold; ModelError for a network that no batch has
    passed. The module is not changed.
    """
    check_requantizer(requantizer)
    first, groups = read_chain(module, name)
    if len(input_shape) != 3:
        raise ModelError(f"{name}: input shape {tuple(input_shape)} must be (H, W, C)")
    for place, part in module.named_modules():
        if isinstance(part, CASTS) and (part.is_new() or not bool(torch.isfinite(part.point).all())):
            raise ModelError(
                f"{name}: the binary point of {place} is not set; run one batch of images through the network first"
            )
    height, width, channels = input_shape
    tensor = graph_input = TensorType(height, width, channels, PIXEL_BITS, float(first.step()), first.zero_level - 128)
    layers: list[ir.Layer] = []
    previous = ir.INPUT_NAME
    for group in groups:
        built = _Exporter(group, tensor, requantizer).layer(previous)
        check_accumulators(built)
        layers.append(built)
        previous, tensor = group.name, built.output
        for pool in group.pools:
            if tensor.bits == RAW_BITS:
                raise UnsupportedError(
                    f"{pool.name}: pools the network's raw sums; end the network with a FixedQuantizer"
                )
            output = TensorType(*pool.output_shape(tensor.shape), tensor.bits, tensor.scale, tensor.zero_point)
            layers.append(ir.MaxPool(pool.name, previous, tensor, output, pool.kernel, pool.stride, pool.pads))
            previous, tensor = pool.name, output
    mean = (first.zero_level / 255,)
    if len(class_names) != tensor.elements:
        class_names = ()
    return ir.Graph(
        name,
        graph_input,
        ir.InputEncoding("uint8", mean, (1.0,)),
        tuple(layers),
        tuple(class_names),
        {"method": "learned fixed point", **(notes or {})},
    )


def storage(width: int, allowed: Iterable[int], what: str) -> int:
    """The narrowest width of the accelerator that holds words of `width` bits. Raises UnsupportedError."""
    wide = [bits for bits in allowed if bits >= width]
    if wide:
        return min(wide)
    raise UnsupportedError(
        f"{what}: words of {width} bits are not supported; the accelerator has {', '.join(map(str, allowed))}"
    )


def check_modes(cast: FixedQuantizer | SignQuantizer, what: str) -> None:
    """Raise UnsupportedError for the rounding or overflow mode of a cast that the accelerator lacks."""
    if cast.rounding != ROUNDING:
        raise UnsupportedError(
            f"{what}: rounds by {cast.rounding} ({ROUNDINGS[cast.rounding]}), which the accelerator "
            f"does not have; train with {ROUNDING}"
        )
    if cast.overflow not in SATURATIONS:
        raise UnsupportedError(
            f"{what}: overflows by {cast.overflow} ({OVERFLOWS[cast.overflow]}), which the "
            f"accelerator does not have; train with {SATURATIONS[0]}"
        )
    if cast.hot is not None:
        raise UnsupportedError(
            f"{what}: casts an activation to K-hot words, which the accelerator does not have; "
            "leave `hot` to weights and multipliers"
        )


class _Exporter:
    """One group on an input tensor."""

    def __init__(self, group: Group, tensor: TensorType, requantizer: str) -> None:
        self.group, self.tensor, self.requantizer = group, tensor, requantizer
        self.name, self.own = group.name, group.layer
        self.channels = len(self.own.weight)
        self.weight_bits = storage(self.own.weights.width, WEIGHT_BITS, f"{self.name}: weights")
        self.step = self._per_channel(self.own.weights.step())
        self.weights = self.own.weights.integers(self.own.weight)
        self.bias = self._bias()
        self.multiplier = self._affine()

    def _per_channel(self, values: torch.Tensor) -> torch.Tensor:
        return values.detach().double().reshape(-1).expand(self.channels).clone()

    def _on_grid(self, values: torch.Tensor) -> torch.Tensor:
        """Whole numbers of sums' steps; exactly how the forward pass rounds them."""
        step = self.own.sum_step().to(values.dtype)
        return torch.round(values.detach() / step).double().long()

    def _bias(self) -> torch.Tensor:
        if self.own.bias is None:
            return torch.zeros(self.channels, dtype=torch.int64)
        return self._on_grid(self.own.bias)

    def _affine(self) -> torch.Tensor:
        """Fold the element-wise layer: its offsets into the bias, its signs into the weights; float64 multipliers."""
        if self.group.affine is None:
            return torch.ones(self.channels, dtype=torch.float64)
        scale, offset = self.group.affine.coefficients()
        self.bias = self.bias + self._on_grid(offset)
        negative = (scale < 0) & (not isinstance(self.group.output, SignQuantizer))
        sign = torch.where(negative, -1, 1)
        self.bias = self.bias * sign
        self.weights = self.weights * sign.reshape(-1, *(1,) * (self.weights.dim() - 1))
        low, high = (
            (-1, 1) if self.weight_bits == 1 else (-(1 << (self.weight_bits - 1)), (1 << (self.weight_bits - 1)) - 1)
        )
        if self.weights.min() < low or self.weights.max() > high:
            raise RangeError(
                f"{self.name}: a negative element-wise multiplier turns the weight {low} into {-low}, "
                f"which {self.weight_bits} bits do not hold; use weights of fewer bits"
            )
        return scale.double() * sign

    def layer(self, previous: str) -> ir.WeightedLayer:
        """The ir.Conv2D or ir.Dense."""
        conv = self.own if isinstance(self.own, FixedConv2d) else None
        weights = self._in_order(conv is not None).numpy()
        shape = self._shape(conv)
        make: type[ir.WeightedLayer] = ir.Dense if conv is None else ir.Conv2D
        places = {} if conv is None else {"stride": tuple(conv.stride), "pads": conv.pads}
        notes: Notes = {"weight_type": sorted({str(form) for form in self.own.weights.formats})}
        if self.group.output is not None:
            notes["output_type"] = str(self.group.output.formats[0])
        if self.group.affine is not None:
            notes["multiplier_type"] = str(self.group.affine.scales.format)
        common: dict[str, Any] = {
            "name": self.name,
            "input_name": previous,
            "input": self.tensor,
            "weights": weights,
            "weight_bits": self.weight_bits,
            "weight_scale": self.step.numpy(),
            "bias": self.bias.numpy(),
            "notes": notes,
            **places,
        }
        output, requantize = self._output(shape, make, common)
        return make(output=output, requantize=requantize, **common)

    def _in_order(self, is_conv: bool) -> torch.Tensor:
        if is_conv:
            return self.weights.permute(0, 2, 3, 1).contiguous()
        height, width, channels = self.tensor.shape
        if self.weights.shape[1] != height * width * channels:
            raise UnsupportedError(
                f"{self.name}: reads {self.weights.shape[1]} values of a tensor with "
                f"{height * width * channels}; flatten the whole tensor in front of it"
            )
        if not self.group.flattens and height * width > 1:
            raise UnsupportedError(
                f"{self.name}: reads a feature map {self.tensor.shape}; put nn.Flatten in front of it"
            )
        planes = self.weights.reshape(self.channels, channels, height, width)
        return planes.permute(0, 2, 3, 1).reshape(self.channels, -1).contiguous()

    def _shape(self, conv: FixedConv2d | None) -> tuple[int, int, int]:
        if conv is None:
            return 1, 1, self.channels
        height, width, _ = self.tensor.shape
        top, bottom, left, right = conv.pads
        rows, columns = conv.weight.shape[2:]
        return (
            (height + top + bottom - rows) // conv.stride[0] + 1,
            (width + left + right - columns) // conv.stride[1] + 1,
            self.channels,
        )

    def _output(
        self, shape: tuple[int, int, int], make: type[ir.WeightedLayer], common: Mapping[str, Any]
    ) -> tuple[TensorType, Requantize | Threshold | None]:
        cast = self.group.output
        if cast is None:
            return self._raw(shape), None
        check_modes(cast, f"{self.name}: output")
        if isinstance(cast, SignQuantizer):
            return TensorType(*shape, 1, 1.0, 0), self._threshold(shape, make, common)
        form = cast.format
        bits = storage(form.width, ACTIVATION_BITS, f"{self.name}: output")
        low, high = form.limits
        zero_point = -(1 << (bits - 1)) if high >= 1 << (bits - 1) else 0
        output = TensorType(*shape, bits, form.step, zero_point)
        clamped = [
            low if bound == -math.inf else high if bound == math.inf else form.to_integer(bound)
            for bound in self.group.clamp
        ]
        multiplier, shift = self._multipliers(output.scale)
        return output, Requantize(RULE, multiplier, shift, *(bound + zero_point for bound in clamped))

    def _raw(self, shape: tuple[int, int, int]) -> TensorType:
        steps = self.step * self.tensor.scale * self.multiplier
        if self.group.clamp != (-math.inf, math.inf):
            raise UnsupportedError(
                f"{self.name}: the network's last sums are clamped; end it with a FixedQuantizer or without the clamp"
            )
        if self.group.affine is not None or len(set(steps.tolist())) > 1:
            raise UnsupportedError(
                f"{self.name}: the raw sums of the last layer need one step for all channels; give "
                "it no element-wise layer and per_channel=False, or end with a FixedQuantizer"
            )
        return TensorType(*shape, RAW_BITS, float(steps[0]), 0)

    def _threshold(
        self, shape: tuple[int, int, int], make: type[ir.WeightedLayer], common: Mapping[str, Any]
    ) -> Threshold:
        """sign(w * acc) = (acc >= 0) for w > 0, not (acc >= 1) for w < 0."""
        if self.group.clamp[0] >= 0 or self.group.clamp[1] <= 0:
            raise UnsupportedError(f"{self.name}: a clamp at 0 in front of a 1-bit cast makes it a constant; remove it")
        raw = make(output=TensorType(*shape, RAW_BITS, 1.0, 0), requantize=None, **common)
        low, high = accumulator_bounds(raw)
        inverted = (self.multiplier < 0).numpy()
        positive = (self.multiplier == 0).numpy()
        wanted = np.where(positive, low, inverted.astype(np.int64))
        return Threshold(np.clip(wanted, low, high + 1), inverted)

    def _multipliers(self, output_scale: float) -> tuple[Ints, Ints]:
        pairs = []
        for channel, real in enumerate((self.step * self.tensor.scale * self.multiplier / output_scale).tolist()):
            try:
                multiplier, shift = choose_multiplier(real, RULE)
            except RangeError as error:
                raise RangeError(f"{self.name}: channel {channel}: {error}") from None
            terms = REQUANTIZERS[self.requantizer]
            if real_value(multiplier, shift, RULE) != real:
                raise RangeError(
                    f"{self.name}: channel {channel} needs the multiplier {real}, which is too small for "
                    "the accelerator; bring the binary points of input and output closer"
                )
            if terms and hot_bits(multiplier) > terms:
                raise UnsupportedError(
                    f"{self.name}: channel {channel} has a multiplier of {hot_bits(multiplier)} "
                    f"powers of two but requantizer {self.requantizer} holds {terms}; train the "
                    f"element-wise layer with hot={terms}, or build another requantizer"
                )
            pairs.append((multiplier, shift))
        multipliers, shifts = torch.tensor(pairs, dtype=torch.int64).T.numpy()
        return multipliers, shifts
