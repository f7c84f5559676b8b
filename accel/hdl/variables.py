"""The variables of a function in the order of its source.

Python's own order of `f_locals` differs between versions (variables of inner functions apart or not, those of
comprehensions among them or not); names and declarations of the converted text must not.
"""

import ast
import functools
import inspect
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

_INNER = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)  # variables of their own


@functools.cache
def variable_order(function: Callable[..., object]) -> dict[str, int]:
    """{name: number} of the function's parameters and variables, by where the source first gives them a value."""
    tree = _tree(function)
    names = [argument.arg for argument in (*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs)]
    names += [name for _, name in sorted(_stored(tree.body))]
    return {name: number for number, name in enumerate(dict.fromkeys(names))}


def in_source_order(function: Callable[..., object], variables: dict[str, object]) -> dict[str, object]:
    """The dict `variables` of a call of the function, in the order of its source."""
    order = variable_order(function)
    return dict(sorted(variables.items(), key=lambda item: (order.get(item[0], len(order)), item[0])))


@functools.cache
def loop_variables(function: Callable[..., object]) -> frozenset[str]:
    """Variables of the function's own `for` statements."""
    targets = [node.target for node in _outer(_tree(function).body) if isinstance(node, ast.For)]
    return frozenset(node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))


@functools.cache
def origins(function: Callable[..., object]) -> dict[str, str]:
    """{name: expression} of the variables that the function's source gives one value, where that is not a number."""
    source = textwrap.dedent(inspect.getsource(function))
    given: dict[str, list[ast.expr]] = {}
    for node in _outer(_tree(function).body):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            given.setdefault(node.targets[0].id, []).append(node.value)
    stored = Counter(name for _, name in _stored(_tree(function).body))
    return {
        name: " ".join((ast.get_source_segment(source, values[0]) or "").split())
        for name, values in given.items()
        if stored[name] == 1 and not isinstance(values[0], ast.Constant)
    }


@functools.cache
def _tree(function: Callable[..., object]) -> ast.FunctionDef:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(tree, ast.FunctionDef), function
    return tree


def _outer(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes and all below them, inner functions left out."""
    for node in nodes:
        if not isinstance(node, (*_INNER, ast.FunctionDef, ast.ClassDef)):
            yield node
            yield from _outer(ast.iter_child_nodes(node))


def _stored(nodes: Iterable[ast.AST]) -> Iterator[tuple[tuple[int, int], str]]:
    """((line, column), name) of every place that gives a variable a value, inner functions left out."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield (node.lineno, node.col_offset), node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield (node.lineno, node.col_offset), node.id
        elif not isinstance(node, _INNER):
            yield from _stored(ast.iter_child_nodes(node))
