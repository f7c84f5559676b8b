"""Sums, differences, products and quotients with constants: they fold into the layer before or behind."""

import torch

from quant.frontend.capture import Constant
from quant.frontend.tensors import exact
from quant.frontend.values import Value


def _tensor(reader, constant):
    """A number or Constant as float64."""
    if isinstance(constant, Constant):
        tensor = constant.tensor
        return tensor.double() if not tensor.is_floating_point() else exact(reader.label, "constant", tensor)
    return torch.tensor(float(constant), dtype=torch.float64)


def _parts(reader, x, other):
    """(the activation, the constant as float64, is the constant on the left)."""
    if isinstance(x, Value) and isinstance(other, Value):
        reader.refuse("joins two branches; only a chain of layers is supported, remove the branch")
    if isinstance(x, Value):
        return x, _tensor(reader, other), False
    return other, _tensor(reader, x), True


def _one():
    return torch.ones((), dtype=torch.float64)


def _spread(reader, x, scale, offset):
    """The Value of x * scale + offset where the constants have no axis that x lacks."""
    if torch.broadcast_shapes(x.dims, scale.shape, offset.shape) != torch.Size(x.dims):
        reader.refuse(
            f"makes a larger tensor of [N, {', '.join(map(str, x.dims[1:]))}]; give one value, or one per channel"
        )
    return reader.scaled(x, scale, offset)


def add(reader, x, other, alpha=1):
    """x + alpha * other."""
    value, constant, left = _parts(reader, x, other)
    scale = _one() * (alpha if left else 1)
    return _spread(reader, value, scale, constant * (1 if left else alpha))


def sub(reader, x, other, alpha=1):
    """x - alpha * other."""
    value, constant, left = _parts(reader, x, other)
    if left:
        return _spread(reader, value, -_one() * alpha, constant)
    return _spread(reader, value, _one(), -constant * alpha)


def rsub(reader, x, other, alpha=1):
    """other - alpha * x."""
    return sub(reader, other, x, alpha)


def mul(reader, x, other):
    """x * other."""
    value, constant, _ = _parts(reader, x, other)
    return _spread(reader, value, constant, torch.zeros_like(constant))


def div(reader, x, other, rounding_mode=None):
    """x / other."""
    value, constant, left = _parts(reader, x, other)
    if left or rounding_mode is not None:
        reader.refuse("divides by an activation or rounds; only x / constant is supported")
    if not constant.all():
        reader.refuse("divides by 0; give another constant")
    return _spread(reader, value, 1 / constant, torch.zeros_like(constant))


def neg(reader, x):
    """-x."""
    return mul(reader, x, -1.0)


OPERATORS = {
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
