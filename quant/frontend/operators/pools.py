"""Max pools of every spelling, and padding, which the convolution or pool behind it takes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from accel.errors import UnsupportedError
from quant.frontend.floatnet import FloatPool, has_weights
from quant.frontend.operators.layers import pair
from quant.frontend.values import Padding

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from quant.frontend.reader import Reader
    from quant.frontend.values import Handler, Value

NO_PADS = (0, 0, 0, 0)


def max_pool2d(
    reader: Reader,
    x: Value,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = (),
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Value:
    """Max pooling; ceil_mode becomes larger bottom and right pads."""
    x = reader.settle(x)
    reader.need_last(x)
    reader.need_map(x)
    if pair(dilation) != (1, 1):
        reader.refuse(f"dilation={dilation} is not supported; use dilation=1")
    kernel = pair(kernel_size)
    step = kernel if stride is None or stride in ((), []) else pair(stride)
    before, shape = _pool_pads(reader, x, kernel), x.shape
    size = [shape[axis] + before[2 * axis] + before[2 * axis + 1] for axis in (0, 1)]
    pads = []
    for axis, given in enumerate(pair(padding)):
        windows = _windows(size[axis], kernel[axis], step[axis], given, ceil_mode)
        after = (windows - 1) * step[axis] + kernel[axis] - size[axis] - given
        pads += [before[2 * axis] + given, before[2 * axis + 1] + (max(after, 0) if ceil_mode else given)]
    top, bottom, left, right = pads
    layer = FloatPool(reader.name(), kernel, step, (top, bottom, left, right))
    height, width, channels = layer.output_shape(shape)
    if (height, width) != tuple(
        _windows(size[axis], kernel[axis], step[axis], given, ceil_mode) for axis, given in enumerate(pair(padding))
    ):
        reader.refuse(f"ceil_mode={ceil_mode} drops windows, which these pads cannot express; use ceil_mode=False")
    return reader.put(layer, x, (x.dims[0], channels, height, width))


def _windows(size: int, kernel: int, stride: int, pad: int, ceil_mode: bool) -> int:
    """Number of windows along an axis, as PyTorch counts them: the last one must begin inside."""
    if not ceil_mode:
        return (size + 2 * pad - kernel) // stride + 1
    windows = -(-(size + 2 * pad - kernel) // stride) + 1
    return windows - ((windows - 1) * stride >= size + pad)


def _pool_pads(reader: Reader, x: Value, kernel: tuple[int, int]) -> tuple[int, int, int, int]:
    """Pads of a Padding in front: such that never win, or zeros that can't win because nothing is below them."""
    if x.padding is None:
        return NO_PADS
    lowest = next((layer.clamp[0] for layer in reversed(reader.layers) if has_weights(layer)), -math.inf)
    if not (x.padding.value == -math.inf or (x.padding.value == 0 and lowest >= 0)):
        reader.refuse(f"follows padding with {x.padding.value}, which may win; pad with -inf, or put a ReLU before")
    if any(pad >= kernel[side // 2] for side, pad in enumerate(x.padding.pads)):
        reader.refuse(f"has windows of {kernel} that lie in the padding {x.padding.pads} alone; pad less")
    return x.padding.pads


def with_indices(reader: Reader, **arguments: Any) -> tuple[Value, None]:
    """max_pool2d that also gives positions, which cannot be put out."""
    if any(user.args[1] != 0 for user in reader.node.users):
        reader.refuse("return_indices=True is not supported; use return_indices=False")
    return max_pool2d(reader, **arguments), None


def _sizes(output_size: int | Sequence[int | None], x: Value) -> tuple[int, int]:
    """(rows, columns) that are asked for; None keeps the input's."""
    values = (output_size,) if isinstance(output_size, int) else tuple(output_size)
    given = values * 2 if len(values) == 1 else values
    rows, columns = (size or actual for size, actual in zip(given, x.shape, strict=False))
    return rows, columns


def adaptive_max_pool2d(reader: Reader, x: Value, output_size: int | Sequence[int | None]) -> tuple[Value, None]:
    """One window size where the output divides the input."""
    reader.need_map(x)
    size = _sizes(output_size, x)
    if any(x.shape[axis] % size[axis] for axis in (0, 1)):
        reader.refuse(f"output_size={output_size} does not divide (H, W)={x.shape[:2]}; give one that does")
    return max_pool2d(reader, x, [x.shape[axis] // size[axis] for axis in (0, 1)]), None


def average(reader: Reader, x: Value, output_size: int | Sequence[int | None]) -> Value:
    """adaptive_avg_pool2d that has nothing to average, as VGG and AlexNet have it at their own image sizes."""
    reader.need_map(x)
    if _sizes(output_size, x) != x.shape[:2]:
        raise UnsupportedError(f"{reader.label} is not supported")
    return x


def amax(reader: Reader, x: Value, dim: Sequence[int] = (), keepdim: bool = False) -> Value:
    """The largest value of every channel."""
    reader.need_map(x)
    if sorted(axis % 4 for axis in dim) != [2, 3]:
        reader.refuse(f"takes the largest value over the axes {list(dim)}; only the image's axes (2, 3) are supported")
    result = max_pool2d(reader, x, x.shape[:2])
    return result if keepdim else replace(result, dims=result.dims[:2])


def pad(reader: Reader, x: Value, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Value:
    """Constant padding (left, right, top, bottom), kept until the convolution or pool behind it."""
    if not any(pad):
        return x
    if mode != "constant":
        reader.refuse(f"pads with mode='{mode}'; use constant zero padding")
    value = float(value or 0)
    if value not in (0.0, -math.inf):
        reader.refuse(f"pads with {value}; only zero padding is supported")
    reader.need_last(x)
    reader.need_map(x)
    left, right, top, bottom, *rest = (*pad, 0, 0, 0, 0)[: max(4, len(pad))]
    if min(pad) < 0 or any(rest):
        reader.refuse(f"pads {tuple(pad)} must be four numbers of at least 0 (left, right, top, bottom)")
    pads = (top, bottom, left, right)
    if x.padding and x.padding.value != value:
        reader.no_padding(x)
    if x.padding:
        top, bottom, left, right = map(sum, zip(pads, x.padding.pads, strict=True))
    return replace(x, padding=Padding((top, bottom, left, right), value, reader.label))


OPERATORS: dict[str, Handler] = {
    "max_pool2d": max_pool2d,
    "max_pool2d_with_indices": with_indices,
    "amax": amax,
    "adaptive_max_pool2d": adaptive_max_pool2d,
    "pad": pad,
    "adaptive_avg_pool2d": average,
    "constant_pad_nd": pad,
}
