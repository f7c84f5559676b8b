"""Fixed-point arithmetic in torch, exact and differentiable.

Values are float tensors that lie on the grid of their format: float32 holds words of up to 24 bits (25 with a sign)
exactly, float64 53 (54). A cast passes the gradient straight through where the value in steps lies between the lowest
and the highest integer, and everywhere if it wraps; sums, products and quotients have the gradient of the real
function. The learned binary point gets the gradient of the step that it means (QFX, arXiv 2401.17544; the step's
gradient is that of learned step size quantization, arXiv 1902.08153, eq. 3).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from accel.errors import RangeError, UnsupportedError
from quant.qfx.format import FixedFormat
from quant.qfx.khot import largest, round_khot

if TYPE_CHECKING:
    from typing import Any

MANTISSA = {torch.float32: 24, torch.float64: 53}
LN2 = math.log(2)
FARTHEST = 1000.0


def check_exact(form: FixedFormat, dtype: torch.dtype) -> None:
    """Raise UnsupportedError where tensors of this dtype do not hold every value of the format."""
    held = MANTISSA.get(dtype)
    if held is None:
        raise UnsupportedError(f"tensors of {dtype} are no fixed-point values; use float32 or float64")
    if form.width - form.signed > held:
        raise UnsupportedError(
            f"{form} needs {form.width - form.signed} bits but {dtype} holds {held}; "
            f"{'use .double()' if dtype == torch.float32 else 'cast to a narrower type'}"
        )


def round_steps(steps: torch.Tensor, rounding: str) -> torch.Tensor:
    """Whole numbers of the same dtype, each rounded once. steps: values divided by the format's step."""
    if rounding == "AP_TRN":
        return torch.floor(steps)
    if rounding == "AP_TRN_ZERO":
        return torch.trunc(steps)
    if rounding == "AP_RND":
        below = torch.floor(steps)
        return below + (steps - below >= 0.5)
    return torch.round(steps)  # a tie to even


def into_range(integers: torch.Tensor, low: int, high: int, overflow: str) -> torch.Tensor:
    """Whole numbers brought into low..high by saturation or modulo high - low + 1; exact."""
    if overflow != "AP_WRAP":
        return integers.clamp(low, high)
    size = high - low + 1
    rest = torch.fmod(integers, size)
    return torch.where(rest > high, rest - size, torch.where(rest < low, rest + size, rest))


def powers(exponents: torch.Tensor) -> torch.Tensor:
    """2^n of a tensor of whole numbers, exact; same shape and dtype. What an exploding training makes of a binary
    point becomes a number that ends in a loss that is not finite: NaN stays NaN, n ends at +-1000."""
    flat = [
        math.nan if math.isnan(exponent) else math.ldexp(1.0, int(min(max(exponent, -FARTHEST), FARTHEST)))
        for exponent in exponents.detach().reshape(-1).tolist()
    ]
    return torch.tensor(flat, dtype=exponents.dtype).reshape(exponents.shape)


