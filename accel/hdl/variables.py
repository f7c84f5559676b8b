"""The variables of a function in the order of its source.

Python's own order of `f_locals` differs between versions (variables of inner functions apart or not, those of
comprehensions among them or not); names and declarations of the converted text must not.
"""

import ast
import functools
import inspect
import textwrap

_INNER = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)  # variables of their own


@functools.cache
def variable_order(function):
    """{name: number} of the function's parameters and variables, by where the source first gives them a value."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    names = [argument.arg for argument in (*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs)]
    names += [name for _, name in sorted(_stored(tree.body))]
    return {name: number for number, name in enumerate(dict.fromkeys(names))}


def in_source_order(function, variables):
    """The dict `variables` of a call of the function, in the order of its source."""
    order = variable_order(function)
    return dict(sorted(variables.items(), key=lambda item: (order.get(item[0], len(order)), item[0])))


def _stored(nodes):
    """((line, column), name) of every place that gives a variable a value, inner functions left out."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield (node.lineno, node.col_offset), node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield (node.lineno, node.col_offset), node.id
        elif not isinstance(node, _INNER):
            yield from _stored(ast.iter_child_nodes(node))
