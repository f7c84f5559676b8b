"""The network that quantization-aware training trains: a folded float chain with quantizers in it.

Its forward pass is the integer network's arithmetic in float32: weights, biases and activations lie on their
integer grids. Max pools are moved in front of the activation quantizer of the layer before them, which gives
the same integers (both are monotone), costs less and, for signs, gives the maximum a gradient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from accel.errors import ModelError, UnsupportedError
from accel.names import ACTIVATION_BITS, WEIGHT_BITS
from quant.arithmetic import multipliers
from quant.arithmetic.scales import BIAS_LIMIT, float32
from quant.frontend.floatnet import NO_CLAMP, FloatConv, has_weights
from quant.frontend.fold import PIXEL_SCALE
from quant.qat.method import Method
from quant.qat.norm import FoldedNorm, PositiveNorm
from quant.qat.ste import ActivationQuantizer, SignActivation, WeightQuantizer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from quant.frontend.floatnet import FloatPool, Weighted
    from quant.frontend.prepare import PreparedNetwork
    from quant.qat.ste import Quantizer

RELU = (0.0, math.inf)


@dataclass(frozen=True)
class Widths:
    """Bits of every layer with weights, in order: its weights, and its output (the last one is raw int32).

    full_range: weights may be -2^(b-1); the default is the symmetric range. requantizer: the multipliers of the
    build, a key of accel.names.REQUANTIZERS.
    """

    weight_bits: tuple[int, ...]
    activation_bits: tuple[int, ...]
    full_range: bool = False
    requantizer: str = "full"

    def __post_init__(self) -> None:
        multipliers.check_requantizer(self.requantizer)
        parts = ("weight", self.weight_bits, WEIGHT_BITS), ("activation", self.activation_bits, ACTIVATION_BITS)
        for what, values, allowed in parts:
            for bits in values:
                if bits not in allowed:
                    raise UnsupportedError(
                        f"{what} bits {bits} are not supported; choose from {', '.join(map(str, allowed))}"
                    )

    @classmethod
    def of(
        cls,
        layers: int,
        weight_bits: Iterable[int],
        activation_bits: Iterable[int],
        full_range: bool = False,
        requantizer: str = "full",
    ) -> Widths:
        """Widths for `layers` layers with weights; one value stands for all of them."""

        def expand(values: Iterable[int], count: int, what: str) -> tuple[int, ...]:
            values = tuple(values)
            if len(values) not in (1, count):
                raise ModelError(
                    f"{what} {','.join(map(str, values))} name {len(values)} layers where the "
                    f"network has {count}; give one value, or {count}"
                )
            return values * count if len(values) == 1 else values

        return cls(
            expand(weight_bits, layers, "weight bits"),
            expand(activation_bits, layers - 1, "activation bits") if layers > 1 else (),
            full_range,
            requantizer,
        )


class QatLayer(nn.Module):
    """Convolution or dense layer, the pools behind it and its output's quantizer.

    layer: FloatConv or FloatDense whose weights are the start. output_bits None: raw output.
    """

    def __init__(
        self, layer: Weighted, weight_bits: int, output_bits: int | None, widths: Widths, method: Method
    ) -> None:
        super().__init__()
        self.requantizer, self.method = widths.requantizer, method
        self.name, self.clamp, self.output_bits = layer.name, layer.clamp, output_bits
        self.is_conv = isinstance(layer, FloatConv)
        self.stride, self.pads = getattr(layer, "stride", (1, 1)), getattr(layer, "pads", (0, 0, 0, 0))
        self.pools: list[FloatPool] = []
        weight = layer.weight.float()
        self.quantizer = WeightQuantizer(
            weight, weight_bits, per_tensor=output_bits is None, full_range=widths.full_range, method=method
        )
        self.weight = nn.Parameter(self.quantizer.latent(weight))
        self.norm: nn.BatchNorm2d | None = None
        self.activation: ActivationQuantizer | SignActivation | None = None
        self.bias: nn.Parameter | None = None
        self.pools_first = method.norm_order == "pool"
        if output_bits == 1:
            self.norm = (PositiveNorm if self.pools_first else nn.BatchNorm2d)(len(weight))
            self.activation = SignActivation(method)
            return
        if method.batch_norm and output_bits is not None:
            self.norm = FoldedNorm(layer.bias)
        else:
            self.bias = nn.Parameter(layer.bias.float())
        if output_bits is not None:
            self.activation = ActivationQuantizer(
                output_bits, unsigned=layer.clamp[0] >= 0, half_up=widths.requantizer != "full", method=method
            )

    def folding(self) -> FoldedNorm | None:
        """The batch norm that is part of the weights' scales: the layer has one, and its statistics stand still."""
        norm = self.norm if isinstance(self.norm, FoldedNorm) else None
        return None if norm is None or norm.training or norm.is_new() else norm

    def weight_scale(self, source: Quantizer) -> torch.Tensor:
        """Scales of the weights [OC or 1, 1, ...], widened to what the biases need to fit int32, and to what the
        requantizer's multipliers stand for."""
        scale = self._holding_bias(self.quantizer.scale(self.weight), source)
        if self.requantizer == "full" or self.output_bits in (None, 1):
            return scale
        if self.activation is None or self.activation.is_new():
            return scale
        real = (self._with_norm(scale) * (source.scale() / self.activation.scale())).detach()
        return scale * multipliers.widening(real, self.requantizer)

    def _holding_bias(self, scale: torch.Tensor, source: Quantizer) -> torch.Tensor:
        """The scales, at least so large that no bias is more than BIAS_LIMIT steps of the accumulator."""
        norm = self.folding()
        bias = self.bias if norm is None else norm.folded_bias()
        if bias is None:
            return scale
        least = bias.detach().abs() / (source.scale().detach() * BIAS_LIMIT)
        if norm is not None:
            least = least / norm.factor().detach()
        least = least.max() if scale.numel() == 1 else least
        return torch.maximum(scale, least.reshape(scale.shape))

    def _with_norm(self, scale: torch.Tensor) -> torch.Tensor:
        norm = self.folding()
        if norm is None:
            return scale
        return scale * norm.factor().reshape(-1, *(1,) * (self.weight.dim() - 1))

    def folded(self, source: Quantizer) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(scale of the integers [OC or 1, 1, ...], bias float [OC] or None) with a batch norm of 8 to 2 bits in them:
        the layer's sum is scale * source's scale * (sum of integer products) + bias."""
        scale, norm = self._with_norm(self.weight_scale(source)), self.folding()
        return scale, self.bias if norm is None else norm.folded_bias()

    def forward(self, x: torch.Tensor, source: Quantizer) -> torch.Tensor:
        """x: real values [N, C, H, W] of the layer's input; source: the quantizer that made them."""
        scale = self.weight_scale(source)
        weight = self.quantizer(self.weight, scale)
        norm = self.norm
        if self.folding() is not None:
            weight, norm = self._with_norm(weight), None
        bias = self._bias_on_grid(source, scale)
        if self.is_conv:
            x, inside = self._pad(x, source)
            x = functional.conv2d(x, weight, bias, self.stride, inside)
        else:
            x = functional.linear(x.permute(0, 2, 3, 1).flatten(1), weight, bias)[..., None, None]
        if norm is not None and not self.pools_first:
            x = self._normalize(x, norm)
        for pool in self.pools:
            x = pool.forward(x)
        if norm is not None and self.pools_first:
            x = self._normalize(x, norm)
        if self.clamp not in (NO_CLAMP, RELU) and self.output_bits != 1:
            x = x.clamp(*self.clamp)  # an unsigned grid is the ReLU
        return x if self.activation is None else self.activation(x)

    def _bias_on_grid(self, source: Quantizer, scale: torch.Tensor) -> torch.Tensor | None:
        """The bias in steps of the accumulator, with a gradient; None where a batch norm of its own follows."""
        bias: torch.Tensor | None = self.bias
        norm = self.folding()
        if norm is not None:
            bias, scale = norm.folded_bias(), self._with_norm(scale)
        if bias is None:
            return None
        step = (scale.flatten() * source.scale()).detach()
        return torch.round(bias.detach() / step) * step + (bias - bias.detach())

    def _normalize(self, x: torch.Tensor, norm: nn.BatchNorm2d) -> torch.Tensor:
        if isinstance(norm, FoldedNorm) and norm.is_new():
            norm.begin(x)
        return norm(x)

    def _pad(self, x: torch.Tensor, source: Quantizer) -> tuple[torch.Tensor, int | tuple[int, int]]:
        """(x with its pads, padding left to the convolution): -1 around signs, else 0."""
        top, bottom, left, right = self.pads
        if top == bottom and left == right and source.bits > 1:
            return x, (top, left)
        return functional.pad(x, (left, right, top, bottom), value=-1.0 if source.bits == 1 else 0.0), 0


