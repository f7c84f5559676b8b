"""The packing of several products into one multiplier, on many operands; `python -m benchmarks packing` takes all."""

import pytest

from sim.packing_proof import all_operands, check_packing


def test_many_int8_operands_of_a_25_bit_multiplier():
    assert check_packing("25x18", 8, operands=2**18) == (4 * 2**18, 0)


@pytest.mark.parametrize("size", (4, 2, 1))
def test_all_operands_of_a_25_bit_multiplier(size):
    assert check_packing("25x18", size) == (all_operands("25x18", size), 0)


def test_only_the_excluded_weight_is_wrong():
    checked, wrong = check_packing("25x18", 4, excluded=False)
    assert checked == all_operands("25x18", 4)
    assert 0 < wrong < checked // 16  # of the operands with a top weight of -8, those whose other weights borrow
