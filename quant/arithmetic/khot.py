"""Weights that are sums or differences of two powers of two: a shift-add array multiplies by them without a
multiplier, the ordinary array takes them as any other integer."""

import torch

POWERS = tuple(1 << shift for shift in range(8))


def representable(low, high):
    """Sorted integers of low..high that are +-2^a +-2^b, a and b in 0..7."""
    signed = [*POWERS, *(-power for power in POWERS)]
    return sorted({a + b for a in signed for b in signed if low <= a + b <= high})


def round_weights(values, low, high):
    """Real values in steps of the scale -> the nearest representable integers, int64; a tie goes to the smaller
    magnitude."""
    allowed = torch.tensor(sorted(representable(low, high), key=abs), dtype=torch.float64)
    nearest = (values.double().unsqueeze(-1) - allowed).abs().argmin(-1)
    return allowed[nearest].long()
