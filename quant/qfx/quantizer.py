"""A cast as a module: the word length is given, the binary point is learned."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from accel.errors import RangeError, UnsupportedError
from quant.qfx.format import FixedFormat, integer_bits_for
from quant.qfx.ops import LN2, cast, check_hot, learned_cast, powers, replace

if TYPE_CHECKING:
    from typing import Any

STARTS = ("mse", "max")
TRIED_BITS = 6  # binary points below that of the maximum, tried for the least squared error
UNKNOWN = -1


class FixedQuantizer(nn.Module):
    """Real tensor -> values of a fixed-point format of `width` bits whose binary point is trained.

    integer_bits: where the training starts; None lets the first tensor decide, by `start`: 'max' takes the fewest
    bits without overflow, 'mse' those of the least squared error. signed None: the first tensor decides. learn False
    keeps the binary point. rate: how far a step of the optimizer moves it (Adam moves a parameter by about its
    learning rate). hot: at most so many powers of two per value. channels: one binary point per row of the first
    axis, for tensors of `dim` axes.
    """

    sign: torch.Tensor
    started: torch.Tensor

    def __init__(
        self,
        width: int,
        integer_bits: int | None = None,
        *,
        signed: bool | None = True,
        rounding: str = "AP_RND",
        overflow: str = "AP_SAT",
        learn: bool = True,
        start: str = "mse",
        rate: float = 1.0,
        hot: int | None = None,
        channels: int | None = None,
        dim: int = 4,
    ) -> None:
        super().__init__()
        if start not in STARTS:
            raise UnsupportedError(f"start '{start}' is unknown; choose one of {', '.join(STARTS)}")
        if rate <= 0:
            raise RangeError(f"rate {rate} must be positive")
        FixedFormat(width, integer_bits or 0, rounding, overflow)  # refuses unknown modes
        check_hot(hot, overflow)
        self.width, self.rounding, self.overflow = width, rounding, overflow
        self.start, self.rate, self.hot = start, rate, hot
        shape = () if channels is None else (channels, *(1,) * (dim - 1))
        first = math.nan if integer_bits is None else integer_bits / rate
        self.point = nn.Parameter(torch.full(shape, float(first)), requires_grad=learn)
        self.register_buffer("sign", torch.tensor(UNKNOWN if signed is None else int(signed)))
        self.register_buffer("started", torch.tensor(integer_bits is not None))

    @property
    def signed(self) -> bool | None:
        """Whether negative values have a place; None as long as no tensor has decided."""
        return None if int(self.sign) == UNKNOWN else bool(self.sign)

    def is_new(self) -> bool:
        """Whether a first tensor still has to set the binary point."""
        return not bool(self.started)

    def form(self, integer_bits: int = 0) -> FixedFormat:
        """A FixedFormat of this width, sign and modes."""
        return FixedFormat(self.width, int(integer_bits), self.rounding, self.overflow, bool(self.sign))

    @property
    def formats(self) -> list[FixedFormat]:
        """The FixedFormats in force: one, or one per channel."""
        return [self.form(round(bits)) for bits in (self.point.detach().double() * self.rate).reshape(-1).tolist()]

    @property
    def format(self) -> FixedFormat:
        """The FixedFormat in force. Raises UnsupportedError where there is one per channel."""
        if self.point.numel() != 1:
            raise UnsupportedError(f"this tensor has {self.point.numel()} formats, one per channel; read `formats`")
        return self.formats[0]

    def step(self) -> torch.Tensor:
        """The grid's step 2^-fraction_bits, of the shape of the binary point; no gradient."""
        return powers(torch.round(self.point.detach() * self.rate) - self.width)

    @torch.no_grad()
    def observe(self, x: torch.Tensor) -> None:
        """Set what is still open from a tensor. Raises RangeError for one that holds NaN or infinity, or nothing."""
        if not x.numel() or not bool(torch.isfinite(x).all()):
            raise RangeError(
                f"a tensor of shape {list(x.shape)} that is to set a binary point is empty or holds NaN "
                "or infinity; check the weights and the first images"
            )
        if self.signed is None:
            self.sign.fill_(int(bool((x < 0).any())))
        if self.is_new():
            rows = x.detach().double().reshape(self.point.numel(), -1)
            bits = [best_integer_bits(row, self.form(), self.start, self.hot) for row in rows]
            self.point.copy_(torch.tensor(bits).reshape(self.point.shape) / self.rate)
            self.started.fill_(True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.is_new() or self.signed is None:
            self.observe(x)
        return learned_cast(x, (self.point * self.rate).to(x.dtype), self.form(), self.hot)

    def integers(self, x: torch.Tensor) -> torch.Tensor:
        """The stored integers of a tensor, int64."""
        with torch.no_grad():
            return torch.round(self(x).double() / self.step().double()).long()

    def extra_repr(self) -> str:
        hot = "" if self.hot is None else f", {self.hot}-hot"
        if self.is_new() or self.signed is None:
            return f"{self.width} bits, {self.rounding}, {self.overflow}{hot}"
        return ", ".join(sorted({str(form) for form in self.formats})) + hot


def _signs(x: torch.Tensor) -> torch.Tensor:
    """-1 or +1, sign(0) = +1."""
    return torch.where(x < 0, -torch.ones_like(x), torch.ones_like(x))


class _BinaryScale(torch.autograd.Function):
    """signs * 2^round(bits)."""

    @staticmethod
    def forward(ctx: Any, signs: torch.Tensor, bits: torch.Tensor) -> torch.Tensor:
        scale = powers(torch.round(bits)).to(signs.dtype)
        ctx.save_for_backward(signs, scale)
        return signs * scale

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        signs, scale = ctx.saved_tensors
        return gradient * scale, (gradient * signs).sum_to_size(scale.shape) * scale * LN2


class SignQuantizer(nn.Module):
    """1 bit: sign(x) with sign(0) = +1, so -1 or +1.

    weights: the gradient passes where abs(x) <= 1 and a learned power of two scales the signs; else the gradient is
    that of a parabola on -1..1 and there is no scale.
    """

    started: torch.Tensor

    width, signed, hot, rounding, overflow = 1, True, None, "AP_RND", "AP_SAT"

    def __init__(
        self, *, weights: bool = False, channels: int | None = None, dim: int = 4, rate: float = 1.0, learn: bool = True
    ) -> None:
        super().__init__()
        self.weights, self.rate = weights, rate
        shape = () if channels is None else (channels, *(1,) * (dim - 1))
        start = math.nan if weights else 0.0
        self.point = nn.Parameter(torch.full(shape, start), requires_grad=weights and learn)
        self.register_buffer("started", torch.tensor(not weights))

    def is_new(self) -> bool:
        """Whether a first tensor still has to set the scale."""
        return not bool(self.started)

    @property
    def formats(self) -> list[FixedFormat]:
        """The narrowest HLS types that hold -scale and +scale."""
        bits = (self.point.detach().double() * self.rate).reshape(-1).tolist()
        return [FixedFormat(2, round(point) + 2, self.rounding, self.overflow) for point in bits]

    def step(self) -> torch.Tensor:
        """The scale of the signs, a power of two."""
        return powers(torch.round(self.point.detach() * self.rate))

    @torch.no_grad()
    def observe(self, x: torch.Tensor) -> None:
        """Set the scale to the power of two nearest to the mean magnitude."""
        if self.is_new():
            mean = x.detach().double().reshape(self.point.numel(), -1).abs().mean(1)
            self.point.copy_(torch.log2(mean.clamp(min=2.0**-60)).round().reshape(self.point.shape) / self.rate)
            self.started.fill_(True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.weights:
            near = x.clamp(-1, 1)
            return replace(near * (2 - near.abs()), _signs(x))
        self.observe(x)
        return _BinaryScale.apply(replace(x.clamp(-1, 1), _signs(x)), (self.point * self.rate).to(x.dtype))

    def integers(self, x: torch.Tensor) -> torch.Tensor:
        """-1 and +1, int64."""
        return _signs(x.detach()).long()

    def extra_repr(self) -> str:
        return "1 bit, sign"


def best_integer_bits(values: torch.Tensor, form: FixedFormat, start: str = "mse", hot: int | None = None) -> float:
    """Integer bits for a tensor: the fewest without overflow ('max'), or of those and some fewer ones the count of
    the least squared error ('mse'). form: width, sign and modes; hot: as in `cast`."""
    low, high = float(values.min()), float(values.max())
    overflow = "AP_SAT" if form.overflow == "AP_WRAP" else form.overflow
    top = integer_bits_for(low, high, form.width, form.signed, form.rounding, overflow)
    if start == "max" or low == high == 0:
        return float(top)
    best, error = top, math.inf
    for bits in range(top + (hot is not None), top - TRIED_BITS, -1):
        tried = FixedFormat(form.width, bits, form.rounding, overflow, form.signed)
        found = float((cast(values, tried, hot) - values).square().sum())
        if found < error:
            best, error = bits, found
    return float(best)
