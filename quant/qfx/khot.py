"""K-hot numbers: a sign and a sum of at most K powers of two, so that a product is K shifted terms and no multiplier
(QFX, arXiv 2401.17544, multiplier-free quantization)."""

from __future__ import annotations

import torch


def largest(terms: int, limit: int) -> int:
    """The largest sum of at most `terms` distinct powers of two 2^0, 2^1, ... that is not above an integer limit."""
    total = 0
    for _ in range(terms):
        rest = limit - total
        if rest < 1:
            break
        total += 1 << (rest.bit_length() - 1)
    return total


def round_khot(steps: torch.Tensor, terms: int, limit: int) -> torch.Tensor:
    """Real values in steps of the grid -> the nearest integers +-(2^a + 2^b + ...) with at most `terms` powers and
    a magnitude of at most `limit`; a tie goes to the smaller magnitude. Same dtype and shape."""
    magnitude = steps.abs().clamp(max=largest(terms, limit))
    return torch.sign(steps) * _nearest(magnitude, terms)


def _nearest(values: torch.Tensor, terms: int) -> torch.Tensor:
    """Nearest sums for values >= 0. A sum that is at least the leading power 2^e of v and below 2^(e+1) is 2^e plus a
    sum of one term less; 2^(e+1) is the only candidate above, and 2^e itself is nearer than all below."""
    if terms == 0:
        return torch.zeros_like(values)
    mantissa, exponent = torch.frexp(values)
    lead = torch.where(values >= 1, values / (2 * mantissa), 1.0)  # exact: 2^(exponent - 1)
    below = lead + _nearest((values - lead).clamp(min=0), terms - 1)
    found = torch.where(values - below <= 2 * lead - values, below, 2 * lead)
    return torch.where(values >= 1, found, (values > 0.5).to(values.dtype))
