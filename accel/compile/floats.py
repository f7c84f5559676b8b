"""A program on a build with float streams: its registers, and images as float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from accel.config import bits_code
from accel.descriptor import (
    REG_INPUT_BEATS,
    REG_INPUT_FORMAT,
    REG_INPUT_SCALE,
    REG_OUTPUT_FORMAT,
    REG_OUTPUT_SCALE,
    REGION_REGISTERS,
    host_address,
)
from accel.errors import ModelError, RangeError
from accel.fixedpoint import inverse_scale, unpack
from accel.scale import dequantize
from accel.tensor import RAW_BITS

if TYPE_CHECKING:
    from typing import SupportsFloat

    from numpy.typing import ArrayLike

    from accel.compile.program import Program
    from accel.config import HardwareConfig
    from accel.tensor import TensorType
    from accel.types import Array, Floats


def float_beats(tensor: TensorType, config: HardwareConfig) -> int:
    """Beats of a tensor as float32, lanes / 4 a beat; elements that fill up a pixel's bytes count."""
    elements = tensor.height * tensor.width * tensor.stored_channels
    return -(-elements // config.float_lanes)


def register_values(program: Program) -> tuple[int, ...]:
    """(input scale, input format, input beats less one, output scale, output format); 0 for a stream of integers."""
    source, result, config = program.input, program.output, program.config
    values = [0] * 5
    if config.float_input:
        values[:3] = _bits(inverse_scale(source.scale)), _format(source), float_beats(source, config) - 1
    if config.float_output:
        try:
            inverse_scale(result.scale)
        except RangeError as error:
            raise RangeError(f"{program.graph_name}: float_output: {error}") from error
        values[3:] = _bits(result.scale), _format(result)
    return tuple(values)


def register_writes(program: Program) -> list[tuple[int, int]]:
    """[(address, word)] of the registers that this build's float streams have."""
    registers = (REG_INPUT_SCALE, REG_INPUT_FORMAT, REG_INPUT_BEATS), (REG_OUTPUT_SCALE, REG_OUTPUT_FORMAT)
    values, config = register_values(program), program.config
    chosen = (registers[0] if config.float_input else ()) + (registers[1] if config.float_output else ())
    words = values[:3] * config.float_input + values[3:] * config.float_output
    return [(host_address(REGION_REGISTERS, register), word) for register, word in zip(chosen, words, strict=True)]


def _bits(value: SupportsFloat) -> int:
    return int(np.float32(value).view(np.uint32))


def _format(tensor: TensorType) -> int:
    """Zero point in bits 7:0, width code in bits 9:8, raw in bit 10."""
    raw = tensor.bits == RAW_BITS
    return tensor.zero_point & 255 | (0 if raw else bits_code(tensor.bits)) << 8 | raw << 10


def encode_floats(program: Program, image: ArrayLike) -> bytes:
    """One image [H, W, C] -> bytes of whole beats of float32.

    Floats go as they are; integers stand for their real values, which the hardware quantizes to the same integers.
    Elements that fill up a pixel's last byte are such that they become 0 bits.
    """
    image, tensor = np.asarray(image), program.input
    if image.shape != tensor.shape:
        raise ModelError(f"{program.graph_name}: input must have shape {tensor.shape}, not {image.shape}")
    if image.dtype.kind in "iu":
        if not tensor.holds(image):
            raise RangeError(f"{program.graph_name}: input integers must be values of {tensor.bits} bits")
        image = dequantize(image, tensor.scale, tensor.zero_point)
    blank = np.float32(-1) if tensor.bits == 1 else dequantize(0, tensor.scale, tensor.zero_point)
    stored = np.full((tensor.height, tensor.width, tensor.stored_channels), blank, dtype="<f4")
    stored[..., : tensor.channels] = image
    size = float_beats(tensor, program.config) * program.config.lanes
    return stored.tobytes().ljust(size, b"\0")


def float_stream(program: Program, q: Array) -> bytes:
    """Bytes of the float32 stream that the hardware makes of output integers [H, W, C]."""
    tensor = program.output
    data = np.frombuffer(tensor.to_bytes(q), dtype=np.uint8)
    stored = data.view("<i4") if tensor.bits == RAW_BITS else unpack(data, tensor.bits, data.size * 8 // tensor.bits)
    return dequantize(stored, tensor.scale, tensor.zero_point).astype("<f4").tobytes()


def decode_floats(program: Program, data: bytes) -> Floats:
    """Bytes of the output stream -> float32 [H, W, C]."""
    tensor = program.output
    shape = tensor.height, tensor.width, tensor.stored_channels
    size = 4 * shape[0] * shape[1] * shape[2]
    if len(data) < size:
        raise ModelError(f"{program.graph_name}: output has {len(data)} bytes, {size} are needed")
    stored = np.frombuffer(bytes(data[:size]), dtype="<f4").astype(np.float32).reshape(shape)
    return stored[..., : tensor.channels]
