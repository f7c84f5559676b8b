"""The integer graph: what quant exports, the reference executes and the compiler lowers.

No floats are needed to run it. Every class is frozen and checks itself, so a graph that exists is
well-formed. Tensors are NHWC. Arrays are int64 and read-only. `notes` holds plain JSON values (SNR, range
coverage ...) and never changes what is executed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

import numpy as np

from accel import checks, limits
from accel.errors import BitloomError, ModelError, RangeError
from accel.fixedpoint import INT32_MAX, INT32_MIN, qrange
from accel.names import ENCODINGS, WEIGHT_BITS
from accel.tensor import RAW_BITS, Requantize, TensorType, Threshold, set_fields

if TYPE_CHECKING:
    from collections.abc import Iterable

    from accel.types import Ints, Notes, Reals

INPUT_NAME = "input"


def _check_layer(layer: _Checked) -> None:
    """The checks that all layers share: names, types, notes."""
    checks.name(layer.name, "layer name")
    checks.name(layer.input_name, f"{layer.name}: input name")
    if layer.name == INPUT_NAME:
        raise ModelError(f"layer name {INPUT_NAME!r} is taken by the graph's input; rename the layer")
    for side in ("input", "output"):
        if not isinstance(getattr(layer, side), TensorType):
            raise ModelError(f"{layer.name}: {side} must be a TensorType")
    if layer.input.bits == RAW_BITS:
        raise ModelError(f"{layer.name}: raw int32 input is not allowed; requantize the layer before")
    if not isinstance(layer.notes, dict):
        raise ModelError(f"{layer.name}: notes must be a dict")
    limits.check_values(layer.notes, f"{layer.name}: notes")


def _check_shape(layer: _Checked, expected: tuple[int, int, int]) -> None:
    if layer.output.shape != expected:
        raise ModelError(
            f"{layer.name}: output shape must be {expected} for input {layer.input.shape}, not {layer.output.shape}"
        )


def _check_weighted(layer: WeightedLayer, shape: tuple[int, ...]) -> None:
    """Weights, scales, bias and requantization of a layer with weights."""
    if type(layer.weight_bits) is not int or layer.weight_bits not in WEIGHT_BITS:
        raise ModelError(
            f"weight bits must be one of {', '.join(map(str, WEIGHT_BITS))}, not {checks.shorten(layer.weight_bits)}"
        )
    channels = shape[0]
    weights = checks.integer_array(layer.weights, "weights", shape, *qrange(layer.weight_bits))
    if layer.weight_bits == 1 and np.any(weights == 0):
        raise RangeError("1-bit weights must be -1 or +1, not 0")
    set_fields(
        layer,
        weights=weights,
        weight_scale=checks.real_array(layer.weight_scale, "weight_scale", (channels,)),
        bias=checks.integer_array(layer.bias, "bias", (channels,), INT32_MIN, INT32_MAX),
    )
    rule = layer.requantize
    if rule is None:
        if layer.output.bits != RAW_BITS:
            raise ModelError(f"output of {layer.output.bits} bits needs a requantization; only raw int32 goes without")
        return
    if not isinstance(rule, (Requantize, Threshold)):
        raise ModelError("requantize must be a Requantize, a Threshold or None")
    if layer.output.bits == RAW_BITS:
        raise ModelError("raw int32 output must not have a requantization")
    if isinstance(rule, Threshold) != (layer.output.bits == 1):
        raise ModelError(
            "1-bit output needs a Threshold"
            if layer.output.bits == 1
            else f"a Threshold puts out 1 bit, not {layer.output.bits}"
        )
    if isinstance(rule, Threshold):
        if rule.threshold.shape != (channels,):
            raise ModelError(f"threshold must have shape {(channels,)}, not {rule.threshold.shape}")
        return
    if rule.multiplier.shape != (channels,):
        raise ModelError(f"multiplier must have shape {(channels,)}, not {rule.multiplier.shape}")
    low, high = layer.output.qrange
    if rule.qmin < low or rule.qmax > high:
        raise RangeError(
            f"qmin..qmax {rule.qmin}..{rule.qmax} must lie in {low}..{high} for {layer.output.bits}-bit output"
        )


class _Checked:
    """Runs the checks of a layer and puts its name in front of every message."""

    name: str
    input_name: str
    input: TensorType
    output: TensorType
    notes: Notes

    def _check(self) -> None:
        raise NotImplementedError

    @property
    def work(self) -> limits.Work:
        raise NotImplementedError

    def __post_init__(self) -> None:
        _check_layer(self)
        try:
            self._check()
            limits.check_work(self.work, self.name)
        except BitloomError as error:
            text = str(error)
            raise type(error)(text if text.startswith(f"{self.name}: ") else f"{self.name}: {text}") from None


def _window_count(side: str, size: int, kernel: int, stride: int, before: int, after: int) -> int:
    """Windows along one side; raises where the kernel is larger than the padded input."""
    padded = size + before + after
    if kernel > padded:
        raise ModelError(f"kernel {side} {kernel} must not exceed the padded input's {padded}")
    return (padded - kernel) // stride + 1


def _padding(layer: Conv2D | MaxPool) -> int:
    """Elements of the padding around a layer's input."""
    top, bottom, left, right = layer.pads
    height, width, channels = layer.input.shape
    return ((height + top + bottom) * (width + left + right) - height * width) * channels


