"""What a tensor and its elements are, and how accumulators become stored integers: the leaves of the integer graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from accel import checks, limits
from accel.errors import ModelError, RangeError
from accel.fixedpoint import INT32_MAX, INT32_MIN, check_multiplier, inverse_scale, pack, packed_bytes, qrange, unpack
from accel.names import ACTIVATION_BITS

if TYPE_CHECKING:
    from accel.types import Array, Flags, Ints

RAW_BITS = 32
TENSOR_BITS = (*ACTIVATION_BITS, RAW_BITS)


def set_fields(instance: object, **values: object) -> None:
    """Set fields of a frozen dataclass, while it is made."""
    for key, value in values.items():
        object.__setattr__(instance, key, value)


@dataclass(frozen=True)
class TensorType:
    """Shape, storage and meaning of one tensor: real = scale * (q - zero_point).

    bits 32 is a tensor of raw accumulators; 1 holds -1 and +1; the zero_point of both is 0. A dense vector has
    height = width = 1.
    """

    height: int
    width: int
    channels: int
    bits: int
    scale: float
    zero_point: int

    def __post_init__(self) -> None:
        for side in ("height", "width", "channels"):
            set_fields(self, **{side: checks.integer(getattr(self, side), side, 1, limits.MAX_SIDE)})
        if self.elements > limits.MAX_ACTIVATIONS:
            raise ModelError(
                f"shape {self.shape} has {self.elements} elements, at most {limits.MAX_ACTIVATIONS} are allowed"
            )
        if type(self.bits) is not int or self.bits not in TENSOR_BITS:
            raise ModelError(
                f"activation bits must be one of {', '.join(map(str, TENSOR_BITS))}, not {checks.shorten(self.bits)}"
            )
        scale = checks.real(self.scale, "scale")
        if self.bits == RAW_BITS:
            if scale <= 0:
                raise RangeError(f"scale {scale!r} must be positive")
            low, high = 0, 0
        else:
            inverse_scale(scale)
            low, high = (0, 0) if self.bits == 1 else qrange(self.bits)
        set_fields(self, scale=scale, zero_point=checks.integer(self.zero_point, "zero_point", low, high))

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.height, self.width, self.channels

    @property
    def elements(self) -> int:
        return self.height * self.width * self.channels

    @property
    def pixel_bytes(self) -> int:
        """Bytes of one pixel's channels, packed; sub-byte channels fill up the last byte with 0 bits."""
        return packed_bytes(self.channels, self.bits)

    @property
    def stored_channels(self) -> int:
        """Channels of a pixel with those that fill up its last byte."""
        return self.pixel_bytes * 8 // self.bits

    @property
    def stream_bytes(self) -> int:
        """Bytes of the tensor as a stream: channels packed, whole bytes per pixel."""
        return self.height * self.width * self.pixel_bytes

    @property
    def qrange(self) -> tuple[int, int]:
        """(qmin, qmax) of a stored element."""
        return qrange(self.bits)

    @property
    def padding(self) -> int:
        """The element that convolutions insert as padding: the zero point, -1 in a 1-bit tensor."""
        return -1 if self.bits == 1 else self.zero_point

    def holds(self, q: Array) -> bool:
        """Whether every element of an integer array is a value of this type."""
        low, high = self.qrange
        return not q.size or (int(q.min()) >= low and int(q.max()) <= high and not (self.bits == 1 and np.any(q == 0)))

    def to_bytes(self, q: Array) -> bytes:
        """Elements [..., H, W, C] -> the bytes of the stream, for one tensor or many."""
        if self.bits == RAW_BITS:
            return np.ascontiguousarray(q).astype("<i4").tobytes()
        return pack(q, self.bits).tobytes()

    def from_bytes(self, data: bytes) -> Ints:
        """The bytes of one stream -> elements int64 [H, W, C]; pad bits are ignored."""
        if self.bits == RAW_BITS:
            return np.frombuffer(data, dtype="<i4").astype(np.int64).reshape(self.shape)
        packed = np.frombuffer(data, dtype=np.uint8).reshape(self.height, self.width, self.pixel_bytes)
        return unpack(packed, self.bits, self.channels)


@dataclass(frozen=True, eq=False)
class Requantize:
    """How int32 accumulators become stored integers; one multiplier and shift per output channel.

    qmin and qmax carry ReLU, ReLU6 and clamp. The zero point is the output tensor's. See
    `fixedpoint.requantize`.
    """

    rule: str
    multiplier: Ints
    shift: Ints
    qmin: int
    qmax: int

    def __post_init__(self) -> None:
        shape = np.shape(self.multiplier)
        if len(shape) != 1:
            raise ModelError(f"multiplier must hold one value per output channel, not shape {shape}")
        multiplier = checks.integer_array(self.multiplier, "multiplier", shape, 0, 2**31 - 1)
        shift = checks.integer_array(self.shift, "shift", shape, -31, 62)
        check_multiplier(multiplier, shift, self.rule)
        qmin = checks.integer(self.qmin, "qmin", -128, 127)
        qmax = checks.integer(self.qmax, "qmax", qmin, 127)
        set_fields(self, multiplier=multiplier, shift=shift, qmin=qmin, qmax=qmax)


@dataclass(frozen=True, eq=False)
class Threshold:
    """How int32 accumulators become 1-bit outputs: y = +1 where (acc >= threshold) xor invert, else -1.

    One threshold and one flag per output channel. A threshold lies in int32, or one above it: never reached.
    """

    threshold: Ints
    invert: Flags

    def __post_init__(self) -> None:
        shape = np.shape(self.threshold)
        if len(shape) != 1:
            raise ModelError(f"threshold must hold one value per output channel, not shape {shape}")
        set_fields(
            self,
            threshold=checks.integer_array(self.threshold, "threshold", shape, INT32_MIN, INT32_MAX + 1),
            invert=checks.flag_array(self.invert, "invert", shape),
        )
