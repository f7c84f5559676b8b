"""The hardware configuration refuses what cannot be built, by name."""

import pytest

from accel.config import HardwareConfig
from accel.errors import FitError


@pytest.mark.parametrize("value", [[8, 4.0], None, "8,4", (8, 8), (8, 3), (8, True)])
def test_precisions_are_different_known_widths(value):
    with pytest.raises(FitError, match="precisions=.* must be different widths of 8, 6, 4, 2, 1"):
        HardwareConfig(precisions=value)


def test_precisions_need_8():
    with pytest.raises(FitError, match="precisions=4,2 must contain 8; add it"):
        HardwareConfig(precisions=(4, 2))


def test_precisions_are_sorted():
    assert HardwareConfig(precisions=[1, 8, 6, 4]).precisions == (8, 6, 4, 1)
    assert HardwareConfig(precisions=8).modes == (8,)


def test_shift_add_computes_int8_only():
    with pytest.raises(FitError, match="multiplier=shift_add computes int8 only"):
        HardwareConfig(multiplier="shift_add", precisions=(8, 4))


@pytest.mark.parametrize(
    ("rows", "multiplier", "precisions", "multipliers"),
    [(4, "25x18", (8,), 8), (4, "25x18", (8, 4), 16), (8, "25x18", (8, 4), 32), (8, "18x18", (8, 4), 64)],
)
def test_multipliers_of_the_array_are_counted(rows, multiplier, precisions, multipliers):
    config = HardwareConfig(rows=rows, lanes=rows, multiplier=multiplier, precisions=precisions, requantizer="pow2")
    assert config.dsp_estimate == multipliers