@dataclass(frozen=True, eq=False)
class Conv2D(_Checked):
    """acc = sum over (kh, kw, ic) of (x - zero point) * w, + bias; pads insert the input's zero point, -1 for 1 bit.

    weights: [OC, KH, KW, IC]; stride (sh, sw); pads (top, bottom, left, right). requantize: a Requantize, a
    Threshold for 1-bit output, None for raw int32.
    """

    name: str
    input_name: str
    input: TensorType
    output: TensorType
    weights: Ints
    weight_bits: int
    weight_scale: Reals
    bias: Ints
    stride: tuple[int, int]
    pads: tuple[int, int, int, int]
    requantize: Requantize | Threshold | None
    notes: Notes = field(default_factory=dict)
    op: ClassVar[Literal["conv2d"]] = "conv2d"

    def _check(self) -> None:
        shape = np.shape(self.weights)
        if len(shape) != 4 or 0 in shape:
            raise ModelError(f"weights must have the shape [OC, KH, KW, IC], not {shape}")
        if shape[3] != self.input.channels:
            raise ModelError(f"weights have {shape[3]} input channels but the input tensor has {self.input.channels}")
        if max(shape) > limits.MAX_SIDE or math.prod(shape) > limits.MAX_WEIGHTS:
            raise ModelError(
                f"weights of shape {shape} are too large; at most {limits.MAX_WEIGHTS} elements are allowed"
            )
        set_fields(
            self,
            stride=checks.integers(self.stride, "stride", 2, 1, limits.MAX_SIDE),
            pads=checks.integers(self.pads, "pads", 4, 0, limits.MAX_SIDE),
        )
        top, bottom, left, right = self.pads
        height = _window_count("height", self.input.height, shape[1], self.stride[0], top, bottom)
        width = _window_count("width", self.input.width, shape[2], self.stride[1], left, right)
        _check_shape(self, (height, width, shape[0]))
        _check_weighted(self, shape)

    @property
    def kernel(self) -> tuple[int, int]:
        return self.weights.shape[1:3]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image, those on padding included."""
        return self.output.height * self.output.width * self.weights.size

    @property
    def work(self) -> limits.Work:
        """limits.Work of one image."""
        return limits.Work(
            self.weights.size, self.output.elements + _padding(self), self.macs // self.output.channels, self.macs
        )


@dataclass(frozen=True, eq=False)
class Dense(_Checked):
    """acc = sum of (x - zero point) * w over the whole input in NHWC order, + bias. weights: [OC, H*W*C]."""

    name: str
    input_name: str
    input: TensorType
    output: TensorType
    weights: Ints
    weight_bits: int
    weight_scale: Reals
    bias: Ints
    requantize: Requantize | Threshold | None
    notes: Notes = field(default_factory=dict)
    op: ClassVar[Literal["dense"]] = "dense"

    def _check(self) -> None:
        shape = np.shape(self.weights)
        if len(shape) != 2 or 0 in shape:
            raise ModelError(f"weights must have the shape [OC, IC], not {shape}")
        if shape[1] != self.input.elements:
            raise ModelError(
                f"weights have {shape[1]} inputs but the input tensor {self.input.shape} has "
                f"{self.input.elements} elements"
            )
        if math.prod(shape) > limits.MAX_WEIGHTS:
            raise ModelError(
                f"weights of shape {shape} are too large; at most {limits.MAX_WEIGHTS} elements are allowed"
            )
        _check_shape(self, (1, 1, shape[0]))
        _check_weighted(self, shape)

    @property
    def macs(self) -> int:
        return self.weights.size

    @property
    def work(self) -> limits.Work:
        """limits.Work of one image."""
        return limits.Work(self.weights.size, self.output.elements, self.input.elements, self.macs)


@dataclass(frozen=True, eq=False)
class MaxPool(_Checked):
    """Maximum of the stored integers under a window; pads are the type's smallest value.

    A model that rounds its output size up is written with larger bottom and right pads.
    """

    name: str
    input_name: str
    input: TensorType
    output: TensorType
    kernel: tuple[int, int]
    stride: tuple[int, int]
    pads: tuple[int, int, int, int]
    notes: Notes = field(default_factory=dict)
    op: ClassVar[Literal["maxpool"]] = "maxpool"
    macs: ClassVar[int] = 0

    def _check(self) -> None:
        set_fields(
            self,
            kernel=checks.integers(self.kernel, "kernel", 2, 1, limits.MAX_SIDE),
            stride=checks.integers(self.stride, "stride", 2, 1, limits.MAX_SIDE),
            pads=checks.integers(self.pads, "pads", 4, 0, limits.MAX_SIDE),
        )
        top, bottom, left, right = self.pads
        sides = ("height", self.kernel[0], (top, bottom)), ("width", self.kernel[1], (left, right))
        for side, size, pads in sides:
            if max(pads) >= size:
                raise ModelError(
                    f"pads {self.pads} must be smaller than the kernel {side} {size}, so that "
                    "every "
                    "window holds an element"
                )
        height = _window_count("height", self.input.height, self.kernel[0], self.stride[0], top, bottom)
        width = _window_count("width", self.input.width, self.kernel[1], self.stride[1], left, right)
        _check_shape(self, (height, width, self.input.channels))
        for item in ("bits", "scale", "zero_point"):
            if getattr(self.input, item) != getattr(self.output, item):
                raise ModelError(
                    f"output {item} must equal the input's {getattr(self.input, item)}, "
                    f"not {getattr(self.output, item)}; a max pool does not rescale"
                )

    @property
    def work(self) -> limits.Work:
        """limits.Work of one image."""
        windows = self.output.elements * self.kernel[0] * self.kernel[1]
        return limits.Work(0, self.output.elements + _padding(self), windows, 0)


WeightedLayer: TypeAlias = Conv2D | Dense
Layer: TypeAlias = Conv2D | Dense | MaxPool
LAYER_CLASSES: dict[str, type[Layer]] = {cls.op: cls for cls in (Conv2D, Dense, MaxPool)}


@dataclass(frozen=True)
class InputEncoding:
    """What the first tensor is.

    uint8: a raw image u; q = u - 128. mean and std (per channel, of u / 255) are already folded into the
    input's scale and zero point and into the first layer; they are kept for information.
    float: q = quantize(x) of the normalized float32 image x = (u / 255 - mean) / std.
    """

    kind: str = "uint8"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if self.kind not in ENCODINGS:
            raise ModelError(f"input encoding must be one of {', '.join(ENCODINGS)}, not {checks.shorten(self.kind)}")
        for key in ("mean", "std"):
            values = getattr(self, key)
            if not isinstance(values, (tuple, list)) or not 1 <= len(values) <= limits.MAX_SIDE:
                raise ModelError(f"input {key} must be one number per channel, not {checks.shorten(values)}")
            set_fields(self, **{key: tuple(checks.real(value, f"input {key}") for value in values)})
        if min(self.std) <= 0:
            raise RangeError(f"input std {min(self.std)!r} must be positive")


@dataclass(frozen=True, eq=False)
class Graph:
    """A chain of layers. The input tensor's name is 'input'; each layer names the tensor that it reads."""

    name: str
    input: TensorType
    encoding: InputEncoding
    layers: tuple[Layer, ...]
    class_names: tuple[str, ...] = ()
    notes: Notes = field(default_factory=dict)

    def __post_init__(self) -> None:
        checks.name(self.name, "graph name")
        if not isinstance(self.input, TensorType) or not isinstance(self.encoding, InputEncoding):
            raise ModelError(f"{self.name}: input must be a TensorType and encoding an InputEncoding")
        set_fields(self, layers=tuple(self.layers), class_names=tuple(self.class_names))
        if not 1 <= len(self.layers) <= limits.MAX_LAYERS:
            raise ModelError(f"{self.name}: a graph needs 1..{limits.MAX_LAYERS} layers, not {len(self.layers)}")
        if not all(isinstance(item, str) and len(item) <= 200 for item in self.class_names):
            raise ModelError(f"{self.name}: class names must be texts of at most 200 characters")
        for item in self.class_names:
            limits.check_text(item, f"{self.name}: class names")
        if not isinstance(self.notes, dict):
            raise ModelError(f"{self.name}: notes must be a dict")
        limits.check_values(self.notes, f"{self.name}: notes")
        if self.class_names and len(self.class_names) != self.output.elements:
            raise ModelError(
                f"{self.name}: {len(self.class_names)} class names do not fit {self.output.elements} outputs"
            )
        for key in ("mean", "std"):
            count = len(getattr(self.encoding, key))
            if count not in (1, self.input.channels):
                raise ModelError(f"{self.name}: input {key} has {count} values for {self.input.channels} channels")
        if self.input.bits == RAW_BITS or (self.encoding.kind == "uint8" and self.input.bits != 8):
            raise ModelError(f"{self.name}: a {self.encoding.kind} input cannot have {self.input.bits} bits")
        self._check_chain()
        limits.check_work(self.work, self.name)

    def _check_chain(self) -> None:
        name, tensor, seen = INPUT_NAME, self.input, {INPUT_NAME}
        for layer in self.layers:
            if not isinstance(layer, tuple(LAYER_CLASSES.values())):
                raise ModelError(f"{self.name}: {checks.shorten(layer)} is not a layer")
            if layer.name in seen:
                raise ModelError(f"{layer.name}: the name is used twice; rename one layer")
            if layer.input_name != name:
                raise ModelError(
                    f"{layer.name}: reads {layer.input_name!r} but the layer before is "
                    f"{name!r}; "
                    "only chains are supported"
                )
            if layer.input != tensor:
                raise ModelError(f"{layer.name}: input {layer.input} differs from the output of {name!r}, {tensor}")
            seen.add(layer.name)
            name, tensor = layer.name, layer.output

    @property
    def output(self) -> TensorType:
        """TensorType of the last layer's output."""
        return self.layers[-1].output

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        return sum(layer.macs for layer in self.layers)

    @property
    def work(self) -> limits.Work:
        """limits.Work of one image, the input with it."""
        total = limits.Work(0, self.input.elements, 0, 0)
        for layer in self.layers:
            total = total.plus(layer.work)
        return total

    def with_layers(self, layers: Iterable[Layer]) -> Graph:
        """The same graph with other layers."""
        return replace(self, layers=tuple(layers))
