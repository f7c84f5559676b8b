"""The widths that a report compares, and what the literature lets one expect of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True)
class Width:
    """weight_bits, activation_bits: of every layer after training; None where a search chooses. zoo: suffix of the
    zoo's trained network. expected: (worst, best) change of the accuracy in points that the literature reports for
    post-training and quantization-aware methods together, None where no figure is given."""

    key: str
    title: str
    weight_bits: int | None
    activation_bits: int | None
    zoo: str
    expected: tuple[float, float] | None = None


INT8 = Width("int8", "INT8", 8, 8, "w8a8", (-1.0, -0.5))
INT6 = Width("int6", "INT6", 6, 8, "w6a8")
INT4 = Width("int4", "INT4", 4, 4, "w4a4", (-4.0, -1.0))
INT2 = Width("int2", "INT2", 2, 2, "w2a2")
BINARY = Width("binary", "binary", 1, 8, "w1a1", (-20.0, -10.0))
MIXED = Width("mixed", "mixed", None, None, "mixed")
WIDTHS = {width.key: width for width in (INT8, INT6, INT4, INT2, BINARY, MIXED)}


def choose(names: Collection[str]) -> tuple[Width, ...]:
    """The Widths of some names, in the report's own order. Raises UnsupportedError for an unknown one."""
    for name in names:
        if name not in WIDTHS:
            raise UnsupportedError(f"width '{name}' is unknown; choose from {', '.join(WIDTHS)}")
    return tuple(width for key, width in WIDTHS.items() if key in names)


def verdict(change: float, expected: tuple[float, float] | None) -> str:
    """How a change in points compares with what was expected: 'better', 'as expected', 'worse', or ''."""
    if expected is None:
        return ""
    worst, best = expected
    return "worse" if change < worst else "better" if change > best else "as expected"
