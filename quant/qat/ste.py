"""Quantizers that training can pass through: the forward value lies on the integer grid, the gradient is
that of a smooth stand-in (straight-through estimator)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import torch
from torch import nn
from torch.nn import functional

from quant.arithmetic.scales import SMALLEST_SCALE, integer_range, of_live_channels, weight_limits
from quant.qat.method import Method

if TYPE_CHECKING:
    from typing import Any

LEARNED_BITS = 4  # weights of at most so many bits learn their scale, wider ones take it from the maximum
SEARCH_STEPS = 24
LATENT_MEAN = 0.3
NOTHING = 2.0**-60  # an output that is never larger is taken for zeros, whose scale is 1
HALF_UP = 0.5 + 2.0**-14  # a tie of the integers is a tie here, whatever float32 made of it


class _Quantize(torch.autograd.Function):
    """scale * clamp(round(x / scale)). `clipped`: x gets the gradient inside the limits, scale that of its rounding
    error there and of the limit outside (learned step size quantization). `identity`: as if nothing were limited.
    `pact`: x as clipped, scale that of the upper limit alone."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        scale: torch.Tensor,
        low: float,
        high: float,
        half_up: bool = False,
        kind: str = "clipped",
    ) -> torch.Tensor:
        steps = x / scale
        found = torch.floor(steps + HALF_UP) if half_up else torch.round(steps)
        found = found.clamp_(low, high)
        ctx.save_for_backward(steps, found)
        ctx.limits, ctx.shape, ctx.kind = (low, high), scale.shape, kind
        return found * scale

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        steps, found = ctx.saved_tensors
        low, high = ctx.limits
        through = gradient if ctx.kind == "identity" else gradient * ((steps >= low) & (steps <= high))
        by_scale = None
        if ctx.needs_input_grad[1]:
            by_scale = gradient * high * (steps > high) if ctx.kind == "pact" else gradient * found - through * steps
            by_scale = by_scale.sum_to_size(ctx.shape)
        return through, by_scale, None, None, None, None


class _Sign(torch.autograd.Function):
    """sign(x) with sign(0) = +1. The gradient is 1 (`identity`), 1 on [-1, 1] (`clipped`), or that of the piecewise
    parabola x * (2 - |x|) there (`parabola`: Bi-Real Net, Liu et al., 2018, section 3.2)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, kind: str) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.kind = kind
        return torch.where(x < 0, -1.0, 1.0)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        if ctx.kind == "parabola":
            gradient = gradient * (2 - 2 * x.abs()).clamp(min=0)
        elif ctx.kind == "clipped":
            gradient = gradient * (x.abs() <= 1)
        return gradient, None


class _ScaleGradient(torch.autograd.Function):
    """x, whose gradient is multiplied by a factor."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, factor: float) -> torch.Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return gradient * ctx.factor, None


class Quantizer(Protocol):
    """What made a layer's input: its bits, scale and zero point."""

    @property
    def bits(self) -> int: ...

    @property
    def zero_point(self) -> int: ...

    def scale(self) -> torch.Tensor: ...


quantize_through = _Quantize.apply
sign_through = _Sign.apply
scale_gradient = _ScaleGradient.apply


def best_scale(values: torch.Tensor, low: int, high: int) -> torch.Tensor:
    """The scale [R, 1] per row of values [R, N] that gives the least squared error on the grid low..high."""
    limit = torch.maximum(values.amax(1, keepdim=True) / max(high, 1), values.amin(1, keepdim=True) / min(low, -1))
    limit = limit.clamp(min=SMALLEST_SCALE)
    best, error = limit, torch.full_like(limit, math.inf)
    for step in range(SEARCH_STEPS):
        scale = limit * (1 - step / SEARCH_STEPS)
        found = (torch.round(values / scale).clamp(low, high) * scale - values).square().sum(1, keepdim=True)
        best = torch.where(found < error, scale, best)
        error = torch.minimum(found, error)
    return best


class LearnedScale(nn.Module):
    """Scales that training learns. kind `log`: their logarithm is the parameter; `step`, `lsq`: they themselves;
    `pact`: the clip, levels times the scale."""

    def __init__(self, scale: torch.Tensor, kind: str, levels: int, learned: bool = True) -> None:
        super().__init__()
        self.kind, self.levels = kind, levels
        self.value = nn.Parameter(torch.empty_like(scale), requires_grad=learned)
        self.set(scale)

    @torch.no_grad()
    def set(self, scale: torch.Tensor) -> None:
        """Take over scales of the parameter's shape; NaN: unknown yet."""
        if self.kind == "log":
            scale = scale.log()
        self.value.copy_(scale * self.levels if self.kind == "pact" else scale)

    def is_new(self) -> bool:
        """Whether nothing has set the scale yet."""
        return bool(torch.isnan(self.value).any())

    def forward(self, count: int) -> torch.Tensor:
        """The scales, never below the smallest one that the contract allows. count: numbers that share a scale, for
        the gradient's factor 1 / sqrt(count * levels) of LSQ."""
        if self.kind == "log":
            scale = self.value.exp()
        elif self.kind == "pact":
            scale = self.value / self.levels
        elif self.kind == "lsq":
            scale = scale_gradient(self.value, 1 / math.sqrt(count * self.levels))
        else:
            scale = self.value
        return scale.clamp(min=SMALLEST_SCALE)


