"""Reads one Verilog expression of the converted text: a tree of operands with widths, signs and places in the text."""

import re
from collections import defaultdict
from dataclasses import dataclass, field
from operator import add, mul, sub

TOKEN = re.compile(
    r"\s*(?P<text>\d*'s?[bdh][0-9a-fA-FxzXZ_]+|\d+|\$?[A-Za-z_]\w*"
    r"|<<<|>>>|<<|>>|<=|>=|==|!=|&&|\|\||\+:|[-+*/%&|^~!?:<>()\[\]{},.=;])"
)
BINARY = [
    ("||",),
    ("&&",),
    ("|",),
    ("^",),
    ("&",),
    ("==", "!="),
    ("<", "<=", ">", ">="),
    ("<<", ">>", "<<<", ">>>"),
    ("+", "-"),
    ("*", "/", "%"),
]  # weakest first
COMPARISONS = {"==", "!=", "<", "<=", ">", ">="}
SHIFTS = {"<<", ">>", "<<<", ">>>"}
LOGICAL = {"||", "&&"}
CONSTANT = {"+": add, "-": sub, "*": mul}


class Unread(Exception):
    """The text is not an expression that this module reads."""


@dataclass(frozen=True)
class Shape:
    """A declared name: bits (of one word), signed, and whether it is an array of words."""

    bits: int
    signed: bool = False
    array: bool = False


@dataclass(frozen=True)
class Scope:
    """What names mean. names: of signals. constants: name -> text of its number.

    wanted: name of a constant that has a width -> the widths in which it is used, 0 where that was not found out.
    """

    names: dict[str, Shape]
    constants: dict[str, str]
    wanted: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))


@dataclass
class Node:
    """An operand and its place in the text, brackets around it included.

    bits: None for a number without a width. operator: as in the text; "number", "name" (with what is selected of it),
    "{}", "cast" ($signed, $unsigned); "!" for whatever makes one bit of one operand. top: text of the highest bit of a
    name, or "" where it cannot be written. value: of a constant whose width is not written, else None. literal: what
    the name of a constant stands for.
    """

    bits: int | None
    signed: bool
    begin: int
    end: int
    operator: str = "number"
    operands: list["Node"] = field(default_factory=list)
    top: str = ""
    value: int | None = None
    literal: str = ""


class Reader:
    """Recursive descent over the tokens of `text`."""

    def __init__(self, text: str, scope: Scope) -> None:
        self.text, self.scope, self.tokens, self.at = text, scope, [], 0
        place = 0
        while text[place:].strip():
            match = TOKEN.match(text, place)
            if not match:
                raise Unread(text[place:])
            self.tokens.append((match["text"], match.start("text"), match.end("text")))
            place = match.end()

    def whole(self) -> Node:
        """The tree of the whole text. Raises Unread."""
        node = self.expression()
        if self.at < len(self.tokens):
            raise Unread(self.text)
        return node

    def peek(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else ""

    def take(self, expected: str | None = None) -> tuple[str, int, int]:
        if self.at == len(self.tokens) or expected not in (None, self.peek()):
            raise Unread(self.text)
        self.at += 1
        return self.tokens[self.at - 1]

    def expression(self) -> Node:
        condition = self.binary(0)
        if self.peek() != "?":
            return condition
        self.take()
        yes = self.expression()
        self.take(":")
        no = self.expression()
        return _joined("?", [condition, yes, no], [yes, no])

    def binary(self, level: int) -> Node:
        if level == len(BINARY):
            return self.unary()
        left = self.binary(level + 1)
        while self.peek() in BINARY[level]:
            operator = self.take()[0]
            right = self.binary(level + 1)
            if operator in COMPARISONS or operator in LOGICAL:
                left = Node(1, False, left.begin, right.end, operator, [left, right])
            else:
                left = _joined(operator, [left, right], [left] if operator in SHIFTS else [left, right])
        return left

    def unary(self) -> Node:
        operator = self.peek()
        if operator not in ("!", "~", "-", "&", "|", "^"):
            return self.primary()
        begin = self.take()[1]
        operand = self.unary()
        if operator in ("~", "-"):
            value = -operand.value if operator == "-" and operand.value is not None else None
            return Node(operand.bits, operand.signed, begin, operand.end, operator, [operand], value=value)
        return Node(1, False, begin, operand.end, "!", [operand])

    def primary(self) -> Node:
        text, begin, end = self.take()
        if text == "(":
            inner = self.expression()
            inner.begin, inner.end = begin, self.take(")")[2]
            return inner
        if text == "{":
            return self.concatenation(begin)
        if text in ("$signed", "$unsigned"):
            self.take("(")
            inner = self.expression()
            end = self.take(")")[2]
            return Node(inner.bits, text == "$signed", begin, end, "cast", [inner])
        if text[0].isdigit() or text[0] == "'":
            return _number(text, begin, end)
        if text in self.scope.constants:
            literal = self.scope.constants[text]
            node = Reader(literal, self.scope).whole()
            return Node(node.bits, node.signed, begin, end, "constant", value=node.value, literal=literal)
        if text not in self.scope.names:
            raise Unread(text)
        return self.selected(text, begin, end)

    def concatenation(self, begin: int) -> Node:
        parts = [self.expression()]
        while self.peek() == ",":
            self.take()
            parts.append(self.expression())
        widths = [part.bits for part in parts if part.bits is not None]
        if len(widths) < len(parts):
            raise Unread(self.text)
        return Node(sum(widths), False, begin, self.take("}")[2], "{}", parts)

    def selected(self, name: str, begin: int, end: int) -> Node:
        """A name with what is selected of it."""
        shape, indices = self.scope.names[name], []
        bits, signed, array = shape.bits, shape.signed, shape.array
        top = "" if array else f"{name}[{bits - 1}]" if bits > 1 else name
        while self.peek() == "[":
            self.take()
            indices.append(self.expression())
            high = self.text[indices[-1].begin : indices[-1].end]
            if self.peek() == ":":
                self.take()
                indices.append(self.expression())
                highest, lowest = indices[-2].value, indices[-1].value
                if highest is None or lowest is None:
                    raise Unread(self.text)
                bits, signed, top = highest - lowest + 1, False, f"{self.text[begin:end]}[{high}]"
            elif self.peek() == "+:":
                self.take()
                indices.append(self.expression())
                if indices[-1].value is None:
                    raise Unread(self.text)
                bits, signed, top = indices[-1].value, False, ""
            elif array:
                array, top = False, f"{self.text[begin:end]}[{high}][{bits - 1}]"
            else:
                bits, signed, top = 1, False, f"{self.text[begin:end]}[{high}]"
            end = self.take("]")[2]
        return Node(bits, signed, begin, end, "name", indices, top)


def _number(text: str, begin: int, end: int) -> Node:
    if "'" not in text:
        return Node(None, True, begin, end, value=int(text))
    size, rest = text.split("'")
    signed = rest[0] == "s"
    return Node(int(size) if size else None, signed, begin, end)


def _joined(operator: str, operands: list[Node], sized: list[Node]) -> Node:
    """A node as wide as the widest of `sized`, signed where all of them are."""
    known = [operand.bits for operand in sized if operand.bits is not None]
    constant = operator in CONSTANT and None not in [operand.value for operand in operands]
    return Node(
        max(known) if known else None,
        all(operand.signed for operand in sized),
        operands[0].begin,
        operands[-1].end,
        operator,
        operands,
        value=CONSTANT[operator](*(operand.value for operand in operands)) if constant else None,
    )
