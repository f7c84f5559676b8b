"""Reading parameters of a user's module: dtype, shape and value checks, exact casts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from accel.errors import ModelError, RangeError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Sequence

FLOAT_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def exact(owner: str, what: str, tensor: torch.Tensor, shape: Sequence[int] | None = None) -> torch.Tensor:
    """The tensor as float64, cast exactly from float16, bfloat16, float32 or float64, on the CPU.

    owner, what: names for the message. Raises UnsupportedError for another dtype, ModelError for a wrong
    shape or a tensor without data, RangeError for NaN, infinity or a value outside float32.
    """
    if tensor.dtype not in FLOAT_TYPES:
        raise UnsupportedError(f"{owner}: {what} has dtype {tensor.dtype}; use float32, float16 or bfloat16")
    if tensor.is_meta or tensor.layout != torch.strided:
        raise ModelError(
            f"{owner}: {what} holds no plain data ({tensor.device}, {tensor.layout}); load the trained weights first"
        )
    if shape is not None and tuple(tensor.shape) != tuple(shape):
        raise ModelError(f"{owner}: {what} has shape {tuple(tensor.shape)}, expected {tuple(shape)}; rebuild the layer")
    values = tensor.detach().cpu().double()
    check_finite(owner, what, values)
    return values


def check_finite(owner: str, what: str, values: torch.Tensor) -> None:
    """Raise RangeError at the first value that is NaN, infinite or outside float32."""
    bad = ~torch.isfinite(values.float())
    if bad.any():
        place = tuple(torch.nonzero(bad)[0].tolist())
        raise RangeError(
            f"{owner}: {what}{list(place)} is {values[place].item()}; weights must be finite "
            "float32 numbers, train the model again or repair the file"
        )
