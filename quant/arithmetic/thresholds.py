"""Batch norm and sign as an integer comparison, in exact arithmetic.

y = +1 where gamma * (scale * acc - mean) / sqrt(variance) + beta >= 0, else -1. For gamma > 0 that is
acc >= ceil(t), for gamma < 0 it is acc < floor(t) + 1, for gamma = 0 the constant sign(beta). The square root is
irrational, so no rational t is formed: the integer where the test changes is found by halving the accumulator's range.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from accel.errors import RangeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from accel.types import Flags, Ints


@dataclass(frozen=True)
class Norm:
    """One channel's batch norm over scale * acc: five numbers that Fraction takes exactly; variance > 0."""

    scale: Fraction
    gamma: Fraction
    mean: Fraction
    variance: Fraction
    beta: Fraction

    def is_positive(self, acc: int) -> bool:
        """Whether the sign of the batch norm is +1 at an integer accumulator; sign(0) = +1."""
        rational, factor = self.gamma * (self.scale * acc - self.mean), self.beta
        squares = rational * rational - factor * factor * self.variance
        if rational >= 0 and factor >= 0:
            return True
        if rational >= 0:
            return squares >= 0
        return factor > 0 and squares <= 0


def fold_norm(norm: Norm, low: int, high: int) -> tuple[int, bool]:
    """(threshold, invert) of one channel for accumulators in low..high; threshold lies in low..high + 1."""
    if norm.gamma == 0:
        return (low if norm.beta >= 0 else high + 1), False
    invert = norm.gamma < 0
    first, last = low, high + 1  # the test holds from some integer of first..last on
    while first < last:
        middle = (first + last) // 2
        if norm.is_positive(middle) != invert:
            last = middle
        else:
            first = middle + 1
    return first, invert


def fold_batch_norm(
    name: str,
    norm: torch.nn.modules.batchnorm._BatchNorm,
    scale: Sequence[Fraction],
    low: Sequence[int] | Ints,
    high: Sequence[int] | Ints,
) -> tuple[Ints, Flags]:
    """(threshold int64[OC], invert bool[OC]) of an nn.BatchNorm behind accumulators low..high (int64 [OC]).

    scale: one Fraction per channel, real = scale * acc. Raises RangeError where the norm cannot be folded.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise RangeError(f"{name}: its batch norm keeps no statistics; train it with track_running_stats=True")
    tensors = norm.weight, norm.running_mean, norm.running_var, norm.bias
    numbers = [tensor.detach().double().tolist() for tensor in tensors]
    pairs = []
    for channel, (gamma, mean, variance, beta) in enumerate(zip(*numbers, strict=True)):
        exact = Fraction(variance) + Fraction(norm.eps)
        if exact <= 0:
            raise RangeError(
                f"{name}: running_var + eps of channel {channel} is {float(exact)}, which must be "
                "positive; train the model again"
            )
        values = Norm(scale[channel], Fraction(gamma), Fraction(mean), exact, Fraction(beta))
        pairs.append(fold_norm(values, int(low[channel]), int(high[channel])))
    threshold, invert = zip(*pairs, strict=True)
    return np.array(threshold, dtype=np.int64), np.array(invert, dtype=bool)
