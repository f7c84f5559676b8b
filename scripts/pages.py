"""Tables of the documentation that come from the code: `make docs` writes them, a test compares them."""

import re
from dataclasses import fields
from pathlib import Path

from accel import descriptor
from accel.atomic import write_file
from accel.config import HardwareConfig

ARCHITECTURE = Path(__file__).resolve().parent.parent / "docs" / "architecture.md"


def fill(page, name, text):
    """The page with everything between `<!-- name -->` and `<!-- end of name -->` replaced by the text."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, rest = page.split(begin)
    return f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}"


def _table(head, rows):
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def descriptor_table():
    rows = [
        (
            field.word,
            f"{field.low + field.bits - 1}:{field.low}" if field.bits > 1 else field.low,
            f"`{field.name}`",
            field.doc,
        )
        for field in descriptor.FIELDS.values()
    ]
    return _table(("word", "bits", "field", "meaning"), rows)


def error_table():
    rows = [
        *descriptor.ERROR_TEXT.items(),
        (f"{descriptor.ERROR_FIELD} + n", "word n of the descriptor holds a value over its limit"),
    ]
    return _table(("code", "meaning"), rows)


def register_table():
    rows = [(offset, f"`{name}`", access, reset, text) for name, offset, access, reset, text in descriptor.REGISTERS]
    return _table(("offset", "register", "access", "from reset on", "meaning"), rows)


def option_table():
    """The fields of HardwareConfig: their defaults, and what its docstring says about them."""
    defaults = {field.name: field.default for field in fields(HardwareConfig)}
    name = "|".join(defaults)
    entries = re.split(rf"\n    (?=(?:(?:{name})(?:, )?)+: )", HardwareConfig.__doc__.split("    Raises ")[0])[1:]
    rows = []
    for names, text in (entry.split(": ", 1) for entry in entries):
        given = ", ".join(dict.fromkeys(_shown(defaults[name]) for name in names.split(", ")))
        rows.append((", ".join(f"`{name}`" for name in names.split(", ")), given, " ".join(text.split())))
    return _table(("option", "default", "meaning"), rows)


def _shown(default):
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return str(int(default)) if isinstance(default, bool) else str(default) or "none"


def architecture(page):
    """The page with its tables up to date."""
    tables = {
        "descriptor": descriptor_table(),
        "error codes": error_table(),
        "registers": register_table(),
        "build options": option_table(),
    }
    for name, table in tables.items():
        page = fill(page, name, table)
    return page


if __name__ == "__main__":
    write_file(ARCHITECTURE, architecture(ARCHITECTURE.read_text(encoding="utf-8")))
