"""Gives every stage its place in the memories and says which memory is too small.

Weights and parameters lie one stage after the other. Activations alternate between the two ends of the
activation memory, so that a stage's input and output never overlap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from accel.config import DEPTH_LIMITS, HOST_REGION_WORDS
from accel.errors import FitError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from accel.config import HardwareConfig

SMALLEST = {option: low for option, (low, _) in DEPTH_LIMITS.items()}
UNITS = {
    "weight_depth": "words",
    "param_depth": "entries",
    "act_depth": "words",
    "line_depth": "words",
    "pool_depth": "entries",
    "max_layers": "descriptors",
}
LARGEST = {option: high for option, (_, high) in DEPTH_LIMITS.items()}


@dataclass(frozen=True)
class Placement:
    """First words of one stage; in_base and out_base are 0 where the stage reads or writes the stream."""

    weight_base: int
    param_base: int
    in_base: int
    out_base: int


@dataclass(frozen=True)
class Needs:
    """Words or entries that one stage needs of every memory."""

    name: str
    weights: int
    param_groups: int
    in_words: int
    out_words: int
    line: int
    pool: int


def place(needs: Sequence[Needs], config: HardwareConfig) -> list[Placement]:
    """One Placement a stage. Raises FitError that names the memory, the need and the option that helps."""
    check_fit(needs, config)
    placements, weight_base, param_base, in_base = [], 0, 0, 0
    for index, need in enumerate(needs):
        out_base = config.act_depth - need.out_words if index % 2 and need.out_words else 0
        placements.append(Placement(weight_base, param_base, in_base, out_base))
        weight_base += need.weights
        param_base += need.param_groups
        in_base = out_base
    return placements


def memory_needs(needs: Sequence[Needs], config: HardwareConfig) -> dict[str, tuple[int, str]]:
    """{option of HardwareConfig: (smallest value that fits, who needs it)} of a whole program."""
    params = sum(need.param_groups for need in needs) * config.req_lanes
    act_name, act_words = _largest(needs, lambda need: need.in_words + need.out_words)
    line_name, line_words = _largest(needs, lambda need: need.line)
    pool_name, pool_entries = _largest(needs, lambda need: need.pool)
    return {  # the line buffer first: what fits it decides how many weights are stored
        "line_depth": (line_words, f"{line_name}: its rows in the line buffer need"),
        "weight_depth": (sum(need.weights for need in needs), "the weights of all layers need"),
        "param_depth": (params, "the parameters of all layers need"),
        "act_depth": (act_words, f"{act_name}: input and output together need"),
        "pool_depth": (pool_entries, f"{pool_name}: its rows in the pooling memory need"),
        "max_layers": (len(needs), "the layers of the program need"),
    }


def _largest(needs: Sequence[Needs], measure: Callable[[Needs], int]) -> tuple[str, int]:
    need = max(needs, key=measure)
    return need.name, measure(need)


def check_fit(needs: Sequence[Needs], config: HardwareConfig) -> None:
    """Raise FitError for the first memory that is too small."""
    for option, (needed, purpose) in memory_needs(needs, config).items():
        available = getattr(config, option)
        if needed > available:
            raise FitError(
                f"{purpose} {needed} {UNITS[option]} but {option} is {available}; "
                f"{_remedy(option, smallest_depth(option, needed))}"
            )


def _remedy(option: str, depth: int) -> str:
    larger = {
        "weight_depth": "choose a larger array (rows, lanes)",
        "act_depth": "raise lanes",
        "line_depth": "raise lanes",
    }.get(option)
    if depth > LARGEST[option]:
        return f"{larger or 'use a smaller network'}: {option} cannot exceed {LARGEST[option]}"
    return f"raise {option} to {depth}" + (f" or {larger}" if larger else "")


def roomiest(config: HardwareConfig) -> HardwareConfig:
    """`config` with the largest depths that can be built at its size."""
    weight_depth = min(LARGEST["weight_depth"], 4 * HOST_REGION_WORDS // (config.rows * config.lanes))
    depths: dict[str, Any] = dict(LARGEST, weight_depth=weight_depth)
    return replace(config, **depths)


def smallest_depth(option: str, needed: int) -> int:
    """Smallest depth that can be built and holds `needed` entries."""
    return max(SMALLEST[option], 1 << max(0, needed - 1).bit_length())


def fitted(needs: Sequence[Needs], config: HardwareConfig) -> HardwareConfig:
    """`config` with the smallest depths that hold a program. Raises FitError beyond what can be built."""
    depths: dict[str, Any] = {}
    for option, (needed, purpose) in memory_needs(needs, config).items():
        depths[option] = smallest_depth(option, needed)
        check_buildable(option, needed, purpose)
    return replace(config, **depths)


def check_buildable(option: str, needed: int, purpose: str) -> None:
    """Raise FitError where no build has so large a memory; purpose: who needs it."""
    if needed > LARGEST[option]:
        raise FitError(f"{purpose} {needed} {UNITS[option]}; {_remedy(option, smallest_depth(option, needed))}")
