"""Finds names and widths that are stated again outside accel/names.py and quant/names.py."""

import ast

from accel import names as shared
from quant import names as own

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
