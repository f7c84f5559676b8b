"""A compiled network: descriptors, memory contents, and how an image goes in and comes out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from accel.compile import floats
from accel.compile.cost import image_cycles
from accel.compile.precision import Precision
from accel.compile.storage import WeightMemory, weight_writes
from accel.config import HardwareConfig
from accel.descriptor import (
    DESCRIPTOR_STRIDE,
    REGION_DESCRIPTORS,
    REGION_PARAMETERS,
    REGION_SHIFT,
    host_address,
    pack_descriptor,
    unpack_descriptor,
)
from accel.errors import FitError, ModelError, RangeError
from accel.tensor import TensorType

if TYPE_CHECKING:
    from typing import Literal

    from numpy.typing import ArrayLike, NDArray

    from accel.compile.walks import WalkKind
    from accel.types import Array, Bytes, Floats, Ints


@dataclass(frozen=True)
class LayerPlan:
    """What one run of the accelerator does, for reports and comparisons.

    name: the layer with the weights; output_name: the graph layer whose output comes out (a fused pool's
    name).
    walk: rows, strip, flat or dense (accel/compile/walks.py). predicted_cycles: from start to start of the
    next layer. precision: the widths, and a note where the layer runs wider than its own. weight_memory: bytes of the
    weights.
    """

    name: str
    output_name: str
    op: Literal["conv2d", "dense"]
    walk: WalkKind
    predicted_cycles: int
    mac_count: int
    weight_base: int
    weight_words: int
    param_base: int
    param_groups: int
    in_base: int
    in_words: int
    out_base: int
    out_words: int
    line_words: int
    pool_entries: int
    input: TensorType
    output: TensorType
    precision: Precision
    weight_memory: WeightMemory

    @property
    def macs_per_lane(self) -> int:
        """Multiply-accumulates of one row and lane in a cycle of this layer."""
        return self.precision.channels_per_byte


@dataclass(frozen=True, eq=False)
class Program:
    """Everything that a host loads, and the encoding of inputs and outputs.

    descriptors: uint32 [layers, DESCRIPTOR_STRIDE], unused words 0. weights: uint8 [words, rows, lanes].
    bias: int32, multiplier: uint32, shifts: uint32, one per entry of the parameter table; multiplier as the word that
    is written, which holds bit positions on a build without multipliers and the inversion of a 1-bit output.
    """

    config: HardwareConfig
    graph_name: str
    layers: tuple[LayerPlan, ...]
    descriptors: NDArray[np.uint32] = field(repr=False)
    weights: Bytes = field(repr=False)
    bias: NDArray[np.int32] = field(repr=False)
    multiplier: NDArray[np.uint32] = field(repr=False)
    shifts: NDArray[np.uint32] = field(repr=False)

    @property
    def input(self) -> TensorType:
        """TensorType of the input image."""
        return self.layers[0].input

    @property
    def output(self) -> TensorType:
        """TensorType of the output."""
        return self.layers[-1].output

    @property
    def predicted_cycles(self) -> int:
        """One image on a waiting accelerator: from its first input beat taken to its last output beat given."""
        first, last = unpack_descriptor(self.descriptors[0]), unpack_descriptor(self.descriptors[-1])
        return image_cycles(self.steady_cycles, first, last, self.output.stream_bytes, self.config)

    @property
    def steady_cycles(self) -> int:
        """Cycles from one image's last output beat to the next one's, back to back."""
        return sum(layer.predicted_cycles for layer in self.layers)

    @property
    def mac_count(self) -> int:
        """Multiply-accumulates of one image."""
        return sum(layer.mac_count for layer in self.layers)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the report should know: the layers that run wider than their own widths, and why."""
        return tuple(f"{layer.name}: {layer.precision.note}" for layer in self.layers if layer.precision.note)

    @property
    def input_beats(self) -> int:
        """Stream beats of one input image."""
        if self.config.float_input:
            return floats.float_beats(self.input, self.config)
        return self.layers[0].in_words

    @property
    def output_beats(self) -> int:
        """Stream beats of one output."""
        if self.config.float_output:
            return floats.float_beats(self.output, self.config)
        return self.layers[-1].out_words

    @property
    def cycle_limit(self) -> int:
        """Cycles after which the watchdog ends a layer.

        Feeder, array and requantizer each work for no more than the predicted cycles, in which they overlap; pauses of
        the streams can make them work one after the other. The host writes it to REG_CYCLE_LIMIT.
        """
        return min(4 * max(layer.predicted_cycles for layer in self.layers) + 1024, 2**32 - 1)

    def host_writes(self) -> list[tuple[int, int]]:
        """[(address, data)] that load the program through the host port: descriptors, parameters, weights, formats.

        Layers of 6-bit weights go packed, three words for four, where the build unpacks them.
        """
        writes = []
        for layer, words in enumerate(self.descriptors.tolist()):
            base = host_address(REGION_DESCRIPTORS, layer * DESCRIPTOR_STRIDE)
            writes += [(base + word, data) for word, data in enumerate(words)]
        for kind, column in enumerate((self.bias, self.multiplier, self.shifts)):
            base = host_address(REGION_PARAMETERS, kind)
            entries = column.astype(np.uint32).tolist()
            writes += [(base + 4 * index, data) for index, data in enumerate(entries)]
        words = np.ascontiguousarray(self.weights).view("<u4").reshape(-1)
        if words.size > 1 << REGION_SHIFT:
            raise FitError(
                f"{self.graph_name}: {words.size} weight words of 32 bits exceed the host port's "
                f"{1 << REGION_SHIFT}; preset the weights from memory images"
            )
        return writes + weight_writes(self.weights, self.layers) + floats.register_writes(self)

    def encode_input(self, q: ArrayLike) -> bytes:
        """One image of integers [H, W, C] -> bytes of whole beats; builds with float_input take float32 as well."""
        if self.config.float_input:
            return floats.encode_floats(self, q)
        q, tensor = np.asarray(q), self.input
        if q.shape != self.input.shape:
            raise ModelError(f"{self.graph_name}: input must have shape {self.input.shape}, not {q.shape}")
        if q.dtype.kind not in "iu" or not tensor.holds(q):
            low, high = tensor.qrange
            allowed = "-1 and +1" if tensor.bits == 1 else f"integers in {low}..{high}"
            raise RangeError(f"{self.graph_name}: input must be {allowed}")
        return tensor.to_bytes(q).ljust(self.input_beats * self.config.lanes, b"\0")

    def decode_output(self, data: bytes) -> Ints | Floats:
        """Bytes of the output stream -> int64 [H, W, C], float32 from builds with float_output.

        Bytes behind the last element are ignored.
        """
        if self.config.float_output:
            return floats.decode_floats(self, data)
        size = self.output.stream_bytes
        if len(data) < size:
            raise ModelError(f"{self.graph_name}: output has {len(data)} bytes, {size} are needed")
        return self.output.from_bytes(bytes(data[:size]))

    def output_stream(self, q: Array) -> bytes:
        """The bytes that the hardware puts out for output integers [H, W, C]: what decode_output takes."""
        if self.config.float_output:
            return floats.float_stream(self, q)
        return self.output.to_bytes(q)

    def truncated(self, count: int) -> Program:
        """The first `count` layers as a program that puts out the last one's result, to compare layers."""
        if not 1 <= count <= len(self.layers):
            raise ModelError(f"{self.graph_name}: has {len(self.layers)} layers, not {count}")
        if count == len(self.layers):
            return self
        descriptors = self.descriptors[:count].copy()
        values = unpack_descriptor(descriptors[-1])
        values.update(to_stream=1, out_base=0)
        values.pop("magic")
        words = pack_descriptor(values, self.config)
        descriptors[-1, : len(words)] = words
        last = replace(self.layers[count - 1], out_base=0)
        return replace(self, layers=(*self.layers[: count - 1], last), descriptors=descriptors)
