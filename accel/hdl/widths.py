"""Writes out the widths that Verilog extends operands to by itself; what a statement means stays the same."""

import re

from accel.hdl.expressions import COMPARISONS, LOGICAL, SHIFTS, Node, Reader, Scope, Shape, Unread
from accel.hdl.ports import Port

DECLARATION = re.compile(r"^\s*(?:\(\*.*\*\) )?(reg|wire|integer)( signed)?(?: \[(\d+):0\])? ([^;=]+);", re.MULTILINE)
STATE = re.compile(r"^localparam \[(\d+):0\] (\w+) =", re.MULTILINE)
CONDITION = re.compile(r"\s*(?:end )?(?:else )?if \(")
LABEL = re.compile(r"\s*(?:else |(?:[\w']+): |assign )")
ASSIGNMENT = re.compile(r"(\s*)(\w+(?:\[.*?\])*) (<?=) (.*);$")

EMPTY = Scope({}, {})


def write_widths(body: str, ports: list[Port], constants: dict[str, str] | None = None) -> str:
    """The body of a module with every narrow operand extended in writing.

    ports: and wires that the body does not declare. constants: {name: text of its number}.
    """
    return _written(body, _scope(body, ports, constants or {}))


def fit_constants(body: str, ports: list[Port], constants: dict[str, str]) -> dict[str, str]:
    """The constants, each that has a width in the width that its uses want, where all want the same."""
    scope = _scope(body, ports, constants)
    _written(body, scope)
    fitted = dict(constants)
    for name, bits in scope.wanted.items():
        if len(bits) == 1 and min(bits):
            fitted[name] = _settled(constants[name], EMPTY, min(bits))
    return fitted


def _scope(body: str, ports: list[Port], constants: dict[str, str]) -> Scope:
    return Scope({port.name: Shape(port.width, port.signed) for port in ports} | _declared(body), constants)


def _written(body: str, scope: Scope) -> str:
    return "\n".join(_line(line, scope) for line in body.split("\n"))


def _declared(body: str) -> dict[str, Shape]:
    """{name: Shape} of the signals; names that processes declare with several widths are left out."""
    found: dict[str, Shape] = {}
    several = set()
    for kind, signed, high, text in DECLARATION.findall(body):
        for item in text.split(","):
            name, array = item.split()[0], "[" in item
            bits = 32 if kind == "integer" else int(high or 0) + 1
            shape = Shape(bits, bool(signed) or kind == "integer", array)
            if found.setdefault(name, shape) != shape:
                several.add(name)
    found |= {name: Shape(int(high) + 1) for high, name in STATE.findall(body)}
    return {name: shape for name, shape in found.items() if name not in several}


def _line(line: str, scope: Scope) -> str:
    """A statement, or the beginning of one, with widths; as it is where it is none."""
    match = CONDITION.match(line)
    if match:
        end = _closing(line, match.end() - 1)
        if end is None:
            return line
        return line[: match.end()] + _settled(line[match.end() : end], scope) + ")" + _line(line[end + 1 :], scope)
    match = LABEL.match(line)
    if match:
        return match[0] + _line(line[match.end() :], scope)
    match = ASSIGNMENT.match(line)
    if not match:
        return line
    indent, target, arrow, value = match.groups()
    try:
        bits = Reader(target, scope).whole().bits
    except Unread:
        return line
    return f"{indent}{target} {arrow} {_settled(value, scope, bits or 0)};"


def _closing(line: str, begin: int) -> int | None:
    """Place of the bracket that closes the one at `begin`, None where it is on another line."""
    depth = 0
    for place in range(begin, len(line)):
        depth += (line[place] == "(") - (line[place] == ")")
        if depth == 0:
            return place
    return None


def _settled(text: str, scope: Scope, bits: int = 0) -> str:
    """An expression whose result is `bits` wide (0: as wide as it is), with the widths of its operands."""
    try:
        node = Reader(text, scope).whole()
        return _Writer(text, scope).alone(node, bits)
    except Unread:
        for name in scope.constants.keys() & set(re.findall(r"\w+", text)):
            scope.wanted[name].add(0)
        return text


class _Writer:
    """Text of a tree again, operands extended to the width that their surroundings give them."""

    def __init__(self, text: str, scope: Scope) -> None:
        self.source, self.scope = text, scope

    def alone(self, node: Node, bits: int = 0) -> str:
        """An operand that nothing around it but `bits` makes wider."""
        return self.within(node, max(bits, node.bits or 0), node.signed)

    def within(self, node: Node, bits: int, signed: bool) -> str:
        """An operand of an expression of this width and sign."""
        operator, operands = node.operator, node.operands
        if node.literal and node.bits:
            self.scope.wanted[self.source[node.begin : node.end].strip("() ")].add(max(bits, node.bits))
            if node.bits < bits:
                return _settled(node.literal, EMPTY, bits)
        if operands and node.value is not None and node.value >= 0 and 0 < bits < _widest(node):
            return str(node.value)  # a constant that fits, of numbers that do not
        if operator in COMPARISONS:
            wide = max(operand.bits or 0 for operand in operands)
            both = all(operand.signed for operand in operands)
            texts = [self.within(operand, wide, both) for operand in operands]
        elif operator in LOGICAL or operator in ("!", "name", "{}", "cast", "number", "constant"):
            texts = [self.alone(operand) for operand in operands]
        elif operator in SHIFTS:
            texts = [self.within(operands[0], bits, signed), self.alone(operands[1])]
        elif operator == "?":
            texts = [self.alone(operands[0]), *(self.within(operand, bits, signed) for operand in operands[1:])]
        else:
            return self.joined(node, [self.within(operand, bits, signed) for operand in operands])
        text = self.joined(node, texts)
        if operator in SHIFTS or operator == "?" or not node.bits or node.bits >= bits:
            return text
        return self.extended(node, text, bits - node.bits, signed)

    def joined(self, node: Node, texts: list[str]) -> str:
        """The node's text around new texts of its operands."""
        result, place = "", node.begin
        for operand, text in zip(node.operands, texts, strict=True):
            result += self.source[place : operand.begin] + text
            place = operand.end
        return result + self.source[place : node.end]

    def extended(self, node: Node, text: str, more: int, signed: bool) -> str:
        while text.startswith("(") and _closing(text, 0) == len(text) - 1:
            text = text[1:-1]
        if node.operator == "number":
            size, value = text.split("'")
            return f"{int(size) + more}'{value}"
        inner = node
        if node.operator == "cast" and signed and node.operands[0].operator == ">>>" and node.operands[0].signed:
            wide = self.within(node.operands[0], (node.bits or 0) + more, True)  # loses no bit at the top
            return self.joined(node, [wide])
        if node.operator == "cast":
            inner, text = node.operands[0], text[text.index("(") + 1 : -1]
        if not signed or inner.operator == "{}" and re.match(r"\{\d+'b0, ", text):
            zeros = f"{more}'b0"
            if inner.operator == "{}":
                leading = re.match(r"\{(\d+)'b0, ", text)
                if leading:
                    zeros, text = f"{int(leading[1]) + more}'b0", "{" + text[leading.end() :]
                text = text[1:-1]
            text = f"{{{zeros}, {text}}}"
        elif inner.top:
            sign = inner.top if more == 1 else f"{{{more}{{{inner.top}}}}}"
            text = f"{{{sign}, {text}}}"
        else:
            raise Unread(text)
        return f"$signed({text})" if signed else text


def _widest(node: Node) -> int:
    """Bits of the largest number in a constant expression."""
    return max(map(_widest, node.operands)) if node.operands else (node.value or 0).bit_length()
