"""Element-wise layers in fixed point: y = w * (x + b) per channel, the order of the accelerator's requantizer.

With K-hot multipliers w a product is K shifted terms: no multiplier, no DSP (QFX, arXiv 2401.17544).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import nn

from accel.errors import ModelError
from quant.qfx.ops import replace
from quant.qfx.quantizer import FixedQuantizer

if TYPE_CHECKING:
    from typing import Any, Self

    from quant.qfx.layers import FixedConv2d, FixedLinear

Options: TypeAlias = Mapping[str, Any]  # keywords of a FixedQuantizer


class _Affine(nn.Module):
    """Casts the input (or takes the exact sums of the layer before), adds b on that grid, multiplies by cast w.

    channels: on axis 1. width: bits of the multipliers. hot: at most so many powers of two in each, None for any.
    behind: the FixedConv2d or FixedLinear whose sums it reads; without it the input is cast to `input_width` bits.
    output_width: bits that the result is cast to, None for the exact result. weights, inputs, outputs: further
    options of the FixedQuantizers.
    """

    def __init__(
        self,
        channels: int,
        *,
        width: int = 8,
        hot: int | None = None,
        behind: FixedConv2d | FixedLinear | None = None,
        input_width: int = 16,
        output_width: int | None = None,
        weights: Options | None = None,
        inputs: Options | None = None,
        outputs: Options | None = None,
    ) -> None:
        super().__init__()
        self.channels, self.width, self.hot = channels, width, hot
        self.scales = FixedQuantizer(width, hot=hot, **(weights or {}))
        self.before = (behind,) if behind is not None else None  # a tuple, so that it is no submodule here
        self.input = None if behind is not None else FixedQuantizer(input_width, **(inputs or {}))
        self.output = None if output_width is None else FixedQuantizer(output_width, **(outputs or {}))

    def _columns(self, values: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return values.reshape(1, -1, *(1,) * (x.dim() - 2))

    def grid(self) -> torch.Tensor:
        """The step of the input's grid, [C] or without axes."""
        if self.before is not None:
            return self.before[0].sum_step()
        if self.input is None:
            raise ModelError("an element-wise layer reads sums or casts its input")
        return self.input.step()

    def _check(self, x: torch.Tensor) -> None:
        if x.dim() < 2 or x.shape[1] != self.channels:
            raise ModelError(
                f"an element-wise layer of {self.channels} channels got a tensor of {list(x.shape)}; it "
                f"needs [N, {self.channels}, ...]"
            )

    def _apply_affine(self, x: torch.Tensor, scale: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
        """x already cast; scale: values of the multipliers' format; offset real, rounded to the grid here."""
        step = self.grid().to(x.dtype)
        offset = replace(offset, torch.round(offset.detach() / step) * step)
        y = (x + self._columns(offset, x)) * self._columns(scale, x)
        return y if self.output is None else self.output(y)

    def extra_repr(self) -> str:
        return f"{self.channels}"


class FixedElementwise(_Affine):
    """y = w * (x + b), one learned w and b per channel; with hot=2 every w is +-2^a +-0 or +-(2^a + 2^b)."""

    def __init__(self, channels: int, *, hot: int | None = 2, **options: Any) -> None:
        super().__init__(channels, hot=hot, **options)
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    @classmethod
    def of(cls, norm: nn.BatchNorm1d | nn.BatchNorm2d, **options: Any) -> Self:
        """The layer that computes what a trained nn.BatchNorm does at inference. Raises ModelError for gamma = 0."""
        mean, variance = norm.running_mean, norm.running_var
        if mean is None or variance is None:
            raise ModelError(f"batch norm of {norm.num_features} channels keeps no statistics; train it with them")
        layer = cls(norm.num_features, **options)
        with torch.no_grad():
            scale = norm.weight / torch.sqrt(variance + norm.eps)
            if (scale == 0).any():
                raise ModelError(
                    f"batch norm of {norm.num_features} channels has gamma 0, which no multiplier and "
                    "offset of the input express; prune the channel"
                )
            layer.weight.copy_(scale)
            layer.bias.copy_(norm.bias / scale - mean)
        return layer

    def coefficients(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(multipliers, offsets before rounding to the grid), both [C], as used at inference."""
        return self.scales(self.weight), self.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self._check(x)
        x = x if self.input is None else self.input(x)
        return self._apply_affine(x, *self.coefficients())


class FixedBatchNorm(_Affine):
    """nn.BatchNorm1d, nn.BatchNorm2d in fixed point: w = gamma / sqrt(var + eps) is cast, b = beta / w - mean lies on
    the input's grid, y = w * (x + b).

    In training mode mean and variance are the batch's and the running ones follow, as in nn.BatchNorm. A multiplier
    that would round to 0 becomes one step, so that b exists.
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor
    num_batches_tracked: torch.Tensor

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        *,
        width: int = 16,
        hot: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(num_features, width=width, hot=hot, **options)
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    @classmethod
    def of(cls, norm: nn.BatchNorm1d | nn.BatchNorm2d, **options: Any) -> Self:
        """The fixed-point form of an nn.BatchNorm1d or nn.BatchNorm2d, with its parameters and statistics."""
        layer = cls(norm.num_features, norm.eps, norm.momentum, **options)
        layer.load_state_dict(norm.state_dict(), strict=False)
        return layer.to(norm.weight.dtype)

    def coefficients(
        self, mean: torch.Tensor | None = None, variance: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(multipliers, offsets before rounding to the grid), both [C]; the running statistics if none are given."""
        mean = self.running_mean if mean is None else mean
        variance = self.running_var if variance is None else variance
        scale = self.scales(self.weight / torch.sqrt(variance + self.eps))
        smallest = self.scales.step().to(scale.dtype)
        nonzero = torch.where(self.weight.detach() < 0, -smallest, smallest)
        scale = replace(scale, torch.where(scale.detach() == 0, nonzero, scale.detach()))
        return scale, self.bias / scale - mean

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self._check(x)
        x = x if self.input is None else self.input(x)
        if not self.training:
            return self._apply_affine(x, *self.coefficients())
        axes = [axis for axis in range(x.dim()) if axis != 1]
        mean, variance = x.mean(axes), x.var(axes, unbiased=False)
        count = x.numel() / self.channels
        if count < 2:
            raise ModelError(
                f"batch norm of {self.channels} channels got one value per channel while training; give a larger batch"
            )
        with torch.no_grad():
            self.num_batches_tracked += 1
            share = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(variance * (count / (count - 1)), share)
        return self._apply_affine(x, *self.coefficients(mean, variance))
