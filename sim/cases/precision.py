"""Elements of 8, 4, 2 and 1 bits by hand: packed bytes, and the array's bytes that they become."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from accel.config import HardwareConfig


def storage_pairs(config: HardwareConfig) -> list[tuple[int, int]]:
    """(compute bits, storage bits) of all elements that the build can hold, storage not above compute."""
    return [(compute, stored) for compute in config.modes for stored in config.modes if stored <= compute]


def element(value: int, bits: int) -> int:
    """The signed value of a stored element; one bit stands for +1 and -1."""
    if bits == 1:
        return 1 if value else -1
    return value - (1 << bits) if value >> bits - 1 else value


def split(byte: int, bits: int) -> list[int]:
    """Signed elements of one byte, low ones first."""
    return [element(byte >> at & (1 << bits) - 1, bits) for at in range(0, 8, bits)]


def join(values: Iterable[int], bits: int) -> int:
    """One byte (or more) of signed elements, low ones first."""
    if bits == 1:
        return sum((value > 0) << i for i, value in enumerate(values))
    return sum((value & (1 << bits) - 1) << bits * i for i, value in enumerate(values))


def widen(values: Sequence[int], compute: int) -> list[int]:
    """The array bytes of a list of stored elements (1-bit ones as +1 and -1)."""
    count = 8 // compute
    return [join(values[at : at + count], compute) for at in range(0, len(values), count)]


def array_byte(byte: int, part: int, compute: int, stored: int) -> int:
    """Byte of array word `part` out of one byte of the weight bank."""
    ratio = compute // stored
    count = 8 // compute
    values = split(byte, stored)
    assert len(values) == ratio * count
    return widen(values[part * count : (part + 1) * count], compute)[0]
