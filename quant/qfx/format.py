"""Fixed-point formats as the HLS types `ap_fixed<W,I,Q,O>` and `ap_ufixed<W,I,Q,O>` have them. No torch in here.

A format of width W, I of whose bits stand before the binary point (the sign included, I may be negative or above W),
holds integer * 2^-(W - I). The Q notation leaves the sign out: ap_fixed<8,4> is Q3.4, ap_ufixed<8,4> is UQ4.4.
Types of results and modes: Vitis HLS user guide UG1399, "C++ Arbitrary Precision Fixed-Point Types".
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from accel.errors import RangeError, UnsupportedError

if TYPE_CHECKING:
    from typing import Any, Self

    from numpy.typing import NDArray

    from accel.types import Ints, Reals

ROUNDINGS = {
    "AP_TRN": "down, toward minus infinity",
    "AP_TRN_ZERO": "toward zero",
    "AP_RND": "to nearest, a tie up",
    "AP_RND_CONV": "to nearest, a tie to even",
}
OVERFLOWS = {"AP_WRAP": "modulo 2^W", "AP_SAT": "saturate", "AP_SAT_SYM": "saturate to a symmetric range"}
MAX_WIDTH = 1024
MAX_POINT = 1000  # bits before or behind the point; beyond, steps leave float64
SMALLEST = -100  # of integer bits found for a range
ARRAY_WIDTH = 53  # integers of arrays pass through float64

_HLS = re.compile(r"ap_(u?)fixed\s*<([^<>]*)>")
_Q = re.compile(r"(U?)Q(-?\d+)\.(-?\d+)")


@dataclass(frozen=True)
class FixedFormat:
    """A fixed-point type. width W: 1..1024; integer_bits I: bits before the binary point, with the sign.

    rounding: a key of ROUNDINGS, overflow: a key of OVERFLOWS; the defaults are those of the HLS types. Raises
    UnsupportedError for another mode and RangeError for a width or a binary point out of range.
    """

    width: int
    integer_bits: int
    rounding: str = "AP_TRN"
    overflow: str = "AP_WRAP"
    signed: bool = True

    def __post_init__(self) -> None:
        for name, known in (("rounding", ROUNDINGS), ("overflow", OVERFLOWS)):
            if getattr(self, name) not in known:
                raise UnsupportedError(f"{name} mode '{getattr(self, name)}' is not supported; use {', '.join(known)}")
        for name in ("width", "integer_bits"):
            if not isinstance(getattr(self, name), int):
                raise RangeError(f"{name} {getattr(self, name)} of a fixed-point type must be a whole number")
        if not 1 <= self.width <= MAX_WIDTH:
            raise RangeError(f"a fixed-point width of {self.width} bits must lie in 1..{MAX_WIDTH}")
        if max(abs(self.integer_bits), abs(self.fraction_bits)) > MAX_POINT:
            raise RangeError(
                f"{self.integer_bits} integer bits of {self.width} put the binary point too far away; "
                f"at most {MAX_POINT} bits may stand before or behind it"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """The format of "ap_fixed<8,2>" or "ap_ufixed<8,2,AP_RND,AP_SAT>"; raises UnsupportedError for other text."""
        match = _HLS.fullmatch(text.strip())
        parts = [part.strip() for part in match[2].split(",")] if match else []
        if match is None or not 2 <= len(parts) <= 4 or not all(re.fullmatch(r"-?\d+", part) for part in parts[:2]):
            raise UnsupportedError(
                f"'{text}' is no fixed-point type; write ap_fixed<W,I>, ap_ufixed<W,I> or ap_fixed<W,I,Q,O>"
            )
        rounding = parts[2] if len(parts) > 2 else "AP_TRN"
        overflow = parts[3] if len(parts) > 3 else "AP_WRAP"
        return cls(int(parts[0]), int(parts[1]), rounding, overflow, not match[1])

    @classmethod
    def from_q(cls, text: str, rounding: str = "AP_TRN", overflow: str = "AP_WRAP") -> Self:
        """The format of "Q3.4" (a sign, 3 integer bits, 4 fraction bits) or "UQ4.4" (no sign)."""
        match = _Q.fullmatch(text.strip())
        if not match:
            raise UnsupportedError(f"'{text}' is no Q format; write Qm.n or UQm.n, for example Q3.4")
        signed, integer, fraction = not match[1], int(match[2]), int(match[3])
        integer += signed
        return cls(integer + fraction, integer, rounding, overflow, signed)

    def __str__(self) -> str:
        modes = f",{self.rounding},{self.overflow}"
        default = modes == ",AP_TRN,AP_WRAP"
        return f"ap_{'' if self.signed else 'u'}fixed<{self.width},{self.integer_bits}{'' if default else modes}>"

    @property
    def q_notation(self) -> str:
        """Qm.n or UQm.n; m leaves the sign out."""
        return f"{'' if self.signed else 'U'}Q{self.integer_bits - self.signed}.{self.fraction_bits}"

    @property
    def fraction_bits(self) -> int:
        """Bits behind the binary point; negative where the step is more than 1."""
        return self.width - self.integer_bits

    @property
    def limits(self) -> tuple[int, int]:
        """(lowest, highest) integer that a value becomes; AP_SAT_SYM leaves out -2^(W-1)."""
        if self.signed:
            highest = (1 << (self.width - 1)) - 1
            return -highest - (self.overflow != "AP_SAT_SYM"), highest
        return 0, (1 << self.width) - 1

    @property
    def step(self) -> float:
        """The real value of the integer 1: 2^-fraction_bits."""
        return math.ldexp(1.0, -self.fraction_bits)

    @property
    def range(self) -> tuple[float, float]:
        """(lowest, highest) real value."""
        low, high = self.limits
        return self.to_real(low), self.to_real(high)

    def to_integer(self, real: Any) -> Any:
        """The integer that a real becomes: rounded, then brought into range by the overflow mode; exact.

        real: a number (int, float, Fraction -> int) or a float array (-> int64 array; at most 53 bits). Raises
        RangeError for NaN and infinity.
        """
        if isinstance(real, np.ndarray) and real.ndim:
            return self._array_to_integer(real)
        if not isinstance(real, (int, Fraction)):
            real = float(real)
            if not math.isfinite(real):
                raise RangeError(f"{real} has no value in {self}; give a finite number")
        return self._into_range(_round(Fraction(real) * Fraction(2) ** self.fraction_bits, self.rounding))

    def to_real(self, integer: Any) -> Any:
        """The real value of an integer (int -> float) or an integer array (-> float64): integer * 2^-fraction_bits,
        rounded where it has more than 53 bits.

        Raises RangeError for an integer that the format does not hold.
        """
        low, high = self.limits
        if isinstance(integer, np.ndarray) and integer.ndim:
            if integer.size and not (low <= integer.min() and integer.max() <= high):
                raise RangeError(f"integers {integer.min()}..{integer.max()} must lie in {low}..{high} of {self}")
            return np.ldexp(integer.astype(np.float64), -self.fraction_bits)
        integer = int(integer)
        if not low <= integer <= high:
            raise RangeError(f"integer {integer} must lie in {low}..{high} of {self}")
        return float(Fraction(integer) / Fraction(2) ** self.fraction_bits)

    def nearest(self, real: Any) -> Any:
        """The real value that a real becomes: to_real(to_integer(real))."""
        return self.to_real(self.to_integer(real))

    def _into_range(self, integer: int) -> int:
        low, high = self.limits
        if self.overflow != "AP_WRAP":
            return min(max(integer, low), high)
        return (integer - low) % (1 << self.width) + low

    def _array_to_integer(self, real: NDArray[Any]) -> Ints:
        if self.width > ARRAY_WIDTH:
            raise UnsupportedError(f"arrays of {self} are not supported; use at most {ARRAY_WIDTH} bits, or numbers")
        values = real.astype(np.float64)
        if not np.isfinite(values).all():
            raise RangeError(f"NaN or infinity has no value in {self}; give finite numbers")
        with np.errstate(over="ignore", under="ignore"):
            steps = np.ldexp(values, self.fraction_bits)
        if not np.isfinite(steps).all() or np.any(np.ldexp(steps, -self.fraction_bits) != values):
            flat = [self.to_integer(value) for value in values.ravel().tolist()]  # beyond float64's exponents
            return np.array(flat, dtype=np.int64).reshape(values.shape)
        found = round_array(steps, self.rounding)
        low, high = self.limits
        if self.overflow != "AP_WRAP":
            return np.clip(found, low, high).astype(np.int64)
        size = float(1 << self.width)
        rest = np.fmod(found, size)  # exact; so are the corrections
        rest = np.where(rest > high, rest - size, np.where(rest < low, rest + size, rest))
        return rest.astype(np.int64)

    # Types of exact results, as the operators of the HLS types return them.

    def add_type(self, other: FixedFormat) -> FixedFormat:
        """Type of a + b: holds every sum."""
        return self._sum_type(other, self.signed or other.signed)

    def subtract_type(self, other: FixedFormat) -> FixedFormat:
        """Type of a - b: holds every difference, always signed."""
        return self._sum_type(other, True)

    def multiply_type(self, other: FixedFormat) -> FixedFormat:
        """Type of a * b: holds every product."""
        return FixedFormat(
            self.width + other.width, self.integer_bits + other.integer_bits, signed=self.signed or other.signed
        )

    def divide_type(self, other: FixedFormat) -> FixedFormat:
        """Type of a / b: holds every quotient rounded toward zero to a's fraction bits (more for a divisor without
        fraction bits)."""
        width = self.width + max(other.fraction_bits, 0) + other.signed
        return FixedFormat(
            width, self.integer_bits + other.fraction_bits + other.signed, signed=self.signed or other.signed
        )

    def _sum_type(self, other: FixedFormat, signed: bool) -> FixedFormat:
        mine = self.integer_bits + (other.signed and not self.signed)
        theirs = other.integer_bits + (self.signed and not other.signed)
        integer = max(mine, theirs) + 1
        return FixedFormat(integer + max(self.fraction_bits, other.fraction_bits), integer, signed=signed)


def _round(value: Fraction, rounding: str) -> int:
    """A Fraction -> int."""
    if rounding == "AP_TRN":
        return math.floor(value)
    if rounding == "AP_TRN_ZERO":
        return math.trunc(value)
    if rounding == "AP_RND":
        return math.floor(value + Fraction(1, 2))
    return round(value)  # Python rounds a tie to even


def round_array(steps: Reals, rounding: str) -> Reals:
    """float64 array -> float64 array of whole numbers, each rounded once."""
    if rounding == "AP_TRN":
        return np.floor(steps)
    if rounding == "AP_TRN_ZERO":
        return np.trunc(steps)
    if rounding == "AP_RND":
        below = np.floor(steps)
        return below + (steps - below >= 0.5)
    return np.rint(steps)


def integer_bits_for(
    low: float, high: float, width: int, signed: bool = True, rounding: str = "AP_RND", overflow: str = "AP_SAT"
) -> int:
    """The fewest integer bits with which a format of this width holds low..high without overflow.

    low, high: finite reals; overflow: AP_SAT or AP_SAT_SYM. An unsigned format ignores a negative low. A range of
    zeros gives 0 fraction bits, one of less than 2^-100 the integer bits of that.
    """
    low = low if signed else 0.0
    largest = max(abs(low), abs(high), 0.0)
    if largest == 0:
        return width
    bits = max(math.frexp(largest)[1] - 1, SMALLEST)
    while True:
        found = FixedFormat(width, bits, rounding, overflow, signed)
        smallest, greatest = found.limits
        size = Fraction(2) ** found.fraction_bits
        if smallest <= _round(Fraction(low) * size, rounding) and _round(Fraction(high) * size, rounding) <= greatest:
            return bits
        bits += 1
