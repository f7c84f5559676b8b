"""Weights of few integers: powers of two, and sums or differences of two powers of two.

A shift-add array multiplies by them without a multiplier; the ordinary array takes them as any other integer.
"""

from __future__ import annotations

import torch

from accel.errors import UnsupportedError
from quant.names import WEIGHT_LEVELS

POWERS = tuple(1 << shift for shift in range(8))


def representable(low: int, high: int) -> list[int]:
    """Sorted integers of low..high that are +-2^a +-2^b, a and b in 0..7."""
    signed = [*POWERS, *(-power for power in POWERS)]
    return sorted({a + b for a in signed for b in signed if low <= a + b <= high})


def powers(low: int, high: int) -> list[int]:
    """Sorted integers of low..high that are 0 or +-2^a, a in 0..7."""
    return sorted(value for value in (0, *POWERS, *(-power for power in POWERS)) if low <= value <= high)


def levels(kind: str, low: int, high: int) -> list[int]:
    """Sorted integers of low..high that weights of a kind of WEIGHT_LEVELS may be. Raises UnsupportedError."""
    if kind == "uniform":
        return list(range(low, high + 1))
    if kind not in WEIGHT_LEVELS:
        raise UnsupportedError(f"weight levels '{kind}' are unknown; choose one of {', '.join(WEIGHT_LEVELS)}")
    return powers(low, high) if kind == "pow2" else representable(low, high)


def round_weights(values: torch.Tensor, low: int, high: int, kind: str = "khot2") -> torch.Tensor:
    """Real values in steps of the scale -> the nearest integers of a kind, int64; a tie goes to the smaller
    magnitude."""
    allowed = torch.tensor(sorted(levels(kind, low, high), key=abs), dtype=torch.float64)
    nearest = (values.double().unsqueeze(-1) - allowed).abs().argmin(-1)
    return allowed[nearest].long()
