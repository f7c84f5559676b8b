"""Batch norms of quantized layers."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

SMALLEST_FACTOR = 2.0**-12


class PositiveNorm(nn.BatchNorm2d):
    """Batch norm whose gamma counts by its absolute value, so that it is monotone: a max pool may stand on either
    side of it, and nothing is lost, as the weights before it have signs of their own."""

    running_mean: torch.Tensor
    running_var: torch.Tensor
    num_batches_tracked: torch.Tensor
    momentum: float

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.num_batches_tracked.add_(1)
        return functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight.abs(), self.bias, self.training, self.momentum, self.eps
        )

    def plain(self) -> nn.BatchNorm2d:
        """The same function as a BatchNorm2d."""
        norm = nn.BatchNorm2d(self.num_features, self.eps, self.momentum)
        norm.load_state_dict(self.state_dict())
        with torch.no_grad():
            norm.weight.abs_()
        return norm.train(self.training)


class FoldedNorm(PositiveNorm):
    """Batch norm behind a layer of 8 to 2 bits, in front of whose output quantizer it is folded away.

    offset: float [OC], the layer's bias: the first batch sets statistics, gamma and beta such that the norm adds just
    this bias, so training starts from the same function.
    """

    offset: torch.Tensor

    def __init__(self, offset: torch.Tensor) -> None:
        super().__init__(len(offset))
        self.register_buffer("offset", offset.detach().float(), persistent=False)
        self.running_var.fill_(math.nan)

    def is_new(self) -> bool:
        """Whether no batch has set the statistics yet."""
        return bool(torch.isnan(self.running_var).any())

    @torch.no_grad()
    def begin(self, x: torch.Tensor) -> None:
        """Set statistics, gamma and beta from values x [N, OC, H, W]."""
        variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
        self.running_var.copy_(variance)
        self.running_mean.copy_(mean)
        self.weight.copy_((variance + self.eps).sqrt())
        self.bias.copy_(mean + self.offset)

    def factor(self) -> torch.Tensor:
        """What gamma and the statistics multiply a channel by, float [OC]; never 0, so that the channel has a scale."""
        return (self.weight.abs() / (self.running_var + self.eps).sqrt()).clamp(min=SMALLEST_FACTOR)

    def folded_bias(self) -> torch.Tensor:
        """What they add, float [OC]."""
        return self.bias - self.running_mean * self.factor()
