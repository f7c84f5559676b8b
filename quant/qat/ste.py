"""Quantizers that training can pass through: the forward value lies on the integer grid, the gradient is
that of a smooth stand-in (straight-through estimator)."""

import math

import torch
from torch import nn

from quant.arithmetic.scales import SMALLEST_SCALE, integer_range, weight_limits

LEARNED_BITS = 4  # weights of at most so many bits learn their scale, wider ones take it from the maximum
SEARCH_STEPS = 24
LATENT_MEAN = 0.3
HALF_UP = 0.5 + 2.0 ** -14  # a tie of the integers is a tie here, whatever float32 made of it


class _Quantize(torch.autograd.Function):
    """scale * clamp(round(x / scale)): x gets the gradient inside the limits, scale that of its rounding error
    there and of the limit outside (learned step size quantization)."""

    @staticmethod
    def forward(ctx, x, scale, low, high, half_up=False):
        steps = x / scale
        found = torch.floor(steps + HALF_UP) if half_up else torch.round(steps)
        found = found.clamp_(low, high)
        ctx.save_for_backward(steps, found)
        ctx.limits, ctx.shape = (low, high), scale.shape
        return found * scale

    @staticmethod
    def backward(ctx, gradient):
        steps, found = ctx.saved_tensors
        low, high = ctx.limits
        through = gradient * ((steps >= low) & (steps <= high))
        by_scale = None
        if ctx.needs_input_grad[1]:
            by_scale = (gradient * found - through * steps).sum_to_size(ctx.shape)
        return through, by_scale, None, None, None


class _Sign(torch.autograd.Function):
    """sign(x) with sign(0) = +1; the gradient is that of the piecewise parabola x * (2 - |x|) on [-1, 1]."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.where(x < 0, -1.0, 1.0)

    @staticmethod
    def backward(ctx, gradient):
        x, = ctx.saved_tensors
        return gradient * (2 - 2 * x.abs()).clamp(min=0)


class _SignWeights(torch.autograd.Function):
    """sign(w) with sign(0) = +1; the gradient passes where |w| <= 1."""

    @staticmethod
    def forward(ctx, w):
        ctx.save_for_backward(w)
        return torch.where(w < 0, -1.0, 1.0)

    @staticmethod
    def backward(ctx, gradient):
        w, = ctx.saved_tensors
        return gradient * (w.abs() <= 1)


quantize_through = _Quantize.apply
sign_through = _Sign.apply
sign_weights = _SignWeights.apply


def best_scale(values, low, high):
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


class WeightQuantizer(nn.Module):
    """Weights [OC, ...] -> the same shape on the grid scale * integer, one scale per channel or for all.

    1 bit: sign(w) times a learned scale; the latent weights are stretched to a common mean at the start.
    2 to 4 bits: learned scale. 6 and 8 bits: scale = max|w| / largest integer.
    """

    def __init__(self, weight, bits, *, per_tensor, full_range=False):
        super().__init__()
        self.bits, self.per_tensor = bits, per_tensor
        self.limits = weight_limits(bits, full_range)
        rows = self._rows(weight)
        if bits == 1:
            scale = rows.abs().mean(1, keepdim=True).clamp(min=SMALLEST_SCALE)
        else:
            scale = best_scale(rows, *self.limits)
        self.log_scale = nn.Parameter(scale.log().reshape(-1, *(1,) * (weight.dim() - 1)).float(),
                                      requires_grad=bits <= LEARNED_BITS)

    def _rows(self, weight):
        return weight.detach().reshape(1 if self.per_tensor else len(weight), -1)

    def latent(self, weight):
        """The weights that training starts from: those given, or stretched ones for signs."""
        if self.bits > 1:
            return weight
        mean = weight.abs().mean().clamp(min=SMALLEST_SCALE)
        return (weight * (LATENT_MEAN / mean)).clamp(-1, 1)

    def scale(self, weight):
        """Scales [OC or 1, 1, ...]; never below the smallest one that the contract allows."""
        if self.bits <= LEARNED_BITS:
            return self.log_scale.exp().clamp(min=SMALLEST_SCALE)
        largest = self._rows(weight).abs().amax(1).reshape(self.log_scale.shape)
        return torch.where(largest > 0, largest / self.limits[1], 1.0).clamp(min=SMALLEST_SCALE)

    def forward(self, weight, scale):
        if self.bits == 1:
            return sign_weights(weight) * scale
        return quantize_through(weight, scale, *self.limits)

    @torch.no_grad()
    def integers(self, weight, scale):
        """The weights in steps of the scale, int64."""
        if self.bits == 1:
            return sign_weights(weight).long()
        return torch.round(weight / scale).clamp(*self.limits).long()


class ActivationQuantizer(nn.Module):
    """Real values -> the grid scale * integer of `bits` bits with a learned scale; the first batch sets it.

    unsigned: the values are not negative, the integers 0 .. 2^bits - 1 are stored with zero point -2^(bits-1).
    half_up: ties go up, as in the integer network. With a multiplier of few powers of two they are frequent; else a
    tie of float32 numbers means nothing.
    """

    def __init__(self, bits, *, unsigned, half_up=False):
        super().__init__()
        self.bits, self.half_up = bits, half_up
        low, high = integer_range(bits)
        self.zero_point = low if unsigned else 0
        self.limits = low - self.zero_point, high - self.zero_point
        self.log_scale = nn.Parameter(torch.tensor(math.nan))

    def scale(self):
        """The scale as a tensor without dimensions."""
        return self.log_scale.exp().clamp(min=SMALLEST_SCALE)

    def is_new(self):
        """Whether no batch has set the scale yet."""
        return bool(torch.isnan(self.log_scale))

    def forward(self, x):
        if self.is_new():
            with torch.no_grad():
                self.log_scale.copy_(best_scale(x.reshape(1, -1), *self.limits).log().squeeze())
        return quantize_through(x, self.scale(), *self.limits, self.half_up)


class SignActivation(nn.Module):
    """sign(x) with sign(0) = +1: a tensor of 1 bit with scale 1."""

    bits, zero_point = 1, 0

    def scale(self):
        """Always 1."""
        return torch.ones(())

    def forward(self, x):
        return sign_through(x)