class InputQuantizer(nn.Module):
    """The uint8 image, which is on its grid already."""

    bits = 8

    def __init__(self, zero_point: int) -> None:
        super().__init__()
        self.zero_point = zero_point

    def scale(self) -> torch.Tensor:
        """One grey level."""
        return torch.tensor(float32(PIXEL_SCALE))


class QatNetwork(nn.Module):
    """A PreparedNetwork (uint8 input) with quantizers. forward: float32 [N, C, H, W] -> logits [N, classes]."""

    layers: Any  # nn.ModuleList of QatLayers

    def __init__(self, prepared: PreparedNetwork, widths: Widths, method: Method | None = None) -> None:
        super().__init__()
        self.method = method = method or Method()
        network = prepared.network
        if prepared.encoding != "uint8":
            raise UnsupportedError(
                f"{network.name}: quantization-aware training reads uint8 images, not '{prepared.encoding}'"
            )
        if not has_weights(network.layers[0]) or not has_weights(network.layers[-1]):
            raise UnsupportedError(f"{network.name}: the first and the last layer must be a Conv2d or a Linear")
        if network.layers[-1].clamp != NO_CLAMP:
            raise UnsupportedError(f"{network.name}: the last layer is clamped; let it put out logits")
        self.prepared, self.widths = prepared, widths
        self.source = InputQuantizer(prepared.zero_point or 0)
        self.layers = nn.ModuleList()
        outputs = (*widths.activation_bits, None)
        for layer in network.layers:
            if has_weights(layer):
                index = len(self.layers)
                self.layers.append(QatLayer(layer, widths.weight_bits[index], outputs[index], widths, method))
            else:
                self.layers[-1].pools.append(layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        source: Quantizer = self.source
        for layer in self.layers:
            x, source = layer(x, source), layer.activation
        return x.flatten(1)

    def hold_norms(self, is_held: bool) -> None:
        """Let the batch norms use and keep their statistics (True) or those of each batch (False)."""
        for layer in self.layers:
            if layer.norm is not None:
                layer.norm.train(not is_held)

    @torch.no_grad()
    def clip_latent(self) -> None:
        """Bring the latent weights of signs back to -1..1."""
        for layer in self.layers:
            if layer.quantizer.bits == 1:
                layer.weight.clamp_(-1, 1)

    def penalty(self) -> torch.Tensor | float:
        """What the quantizers add to the loss."""
        return sum(layer.activation.penalty() for layer in self.layers[:-1])
