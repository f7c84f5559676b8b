"""Makes MyHDL's Verilog readable without changing its meaning: fewer brackets, folded constants, shorter else."""

from __future__ import annotations

import re
import textwrap

from accel.hdl import indices

WIDTH = 110
CONSTANT = re.compile(r"\((\d+) (-|\+|\*\*) (\d+)\)")
BRACKETED = re.compile(r"^(\s*(?:end )?(?:else )?if |.* <= |.* = )\((.*)\)( begin|;)$")

IF_BEGIN = re.compile(r"^(\s*)(if \(.*\)) begin$")
CASE_ITEM = re.compile(r"^(\s*)([\w']+:) begin$")
STATEMENT = re.compile(r"^\s*[\w\[\]:{}, ()+*-]+ <?= .*;$")
DECLARATION = re.compile(r"^((?:reg|wire)(?: signed)?(?: \[\d+:\d+\])?) (\w+);$")


def tidy(body: str) -> str:
    """The same statements, easier to read."""
    body = re.sub(r"\n\s*\n\s*(?=\w[^\n]*\bbegin: )", "\n\n", body)
    body = _fold_constants(body)
    body = indices.tidy_verilog(body)
    body = re.sub(r"\nend\n\s*else ", "\nend else ", body)
    body = re.sub(r"\n(\s+)end\n\s+else ", r"\n\1end else ", body)
    lines = [_strip_brackets(line) for line in body.splitlines()]
    return "\n".join(_group_declarations(_shorten(lines)))


def _fold_constants(text: str) -> str:
    """(7 - 1) -> 6; negative results stay, Verilog would read them otherwise."""

    def fold(match: re.Match[str]) -> str:
        left, right = int(match[1]), int(match[3])
        if match[2] == "**" and right > 64:
            return match[0]
        value = left + right if match[2] == "+" else left - right if match[2] == "-" else left**right
        return str(value) if 0 <= value < 2**31 else match[0]

    folded = CONSTANT.sub(fold, text)
    return folded if folded == text else _fold_constants(folded)


def _strip_brackets(line: str) -> str:
    """One pair of brackets less around a whole condition or right-hand side."""
    match = BRACKETED.match(line)
    if not match or not _balanced(match[2]):
        return line
    head, inner, tail = match.groups()
    if head.rstrip().endswith("if"):
        return f"{head}({inner[1:-1]}){tail}" if _enclosed(inner) else line
    if any(mark in head for mark in ("if ", "for ", "?")) or "(" in head.replace("((", ""):
        return line
    return f"{head}{inner}{tail}"


def _shorten(lines: list[str]) -> list[str]:
    """if/else chains and case items whose branches are one statement each, without begin and end."""
    result, index = [], 0
    while index < len(lines):
        short, index = _chain(lines, index) or _case_item(lines, index) or ([lines[index]], index + 1)
        result += short
    return result


def _chain(lines: list[str], index: int) -> tuple[list[str], int] | None:
    """(lines, index behind it) of an if chain that starts here, None where it stays as it is."""
    head = IF_BEGIN.match(lines[index])
    if not head:
        return None
    indent, condition, result = head[1], head[2], []
    while True:
        statement, closing = [*lines[index + 1 : index + 3], "", ""][:2]
        line = f"{indent}{condition} {statement.strip()}"
        if not STATEMENT.match(statement) or len(line) > WIDTH or not closing.startswith(f"{indent}end"):
            return None
        result.append(line)
        index += 2
        rest = closing[len(indent) + len("end") :]
        if rest == "":
            return result, index + 1
        branch = re.fullmatch(r" (else(?: if \(.*\))?) begin", rest)
        if not branch:
            return None
        condition = branch[1]


def _case_item(lines: list[str], index: int) -> tuple[list[str], int] | None:
    head = CASE_ITEM.match(lines[index])
    following = lines[index + 1 : index + 3]
    if (
        head
        and len(following) == 2
        and STATEMENT.match(following[0])
        and following[1] == f"{head[1]}end"
        and len(head[0]) + len(following[0].strip()) < WIDTH
    ):
        return [f"{head[1]}{head[2]} {following[0].strip()}"], index + 3
    return None


def _group_declarations(lines: list[str]) -> list[str]:
    """Signals of one type in one declaration, where the first of them stands."""
    groups: dict[str, list[str]] = {}
    for line in lines:
        match = DECLARATION.match(line)
        if match:
            groups.setdefault(match[1], []).append(match[2])
    result = []
    for line in lines:
        match = DECLARATION.match(line)
        if not match:
            result.append(line)
        elif match[1] in groups:
            names = ", ".join(groups.pop(match[1]))
            result += textwrap.wrap(f"{match[1]} {names};", WIDTH, subsequent_indent="    ")
    return result


def _enclosed(text: str) -> bool:
    return text.startswith("(") and text.endswith(")") and _balanced(text[1:-1])


def _balanced(text: str) -> bool:
    """Brackets match, and none closes what was opened outside."""
    depth = 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if depth < 0:
            return False
    return depth == 0
