"""Bounds of a whole model: what a network may cost in memory and time, and what a model directory may hold.

They are checked before memory is taken, wherever a model comes from: a directory is read and written by the same rules,
and a graph that is built in Python obeys them too. docs/formats.md argues the numbers.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

from accel import checks
from accel.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LAYERS = 1024
MAX_SIDE = 65535
MAX_WEIGHTS = 2**25
MAX_ACTIVATIONS = 2**25
MAX_WINDOWS = 2**27
MAX_MACS = 2**34
MAX_JSON_BYTES = 2**24
MAX_VALUES = 2**20
MAX_DEPTH = 64
MAX_TEXT = 10_000
MAX_NUMBER = 64
MAX_FILES = 4096
MAX_BATCH = 256
# What no terminal, C comment or page should meet: controls, line separators, direction marks, half characters. Texts
# of people may have line ends and tabs.
_UNSAFE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LINE_ENDS = re.compile("[\t\n\r]")


class Work(NamedTuple):
    """What one image costs a layer or a network.

    weights: elements of the weights. activations: elements of the outputs, and of the padding that is put around the
    inputs; a network's input counts too. windows: elements of the input's windows, each counted as often as it is read.
    macs: multiply-accumulates.
    """

    weights: int
    activations: int
    windows: int
    macs: int

    def plus(self, other: Work) -> Work:
        """The sum, number by number."""
        return Work(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


LIMITS = Work(MAX_WEIGHTS, MAX_ACTIVATIONS, MAX_WINDOWS, MAX_MACS)
_NAMES = ("weights", "activations with their padding", "elements of all windows", "multiply-accumulates")


def check_work(work: Work, owner: str) -> None:
    """Raise ModelError, which names `owner`, where a Work exceeds a bound."""
    for name, count, limit in zip(_NAMES, work, LIMITS, strict=True):
        if count > limit:
            raise ModelError(
                f"{owner}: has {checks.shorten(count)} {name}, at most {limit} are allowed; use a smaller network"
            )


def batch(work: Work, largest: int = MAX_BATCH) -> int:
    """Images to run at a time so that the working memory stays bounded: 1 .. largest."""
    return max(1, min(largest, MAX_ACTIVATIONS // max(work.activations, work.windows)))


def check_text(text: str, owner: str, *, lines: bool = False) -> None:
    """Raise ModelError for a text that is too long or holds control characters or surrogates; lines: ends are fine."""
    if len(text) > MAX_TEXT:
        raise ModelError(f"{owner}: a text has {len(text)} characters, at most {MAX_TEXT} are allowed")
    if _UNSAFE.search(text) or not (lines or not _LINE_ENDS.search(text)):
        raise ModelError(
            f"{owner}: {checks.shorten(text)} holds control characters or half a character; leave them out"
        )


def check_values(value: object, owner: str) -> None:
    """Raise ModelError unless `value` is made of plain JSON values, not too many, too deep, too long or too large.

    Lists may be tuples. Nothing here recurses.
    """
    pending, count = [(value, 1)], 0
    while pending:
        item, depth = pending.pop()
        count += 1
        if isinstance(item, str):
            check_text(item, owner, lines=True)
        elif isinstance(item, (dict, list, tuple)):
            if depth > MAX_DEPTH:
                raise ModelError(f"{owner}: is nested too deeply, at most {MAX_DEPTH} levels are allowed")
            if count + len(pending) + len(item) > MAX_VALUES:
                raise ModelError(f"{owner}: holds more than {MAX_VALUES} values")
            pending += [(part, depth + 1) for part in (item.values() if isinstance(item, dict) else item)]
            for key in item if isinstance(item, dict) else ():
                if not isinstance(key, str):
                    raise ModelError(f"{owner} must be plain JSON values, not with the key {checks.shorten(key)}")
                check_text(key, owner)
        else:
            _check_number(item, owner)


def _check_number(item: object, owner: str) -> None:
    if item is None or isinstance(item, bool):
        return
    if not isinstance(item, (int, float)):
        raise ModelError(f"{owner} must be plain JSON values, not {type(item).__name__}")
    if not (math.isfinite(item) if isinstance(item, float) else abs(item) < 10 ** (MAX_NUMBER - 1)):
        raise ModelError(f"{owner}: the number {checks.shorten(item)} must be finite, of at most {MAX_NUMBER} digits")


def check_number_text(text: str) -> str:
    """Raise ValueError for the text of a number that is too long, or beyond the range of float64."""
    if len(text) > MAX_NUMBER:
        raise ValueError(f"a number has {len(text)} characters, at most {MAX_NUMBER} are allowed")
    if math.isinf(float(text)):
        raise ValueError(f"the number {text} is too large")
    return text


def blocks(rows: int, columns: int, elements: int, most: int) -> Iterator[tuple[slice, slice]]:
    """Slices (of rows, of columns) that cover rows x columns places so that `elements` a place stay within `most`."""
    wide = max(1, min(columns, most // elements))
    high = max(1, most // (elements * columns)) if wide == columns else 1
    for top in range(0, rows, high):
        for left in range(0, columns, wide):
            yield slice(top, min(rows, top + high)), slice(left, min(columns, left + wide))
