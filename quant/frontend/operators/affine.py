"""Sums, differences, products and quotients with constants: they fold into the layer before or behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from quant.frontend.capture import Constant
from quant.frontend.tensors import exact
from quant.frontend.values import Value

if TYPE_CHECKING:
    from quant.frontend.reader import Reader
    from quant.frontend.values import Handler, Operand


def _tensor(reader: Reader, constant: Constant | float) -> torch.Tensor:
    """A number or Constant as float64."""
    if isinstance(constant, Constant):
        tensor = constant.tensor
        return tensor.double() if not tensor.is_floating_point() else exact(reader.label, "constant", tensor)
    return torch.tensor(float(constant), dtype=torch.float64)


def _parts(reader: Reader, x: Operand, other: Operand) -> tuple[Value, torch.Tensor, bool]:
    """(the activation, the constant as float64, is the constant on the left)."""
    if isinstance(x, Value) and isinstance(other, Value):
        reader.refuse("joins two branches; only a chain of layers is supported, remove the branch")
    if isinstance(x, Value) and not isinstance(other, Value):
        return x, _tensor(reader, other), False
    if isinstance(other, Value) and not isinstance(x, Value):
        return other, _tensor(reader, x), True
    reader.refuse("has no activation to act on")


def _one() -> torch.Tensor:
    return torch.ones((), dtype=torch.float64)


def _spread(reader: Reader, x: Value, scale: torch.Tensor, offset: torch.Tensor) -> Value:
    """The Value of x * scale + offset where the constants have no axis that x lacks."""
    if torch.broadcast_shapes(x.dims, scale.shape, offset.shape) != torch.Size(x.dims):
        reader.refuse(
            f"makes a larger tensor of [N, {', '.join(map(str, x.dims[1:]))}]; give one value, or one per channel"
        )
    return reader.scaled(x, scale, offset)


def add(reader: Reader, x: Operand, other: Operand, alpha: float = 1) -> Value:
    """x + alpha * other."""
    value, constant, left = _parts(reader, x, other)
    scale = _one() * (alpha if left else 1)
    return _spread(reader, value, scale, constant * (1 if left else alpha))


def sub(reader: Reader, x: Operand, other: Operand, alpha: float = 1) -> Value:
    """x - alpha * other."""
    value, constant, left = _parts(reader, x, other)
    if left:
        return _spread(reader, value, -_one() * alpha, constant)
    return _spread(reader, value, _one(), -constant * alpha)


def rsub(reader: Reader, x: Operand, other: Operand, alpha: float = 1) -> Value:
    """other - alpha * x."""
    return sub(reader, other, x, alpha)


def mul(reader: Reader, x: Operand, other: Operand) -> Value:
    """x * other."""
    value, constant, _ = _parts(reader, x, other)
    return _spread(reader, value, constant, torch.zeros_like(constant))


def div(reader: Reader, x: Operand, other: Operand, rounding_mode: str | None = None) -> Value:
    """x / other."""
    value, constant, left = _parts(reader, x, other)
    if left or rounding_mode is not None:
        reader.refuse("divides by an activation or rounds; only x / constant is supported")
    if not constant.all():
        reader.refuse("divides by 0; give another constant")
    return _spread(reader, value, 1 / constant, torch.zeros_like(constant))


def neg(reader: Reader, x: Operand) -> Value:
    """-x."""
    return mul(reader, x, -1.0)


OPERATORS: dict[str, Handler] = {
    "add": add,
    "sub": sub,
    "subtract": sub,
    "rsub": rsub,
    "mul": mul,
    "multiply": mul,
    "div": div,
    "divide": div,
    "true_divide": div,
    "neg": neg,
    "negative": neg,
}
