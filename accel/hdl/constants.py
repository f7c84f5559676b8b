"""Python's names for the numbers in processes: localparams in Verilog, constants in VHDL.

MyHDL writes a Python integer that a process reads as its value. Here the integers in the names that MyHDL looks up are
replaced by ones that are written as their names. A name that has several values in one module (a loop variable, or a
parameter of flattened blocks that differ in it) stays a number.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from myhdl._instance import _Instantiator
from myhdl.conversion._toVHDL import vhd_signed, vhd_unsigned

from accel.hdl.comments import Tree
from accel.hdl.elaborate import Elaboration
from accel.hdl.naming import is_reserved, unique
from accel.hdl.variables import loop_variables, origins

LEGAL = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
INDEX = re.compile(r"_\d+(?=_|$)")
MAX_ORIGIN = 80
INTEGER_LIMIT = 2**31  # VHDL guarantees integers whose absolute value is below it


class NamedInt(int):
    """An integer that is written as its name."""

    name: str

    def __new__(cls, value: int, name: str) -> "NamedInt":
        named = super().__new__(cls, value)
        named.name = name
        return named

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Constant:
    """A named number of a module. origin: the Python expression that it comes from, or ""."""

    name: str
    value: int
    origin: str = ""


def declare_constants(constants: list[Constant], body: str, write: Callable[[Constant], str], sign: str) -> str:
    """The body of a module with the declarations of the constants that it uses in front, in the order of their use.

    write: text of a declaration. sign: what begins a comment.
    """
    found = {c: re.search(rf"\b{c.name}\b", body) for c in constants}
    places = {c: match.start() for c, match in found.items() if match}
    used = sorted(places, key=lambda c: places[c])
    lines = [write(c) + (f"  {sign} {c.origin}" if c.origin else "") for c in used]
    return "\n".join([*lines, ""] * bool(lines) + [body.lstrip("\n")])


def vhdl_name(value: object, kind: object) -> str:
    """VHDL text of a named integer that VHDL's integers do not hold; "" for anything else."""
    if not isinstance(value, NamedInt) or -INTEGER_LIMIT < value < INTEGER_LIMIT:
        return ""
    if isinstance(kind, vhd_signed):
        return f"resize({value.name}, {kind.size})" if value < 0 else f"signed(resize({value.name}, {kind.size}))"
    return f"resize({value.name}, {kind.size})" if isinstance(kind, vhd_unsigned) else ""


@dataclass(frozen=True)
class _Use:
    """An integer that a process reads: its tree, the name there, the label that the module may have for it."""

    tree: Tree
    name: str
    label: str
    value: int


def name_numbers(elaboration: Elaboration, trees: dict[_Instantiator, Tree], taken: set[str]) -> list[Constant]:
    """Let MyHDL write the integers that processes read as names; returns these constants.

    trees: {process: MyHDL's tree of it}. taken: names that the module has already, in lower case.
    """
    uses = [use for process, tree in trees.items() for use in _uses(elaboration, process, tree)]
    values: dict[str, set[int]] = {}
    for use in uses:
        values.setdefault(use.label, set()).add(use.value)
    source = origins(elaboration.module.func)
    variables = {name.lower() for tree in trees.values() for name in tree.vardict}
    used, constants = taken | variables, {}
    for use in uses:
        if len(values[use.label]) > 1:
            continue
        if use.label not in constants:
            clash = is_reserved(use.label) or use.label.lower() in used
            name = unique(f"C_{use.label}" if clash else use.label, used)
            origin = source.get(use.name, "") if use.label == use.name.upper() else ""
            constants[use.label] = Constant(name, use.value, origin if len(origin) <= MAX_ORIGIN else "")
        use.tree.symdict[use.name] = NamedInt(use.value, constants[use.label].name)
    for tree in trees.values():
        _name_cases(tree)
    return list(constants.values())


def _name_cases(tree: Tree) -> None:
    """MyHDL makes a case statement of comparisons with integers: its items have their names too."""
    for node in ast.walk(tree):
        for test, _ in getattr(node, "tests", ()):
            named = getattr(test.comparators[0], "id", "") if isinstance(test, ast.Compare) else ""
            if hasattr(test, "case") and isinstance(tree.symdict.get(named), NamedInt):
                test.case = test.case[0], tree.symdict[named]


def _uses(elaboration: Elaboration, process: _Instantiator, tree: Tree) -> Iterator[_Use]:
    """Integers that the process reads under a name that is worth keeping."""
    prefix, function = elaboration.prefixes[id(process)], process.funcobj
    loops = loop_variables(elaboration.module.func)
    seen = set()
    for node in ast.walk(tree):
        name = node.id if isinstance(node, ast.Name) else ""
        value = tree.symdict.get(name)
        if type(value) is not int or name in seen or name in tree.vardict:
            continue
        seen.add(name)
        is_global = name in function.__globals__ and name not in function.__code__.co_freevars
        own = is_global or not prefix or elaboration.names.get(name) == value
        label = name if own else INDEX.sub("", prefix.rstrip("_")) + "_" + name
        label = label.strip("_").upper()
        if not own and value in (0, 1):
            continue  # a number says as much as the long name
        if len(name) > 1 and LEGAL.fullmatch(label) and not (name in loops and own and not is_global):
            yield _Use(tree, name, label, value)
