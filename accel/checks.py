"""Checks of values that a stranger may hand over: each returns the clean value or raises one sentence."""

from __future__ import annotations

import math
import operator
import re
import reprlib
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from accel.errors import ModelError, RangeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

    from accel.types import Flags, Ints, Reals

Element = TypeVar("Element", bound=np.generic)
NAME_LENGTH = 64
NAME = re.compile(rf"[A-Za-z_][A-Za-z0-9_.-]{{0,{NAME_LENGTH - 1}}}")


def integer(value: Any, what: str, low: int, high: int) -> int:
    """`value` as int within low..high; bool, float and text are refused."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise ModelError(f"{what} must be an integer in {low}..{high}, not {shorten(value)}") from None
    if not low <= number <= high:
        raise ModelError(f"{what} must lie in {low}..{high}, not {shorten(number)}")
    return number


def integers(values: object, what: str, count: int, low: int, high: int) -> tuple[int, ...]:
    """A tuple of exactly `count` integers within low..high."""
    if not isinstance(values, (tuple, list)) or len(values) != count:
        raise ModelError(f"{what} must be {count} integers, not {shorten(values)}")
    return tuple(integer(value, what, low, high) for value in values)


def real(value: object, what: str) -> float:
    """`value` as a finite float."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise ModelError(f"{what} must be a number, not {shorten(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise RangeError(f"{what} must be finite, not {shorten(value)}")
    return number


def name(value: object, what: str) -> str:
    """`value` as a name that is safe in a file name and in a report."""
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ModelError(
            f"{what} must be letters, digits, '_', '.' or '-', at most 64 and not starting "
            "with a digit,"
            f" not {shorten(value)}"
        )
    return value


def integer_array(values: ArrayLike, what: str, shape: Sequence[int], low: int, high: int) -> Ints:
    """A read-only int64 array of exactly `shape`, every element within low..high."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise ModelError(f"{what} must hold integers, not {array.dtype}")
    if array.shape != tuple(shape):
        raise ModelError(f"{what} must have shape {tuple(shape)}, not {array.shape}")
    if array.size and (int(array.min()) < low or int(array.max()) > high):
        worst = int(array.max()) if int(array.max()) > high else int(array.min())
        raise RangeError(f"{what} must lie in {low}..{high}, not {worst}")
    if array.dtype == np.int64 and array.flags.owndata and array.flags.c_contiguous and not array.flags.writeable:
        return array  # checked and frozen before: layers are replaced often, their weights are large
    return frozen(array.astype(np.int64))


def flag_array(values: ArrayLike, what: str, shape: Sequence[int]) -> Flags:
    """A read-only bool array of exactly `shape`; 0 and 1 are taken as well."""
    array = np.asarray(values)
    if array.dtype.kind != "b":
        array = integer_array(array, what, shape, 0, 1)
    if array.shape != tuple(shape):
        raise ModelError(f"{what} must have shape {tuple(shape)}, not {array.shape}")
    return frozen(array.astype(bool))


def real_array(values: ArrayLike, what: str, shape: Sequence[int]) -> Reals:
    """A read-only float64 array of exactly `shape`, every element positive and finite."""
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise ModelError(f"{what} must hold numbers, not {array.dtype}")
    if array.shape != tuple(shape):
        raise ModelError(f"{what} must have shape {tuple(shape)}, not {array.shape}")
    array = array.astype(np.float64)
    if not np.all(np.isfinite(array) & (array > 0)):
        bad = array[~(np.isfinite(array) & (array > 0))]
        raise RangeError(f"{what} must be positive and finite, not {float(bad.ravel()[0])!r}")
    return frozen(array)


def frozen(array: NDArray[Element]) -> NDArray[Element]:
    """The same array, contiguous and write-protected."""
    array = np.ascontiguousarray(array)
    array.setflags(write=False)
    return array


class _Short(reprlib.Repr):
    """repr that looks at the beginning of a value only, however large or deep it is."""

    def repr_str(self, value: str, level: int) -> str:
        return repr(value[: self.maxstring])

    def repr_int(self, value: int, level: int) -> str:
        return f"a {value.bit_length()}-bit integer" if value.bit_length() > 200 else repr(value)


_SHORT = _Short()
_SHORT.maxstring, _SHORT.maxlevel = 100, 3
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 10


def shorten(value: object, limit: int = 60) -> str:
    """repr of a value, cut for use in a message: hostile input must not flood the terminal."""
    text = _SHORT.repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def plain(text: object, limit: int = 80) -> str:
    """Foreign text for a message: what does not print is escaped, and at most `limit` characters are kept."""
    text = str(text)[: limit + 1]
    text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def shown(path: object, limit: int = 160) -> str:
    """A path for a message: cut in its middle, where the least is lost; what does not print is escaped."""
    text = plain(path, 8 * limit)
    return text if len(text) <= limit else f"{text[: limit // 2 - 3]}...{text[-(limit // 2) :]}"


def listed(names: Iterable[object], most: int = 5, limit: int = 60) -> str:
    """At most `most` of the names for a message, and how many more there are."""
    names = list(names)
    text = ", ".join(plain(name, limit) for name in names[:most])
    return f"{text} and {len(names) - most} more" if len(names) > most else text
