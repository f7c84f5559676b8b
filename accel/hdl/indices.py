"""Bounds of slices in the converted text, with the names of constants: (LAST - 1)-1 becomes LAST - 2."""

import ast
import functools
import re

BOUND = re.compile(r"[A-Z0-9_ +*()-]+")
VERILOG = re.compile(r"\[([A-Z0-9_ +*()-]+)(:|\+:)([A-Z0-9_ +*()-]+)\]|\[\(([A-Z0-9_ +*()-]+)\)\]")
VHDL_INDEX = re.compile(r"\(\(([A-Z0-9_ +*-]+)\)\)")
DOWNTO = " downto "


def tidy_verilog(body: str) -> str:
    """[high-1:low] and [(index)] with sums of constants shortened."""

    def shorter(match: re.Match[str]) -> str:
        if match[4]:
            return f"[{simplified(match[4])}]"
        return f"[{simplified(match[1])}{match[2]}{simplified(match[3])}]"

    return VERILOG.sub(shorter, body)


def tidy_vhdl(body: str) -> str:
    """(high-1 downto low) and ((index)) with sums of constants shortened."""
    body = VHDL_INDEX.sub(lambda match: f"({simplified(match[1])})", body)
    pieces = body.split(DOWNTO)
    for left in range(len(pieces) - 1):
        begin, end = _opening(pieces[left]), _closing(pieces[left + 1])
        high, low = pieces[left][begin:], pieces[left + 1][:end]
        if BOUND.fullmatch(high) and BOUND.fullmatch(low):
            pieces[left] = pieces[left][:begin] + simplified(high)
            pieces[left + 1] = simplified(low) + pieces[left + 1][end:]
    return DOWNTO.join(pieces)


@functools.cache
def simplified(text: str) -> str:
    """A sum of names, products and numbers without needless brackets, its numbers added up."""
    try:
        terms, number = _terms(ast.parse(text.strip(), mode="eval").body, 1)
    except (SyntaxError, ValueError):
        return text
    if not terms:
        return str(number)
    sign, first = terms[0]
    rest = [*terms[1:], *([(1 if number > 0 else -1, str(abs(number)))] if number else [])]
    if sign < 0:
        return text
    return first + "".join(f" {'+' if sign > 0 else '-'} {term}" for sign, term in rest)


def _terms(node: ast.expr, sign: int) -> tuple[list[tuple[int, str]], int]:
    """([(sign, text of a term)], sum of the numbers). Raises ValueError for what is no such sum."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return [], sign * node.value
    if isinstance(node, ast.Name):
        return [(sign, node.id)], 0
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        terms, number = _terms(node.left, sign)
        more, another = _terms(node.right, -sign if isinstance(node.op, ast.Sub) else sign)
        return terms + more, number + another
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return [(sign, f"{_factor(node.left)} * {_factor(node.right)}")], 0
    raise ValueError(ast.dump(node))


def _factor(node: ast.expr) -> str:
    if isinstance(node, ast.Constant | ast.Name):
        return ast.unparse(node)
    terms, number = _terms(node, 1)
    return f"({simplified(ast.unparse(node))})" if len(terms) + bool(number) > 1 else ast.unparse(node)


def _opening(text: str) -> int:
    """Place behind the bracket that is open at the end of the text."""
    depth = 0
    for place in range(len(text) - 1, -1, -1):
        depth += (text[place] == ")") - (text[place] == "(")
        if depth < 0:
            return place + 1
    return len(text)


def _closing(text: str) -> int:
    """Place of the bracket that closes what is open at the start of the text."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth < 0:
            return place
    return 0
