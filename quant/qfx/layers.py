"""Fixed-point layers for a user's own model. Each casts its input and its weights and puts out exact sums; the cast of
the layer behind is what the accelerator does when it requantizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import nn
from torch.nn import functional

from accel.errors import ModelError, UnsupportedError
from quant.qfx.format import FixedFormat
from quant.qfx.ops import replace
from quant.qfx.quantizer import FixedQuantizer, SignQuantizer

if TYPE_CHECKING:
    from typing import Any, Self

    from quant.frontend.floatnet import FloatPool

GREY_LEVELS = 255
LATENT_MEAN = 0.3  # magnitude that the weights behind signs start with: the gradient passes up to 1

Options: TypeAlias = Mapping[str, Any]  # keywords of a FixedQuantizer


class FixedInput(nn.Module):
    """Images in [0, 1] (grey level / 255) -> (grey level - zero_level) / 256, words of 8 bits behind the point.

    zero_level: the grey level that is 0 for the network and that padding means.
    """

    def __init__(self, zero_level: int = 0) -> None:
        super().__init__()
        if not 0 <= zero_level <= GREY_LEVELS:
            raise ModelError(f"zero level {zero_level} must be a grey level 0..{GREY_LEVELS}")
        self.zero_level = zero_level

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (torch.round(x * GREY_LEVELS).clamp(0, GREY_LEVELS) - self.zero_level) / (GREY_LEVELS + 1)

    def step(self) -> torch.Tensor:
        """One grey level."""
        return torch.tensor(1 / (GREY_LEVELS + 1))


class FixedMaxPool(nn.Module):
    """Max pool with four pads: pool is a FloatPool. (nn.MaxPool2d does as well in a user's model.)"""

    def __init__(self, pool: FloatPool) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pool.forward(x)


class _Weighted:
    """What convolution and dense layer share: quantizers of input and weights, the bias on the sums' grid."""

    weight: torch.Tensor
    bias: Any  # a parameter, a tensor or None: PyTorch says it in two ways
    weights: FixedQuantizer | SignQuantizer
    input: FixedQuantizer | SignQuantizer | None
    source: tuple[FixedInput] | None

    def _prepare(
        self,
        weight_width: int,
        input_width: int | None,
        per_channel: bool,
        input_signed: bool | None,
        weights: Options | None,
        inputs: Options | None,
    ) -> None:
        channels = len(self.weight) if per_channel else None
        if weight_width == 1:
            kept = {key: value for key, value in (weights or {}).items() if key in ("rate", "learn")}
            self.weights = SignQuantizer(weights=True, channels=channels, dim=self.weight.dim(), **kept)
        else:
            given_options: dict[str, Any] = {"overflow": "AP_SAT_SYM", **(weights or {})}
            self.weights = FixedQuantizer(weight_width, channels=channels, dim=self.weight.dim(), **given_options)
        if input_width is None:
            self.input = None
        elif input_width == 1:
            self.input = SignQuantizer()
        else:
            self.input = FixedQuantizer(input_width, signed=input_signed, **(inputs or {}))
        self.source = None

    def reads(self, source: FixedInput) -> Self:
        """Take the input as it is, from a module with a `step()` (FixedInput), instead of casting it; returns self."""
        self.input, self.source = None, (source,)  # a tuple, so that it is no submodule here
        return self

    @torch.no_grad()
    def take(self, weight: torch.Tensor, bias: torch.Tensor | None, stretch: bool) -> Self:
        """Weights and bias of a float layer; those behind signs are stretched to where the gradient passes."""
        self.weight.copy_(weight)
        if stretch:
            self.weights.observe(self.weight)
            mean = self.weight.abs().mean().clamp(min=1e-12)
            self.weight.copy_((self.weight * (LATENT_MEAN / mean)).clamp(-1, 1))
        if self.bias is not None:
            self.bias.copy_(torch.zeros_like(self.bias) if bias is None else bias)
        return self

    def input_step(self) -> torch.Tensor:
        """The step of the input's grid."""
        if self.input is not None:
            return self.input.step()
        if self.source is None:
            raise ModelError("a layer with input_width=None must be told what it reads; call .reads(FixedInput())")
        return self.source[0].step()

    def sum_step(self) -> torch.Tensor:
        """The step of the sums, [OC] or without axes: input step * weight step."""
        step = self.weights.step() * self.input_step()
        return step.reshape(-1) if step.numel() > 1 else step.reshape(())

    def _operands(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """(cast input, cast weights, bias on the grid of the sums)."""
        x = x if self.input is None else self.input(x)
        weight, bias = self.weights(self.weight), self.bias
        if bias is not None:
            step = self.sum_step().to(bias.dtype)
            bias = replace(bias, torch.round(bias.detach() / step) * step)
        return x, weight, bias


class FixedConv2d(_Weighted, nn.Conv2d):
    """nn.Conv2d (groups 1, dilation 1, zero padding) in fixed point: casts input and weights, puts out exact sums
    (in float32 as long as a sum has at most 24 bits, in float64 always).

    weight_width, input_width: bits, 1 means signs (-1, +1; padding is -1 then); input_width None: the input is on a
    grid already, see `reads`. input_signed None: the first batch decides. per_channel: a binary point per output
    channel of the weights. weights, inputs: further options of their FixedQuantizers; weights saturate to the symmetric
    range (AP_SAT_SYM) unless these say otherwise. pads: (top, bottom, left,
    right), instead of `padding`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        bias: bool = True,
        *,
        weight_width: int = 8,
        input_width: int | None = 8,
        input_signed: bool | None = None,
        per_channel: bool = False,
        pads: tuple[int, int, int, int] | None = None,
        weights: Options | None = None,
        inputs: Options | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, bias=bias)
        if pads is None:
            if isinstance(self.padding, str):
                raise UnsupportedError(f"padding='{self.padding}' is not supported; give it in numbers")
            top, left = self.padding
            pads = (top, top, left, left)
        self.pads = pads
        if len(self.pads) != 4 or min(self.pads) < 0:
            raise ModelError(f"pads {self.pads} must be four numbers of at least 0 (top, bottom, left, right)")
        self._prepare(weight_width, input_width, per_channel, input_signed, weights, inputs)

    @classmethod
    def of(cls, layer: nn.Conv2d, **options: Any) -> Self:
        """The fixed-point form of an nn.Conv2d, with its weights."""
        padding = (0, 0) if layer.padding == "valid" else layer.padding
        plain = layer.groups == 1 and layer.dilation == (1, 1) and layer.padding_mode == "zeros"
        if not plain or isinstance(padding, str):
            raise UnsupportedError(f"{layer}: only groups 1, dilation 1 and zero padding in numbers are supported")
        (rows, columns), (down, right), (top, left) = layer.kernel_size, layer.stride, padding
        fixed = cls(
            layer.in_channels,
            layer.out_channels,
            (rows, columns),
            (down, right),
            (top, left),
            layer.bias is not None,
            **options,
        )
        return fixed.take(layer.weight, layer.bias, isinstance(fixed.weights, SignQuantizer))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, weight, bias = self._operands(x)
        top, bottom, left, right = self.pads
        if isinstance(self.input, SignQuantizer):
            x, padding = functional.pad(x, (left, right, top, bottom), value=-1.0), (0, 0)
        elif top == bottom and left == right:
            padding = (top, left)
        else:
            x, padding = functional.pad(x, (left, right, top, bottom)), (0, 0)
        return functional.conv2d(x, weight, bias, self.stride, padding)


class FixedLinear(_Weighted, nn.Linear):
    """nn.Linear in fixed point; options as FixedConv2d."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        weight_width: int = 8,
        input_width: int | None = 8,
        input_signed: bool | None = None,
        per_channel: bool = False,
        weights: Options | None = None,
        inputs: Options | None = None,
    ) -> None:
        super().__init__(in_features, out_features, bias)
        self._prepare(weight_width, input_width, per_channel, input_signed, weights, inputs)

    @classmethod
    def of(cls, layer: nn.Linear, **options: Any) -> Self:
        """The fixed-point form of an nn.Linear, with its weights."""
        fixed = cls(layer.in_features, layer.out_features, layer.bias is not None, **options)
        return fixed.take(layer.weight, layer.bias, isinstance(fixed.weights, SignQuantizer))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, weight, bias = self._operands(x)
        return functional.linear(x, weight, bias)


def binary_points(module: nn.Module) -> dict[str, str | list[str]]:
    """{name of a cast: its FixedFormat as text, or a list of them} of every learned cast in a module."""
    found = {}
    for name, part in module.named_modules():
        if isinstance(part, (FixedQuantizer, SignQuantizer)) and not part.is_new():
            texts = [str(form) for form in part.formats]
            found[name] = texts[0] if len(texts) == 1 else texts
    return found


def given(text: str, **options: Any) -> FixedQuantizer:
    """A FixedQuantizer of a type that is given, not learned: given("ap_fixed<8,2,AP_RND,AP_SAT>")."""
    form = FixedFormat.parse(text)
    return FixedQuantizer(
        form.width,
        form.integer_bits,
        signed=form.signed,
        rounding=form.rounding,
        overflow=form.overflow,
        learn=False,
        **options,
    )
