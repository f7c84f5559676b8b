"""Errors of trainings, importable without torch."""

from accel.errors import RangeError


class DivergedError(RangeError):
    """Training turned NaN or exploded; the last checkpoint, if there is one, is from before."""
