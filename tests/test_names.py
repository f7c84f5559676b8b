"""Names and widths that users give are stated once: in accel/names.py and quant/names.py."""

import ast

import pytest

from accel import names as shared
from quant import names as own
from tests.test_structure import ROOT, python_files

HOMES = ("accel/names.py", "quant/names.py")


def families():
    """{the family's values: its name} of every constant of the two homes."""
    found = {}
    for home in (shared, own):
        for name, value in vars(home).items():
            if name.isupper() and isinstance(value, (tuple, dict)):
                found.setdefault(key(value), f"{home.__name__}.{name}")
    return found


def key(values):
    """Names count in any order; widths from the widest on, for 1, 2, 4, 8 are other things as well."""
    values = tuple(values)
    return frozenset(values) if all(isinstance(value, str) for value in values) else values


def restated(text):
    """(line, family) of every literal tuple, list or set of a source text that holds just the values of a family."""
    known = families()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Tuple, ast.List, ast.Set)) and all(isinstance(x, ast.Constant) for x in node.elts):
            family = known.get(key(x.value for x in node.elts))
            if family:
                yield node.lineno, family


def test_no_family_of_names_is_stated_again():
    again = [
        f"{path.relative_to(ROOT)}:{line} states {family}"
        for path in python_files()
        if path.relative_to(ROOT).as_posix() not in HOMES
        and not path.relative_to(ROOT).parts[0] == "tests"
        and not path.name.startswith("test_")
        for line, family in restated(path.read_text(encoding="utf-8"))
    ]
    assert not again, "\n".join(again)


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
