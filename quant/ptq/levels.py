"""The integers that a weight may take, and the ones beside a real value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence


def default_levels(low: int, high: int) -> torch.Tensor:
    """Every integer of low..high, float64."""
    return torch.arange(low, high + 1, dtype=torch.float64)


def as_levels(levels: Sequence[int] | torch.Tensor | None, low: int, high: int) -> torch.Tensor:
    """Sorted float64 levels inside low..high; None gives every integer."""
    if levels is None:
        return default_levels(low, high)
    levels = torch.as_tensor(levels, dtype=torch.float64).sort().values
    return levels[(levels >= low) & (levels <= high)]


def neighbours(values: torch.Tensor, levels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(below, above): the levels on both sides of every value, float64 like `values`.

    levels: float64, ascending. A value outside them gets the outermost level twice; a value on a level gets it as
    `below` and the next as `above`.
    """
    place = torch.searchsorted(levels, values.contiguous(), right=True)
    last = len(levels) - 1
    below, above = levels[(place - 1).clamp(min=0)], levels[place.clamp(max=last)]
    return below, above


def nearest(values: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """The nearest level of every value, float64; a tie goes to the even integer, else to the lower one."""
    below, above = neighbours(values, levels)
    down, up = values - below, above - values
    to_above = (up < down) | ((up == down) & (above % 2 == 0) & (below % 2 != 0))
    return torch.where(to_above, above, below)
