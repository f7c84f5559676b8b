"""Comments of the Python source of processes: those above a process, its docstring, and those in front of statements.

While MyHDL writes a module a mark stands for each comment, so that nothing that shortens the text touches its words.
"""

import ast
import inspect
import io
import linecache
import re
import textwrap
import tokenize
from collections.abc import Iterator

from myhdl import Signal

MARK = re.compile(r"^([ \t]*)(//|--) bitloomcomment(\d+)x[ \t]*\n(?:[ \t]*\n)*", re.MULTILINE)


class Tree(ast.Module):
    """MyHDL's tree of a process: what it has besides the statements. senslist, sigregs: its Signals and registers."""

    name: str
    sourcefile: str
    lineoffset: int
    senslist: list[Signal]
    sigregs: list[Signal]
    symdict: dict[str, object]
    vardict: dict[str, object]


class Name(ast.Name):
    """A name in it, with its type in VHDL."""

    vhd: object


class Function(ast.FunctionDef):
    """The process in it, with its docstring."""

    doc: str | None


class Comments:
    """The comments of one module; sign: what begins a comment in the language."""

    def __init__(self, sign: str) -> None:
        self.sign = sign
        self.blocks: list[list[str]] = []
        self.waiting: dict[int, list[tuple[int, str]]] = {}

    def above(self, tree: Tree, doc: str | None) -> Iterator[str]:
        """The mark of what stands above the process of MyHDL's tree, and of its docstring, if there is any."""
        lines = linecache.getlines(tree.sourcefile)
        first = last = tree.lineoffset
        while first > 0 and lines[first - 1].strip().startswith("#"):
            first -= 1
        found = [line.strip() for line in lines[first:last]]
        yield from self.mark([_words(line) for line in found] + (inspect.cleandoc(doc).splitlines() if doc else []))

    def before(self, tree: Tree, statement: ast.stmt) -> Iterator[str]:
        """The mark of the comments that come before the statement's end, or its first line's where it holds others."""
        if id(tree) not in self.waiting:
            self.waiting[id(tree)] = _inside(tree)
        head = getattr(statement, "test", None) or getattr(statement, "iter", None) or statement
        waiting = self.waiting[id(tree)]
        last = int(head.end_lineno or 0)
        found = [text for line, text in waiting if line <= last]
        del waiting[: len(found)]
        yield from self.mark(found)

    def mark(self, lines: list[str]) -> Iterator[str]:
        if lines:
            self.blocks.append(lines)
            yield f"{self.sign} bitloomcomment{len(self.blocks) - 1}x"

    def write(self, body: str) -> str:
        """The text of a module with the comments in place of their marks."""

        def lines(match: re.Match[str]) -> str:
            block = self.blocks[int(match[3])]
            return "".join(f"{match[1]}{match[2]} {line}".rstrip() + "\n" for line in block)

        return MARK.sub(lines, body)


def _inside(tree: Tree) -> list[tuple[int, str]]:
    """(line as MyHDL's tree counts it, text) of the comments inside the function."""
    function = tree.body[0]
    lines = linecache.getlines(tree.sourcefile)[tree.lineoffset : tree.lineoffset + int(function.end_lineno or 0)]
    tokens = tokenize.generate_tokens(io.StringIO(textwrap.dedent("".join(lines))).readline)
    return [
        (token.start[0], _words(token.string))
        for token in tokens
        if token.type == tokenize.COMMENT and token.start[0] >= function.lineno
    ]


def _words(comment: str) -> str:
    return comment.lstrip("#").removeprefix(" ")
