"""Names and widths that users give: what tests/test_structure.py finds where they are stated again."""

import pytest

from tests.names import restated


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ('RULES = ("half_up", "half_away", "gemmlowp")', "accel.names.RULES"),
        ('f(choice=["mse", "minmax", "percentile", "kl"])', "quant.names.CALIBRATIONS"),
        ('x = {"full", "khot2", "pow2", "khot3"}', "accel.names.REQUANTIZERS"),
        ("WIDTHS = (8, 6, 4, 2, 1)", "accel.names.WEIGHT_BITS"),
        ("def f(bits=(8, 4, 2)): pass", "quant.names.MULTI_BIT_ACTIVATIONS"),
    ],
)
def test_a_restated_family_is_found(text, family):
    assert [name for _, name in restated(text)] == [family]


def test_other_literals_are_left_alone():
    assert not list(restated('a, b = (1, 2, 4, 8), ("half_up", "half_away")\nx = ()'))