class _Cast(torch.autograd.Function):
    """step * integer(x / step) with step = 2^(round(integer_bits) - width)."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, integer_bits: torch.Tensor, form: FixedFormat, hot: int | None
    ) -> torch.Tensor:
        step = powers(torch.round(integer_bits) - form.width).to(x.dtype)
        steps, (low, high) = x / step, form.limits
        if hot is None:
            found = into_range(round_steps(steps, form.rounding), low, high, form.overflow)
        else:
            high = largest(hot, high)
            low = max(low, -high)
            found = round_khot(steps, hot, high).clamp(low, high)
        if form.overflow != "AP_WRAP":
            passes = (steps >= low) & (steps <= high)
        else:
            passes = torch.ones_like(steps, dtype=torch.bool)
        ctx.save_for_backward(steps, found, passes, step)
        return found * step

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        steps, found, passes, step = ctx.saved_tensors
        through = gradient * passes
        by_point = None
        if ctx.needs_input_grad[1]:
            by_point = (gradient * found - through * steps).sum_to_size(step.shape) * step * LN2
        return through, by_point, None, None


class _Replace(torch.autograd.Function):
    """Puts out `exact`; the gradient goes to `smooth`."""

    @staticmethod
    def forward(_ctx: Any, smooth: torch.Tensor, exact: torch.Tensor) -> torch.Tensor:
        return exact.clone()

    @staticmethod
    def backward(_ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return gradient, None


replace = _Replace.apply


def check_hot(hot: int | None, overflow: str) -> None:
    """Raise UnsupportedError for a number of powers of two that no K-hot word has, or K-hot words that wrap."""
    if hot is None:
        return
    if not isinstance(hot, int) or hot < 1:
        raise UnsupportedError(
            f"hot={hot} is not supported; give a whole number of powers of two of at least 1, or None"
        )
    if overflow == "AP_WRAP":
        raise UnsupportedError("K-hot words that overflow by AP_WRAP are not supported; use AP_SAT or AP_SAT_SYM")


def cast(x: torch.Tensor, form: FixedFormat, hot: int | None = None) -> torch.Tensor:
    """Real tensor -> the nearest-by-mode values of the format. hot: at most so many powers of two per value."""
    check_exact(form, x.dtype)
    check_hot(hot, form.overflow)
    return _Cast.apply(x, torch.tensor(float(form.integer_bits), dtype=x.dtype), form, hot)


def learned_cast(
    x: torch.Tensor, integer_bits: torch.Tensor, form: FixedFormat, hot: int | None = None
) -> torch.Tensor:
    """As `cast`, but the binary point is a tensor: integer_bits, real, rounded for the forward pass, one or (a shape
    that broadcasts against x) many; form gives the width, sign and modes."""
    check_exact(form, x.dtype)
    check_hot(hot, form.overflow)
    return _Cast.apply(x, integer_bits, form, hot)


class FixedTensor:
    """A tensor of fixed-point values with its format; + - * / grow the format as the HLS operators do.

    values: float32 or float64 tensor on the format's grid. Results are exact; UnsupportedError says where the dtype
    cannot hold them. A quotient is rounded toward zero to its format; a zero in the divisor raises RangeError.
    """

    def __init__(self, values: torch.Tensor, form: FixedFormat) -> None:
        check_exact(form, values.dtype)
        self.values, self.format = values, form

    @classmethod
    def of(cls, x: torch.Tensor | float, form: FixedFormat | str) -> FixedTensor:
        """A real tensor or number cast to a format (FixedFormat or its text)."""
        form = FixedFormat.parse(form) if isinstance(form, str) else form
        x = x if isinstance(x, torch.Tensor) else torch.tensor(float(x), dtype=torch.float64)
        return cls(cast(x, form), form)

    def cast(self, form: FixedFormat | str) -> FixedTensor:
        """The values in another format, rounded and brought into range by that format's modes."""
        return FixedTensor.of(self.values, form)

    def integers(self) -> torch.Tensor:
        """The stored integers, int64."""
        return (self.values.detach().double() / self.format.step).long()

    def __add__(self, other: FixedTensor) -> FixedTensor:
        return FixedTensor(self.values + other.values, self.format.add_type(other.format))

    def __sub__(self, other: FixedTensor) -> FixedTensor:
        return FixedTensor(self.values - other.values, self.format.subtract_type(other.format))

    def __mul__(self, other: FixedTensor) -> FixedTensor:
        return FixedTensor(self.values * other.values, self.format.multiply_type(other.format))

    def __truediv__(self, other: FixedTensor) -> FixedTensor:
        form = self.format.divide_type(other.format)
        shift = max(other.format.fraction_bits, 0)
        if self.format.width + shift - self.format.signed > MANTISSA[torch.float64]:
            raise UnsupportedError(
                f"{self.format} / {other.format} has a dividend of {self.format.width + shift} "
                f"bits; use operands of at most {MANTISSA[torch.float64]} bits together"
            )
        if bool((other.values == 0).any()):
            raise RangeError(f"a divisor of {other.format} is 0; a quotient needs divisors other than 0")
        # Of whole numbers below 2^53 no quotient rounds up to the next whole number.
        dividend = self.values.detach().double() / (self.format.step * 2.0**-shift)
        divisor = other.values.detach().double() / other.format.step
        exact = torch.trunc(dividend / divisor) * form.step
        smooth = self.values / other.values
        return FixedTensor(replace(smooth, exact.to(smooth.dtype)), form)

    def __repr__(self) -> str:
        return f"FixedTensor({self.values!r}, {self.format})"