class WeightQuantizer(nn.Module):
    """Weights [OC, ...] -> the same shape on the grid scale * integer, one scale per channel or for all.

    1 bit: sign(w) times a scale; the latent weights are stretched to a common mean at the start. 2 to 4 bits: learned
    scale. 6 and 8 bits: scale = max|w| / largest integer, or learned where the method learns steps. Channels without
    weights begin with the largest scale of the others.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        bits: int,
        *,
        per_tensor: bool,
        full_range: bool = False,
        method: Method | None = None,
    ) -> None:
        super().__init__()
        method = method or Method()
        self.bits, self.per_tensor, self.method = bits, per_tensor, method
        self.limits = weight_limits(bits, full_range)
        self.is_learned = bits <= LEARNED_BITS or method.scales in ("step", "lsq")
        if bits == 1:
            self.is_learned = method.sign_scales == "learned"
        kind = "log" if method.scales == "pact" or bits == 1 else method.scales
        scale = self.best(weight).reshape(-1, *(1,) * (weight.dim() - 1))
        self.learned = LearnedScale(scale.float(), kind, self.limits[1], self.is_learned)

    def best(self, weight: torch.Tensor) -> torch.Tensor:
        """The scales [OC or 1, 1] that training starts from."""
        rows = self._rows(weight)
        if self.bits == 1:
            return rows.abs().mean(1, keepdim=True).clamp(min=SMALLEST_SCALE)
        return of_live_channels(best_scale(rows, *self.limits), rows.abs().amax(1, keepdim=True))

    def _rows(self, weight: torch.Tensor) -> torch.Tensor:
        return weight.detach().reshape(1 if self.per_tensor else len(weight), -1)

    def latent(self, weight: torch.Tensor) -> torch.Tensor:
        """The weights that training starts from: those given, or stretched ones for signs."""
        if self.bits > 1:
            return weight
        mean = weight.abs().mean().clamp(min=SMALLEST_SCALE)
        return (weight * (LATENT_MEAN / mean)).clamp(-1, 1)

    def scale(self, weight: torch.Tensor) -> torch.Tensor:
        """Scales [OC or 1, 1, ...]; never below the smallest one that the contract allows."""
        shape = self.learned.value.shape
        if self.is_learned:
            return self.learned(weight.numel() // math.prod(shape))
        if self.bits == 1:
            if self.method.sign_scales == "none":
                return torch.ones(shape)
            return weight.abs().reshape(math.prod(shape), -1).mean(1).reshape(shape).clamp(min=SMALLEST_SCALE)
        largest = self._rows(weight).abs().amax(1).reshape(shape)
        scale = torch.where(largest > 0, largest / self.limits[1], 1.0).clamp(min=SMALLEST_SCALE)
        return of_live_channels(scale, largest)

    def forward(self, weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        if self.bits == 1:
            return sign_through(weight, self.method.sign_weights) * scale
        return quantize_through(weight, scale, *self.limits, False, self.method.estimator)

    @torch.no_grad()
    def integers(self, weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """The weights in steps of the scale, int64."""
        if self.bits == 1:
            return torch.where(weight < 0, -1, 1)
        return torch.round(weight / scale).clamp(*self.limits).long()


class ActivationQuantizer(nn.Module):
    """Real values -> the grid scale * integer of `bits` bits with a learned scale; the first batch sets it.

    unsigned: the values are not negative, the integers 0 .. 2^bits - 1 are stored with zero point -2^(bits-1).
    half_up: ties go up, as in the integer network. With a multiplier of few powers of two they are frequent; else a
    tie of float32 numbers means nothing.
    """

    def __init__(self, bits: int, *, unsigned: bool, half_up: bool = False, method: Method | None = None) -> None:
        super().__init__()
        method = method or Method()
        self.bits, self.half_up, self.unsigned = bits, half_up, unsigned
        low, high = integer_range(bits)
        self.zero_point = low if unsigned else 0
        self.limits = low - self.zero_point, high - self.zero_point
        kind = method.scales if unsigned or method.scales != "pact" else "log"
        self.kind = "pact" if kind == "pact" else method.estimator
        self.decay = method.pact_decay if kind == "pact" else 0.0
        self.learned = LearnedScale(torch.tensor(math.nan), kind, self.limits[1])

    def scale(self, count: int = 1) -> torch.Tensor:
        """The scale as a tensor without dimensions. count: numbers per image that it is for."""
        return self.learned(count)

    def is_new(self) -> bool:
        """Whether no batch has set the scale yet."""
        return self.learned.is_new()

    def penalty(self) -> torch.Tensor | float:
        """What joins the loss: the decay of a learned clip (PACT), else 0."""
        return self.decay * self.learned.value.square() if self.decay else 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.is_new():
            found = best_scale(x.detach().reshape(1, -1), *self.limits).squeeze()
            self.learned.set(found if bool((x.abs() > NOTHING).any()) else torch.ones_like(found))
        if self.unsigned and self.kind == "identity":
            x = functional.relu(x)
        return quantize_through(x, self.scale(x[0].numel()), *self.limits, self.half_up, self.kind)


class SignActivation(nn.Module):
    """sign(x) with sign(0) = +1: a tensor of 1 bit with scale 1."""

    bits, zero_point = 1, 0

    def __init__(self, method: Method | None = None) -> None:
        super().__init__()
        self.estimator = (method or Method()).sign_estimator

    def scale(self) -> torch.Tensor:
        """Always 1."""
        return torch.ones(())

    def is_new(self) -> bool:
        """Never: nothing is learned."""
        return False

    def penalty(self) -> float:
        """Nothing joins the loss."""
        return 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return sign_through(x, self.estimator)
