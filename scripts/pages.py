"""Tables of the documentation that come from the code: `make docs` writes them, a test compares them."""

from pathlib import Path

from accel import descriptor
from accel.atomic import write_file

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
        (field.word, f"{field.low + field.bits - 1}:{field.low}" if field.bits > 1 else field.low,
         f"`{field.name}`", field.doc)
        for field in descriptor.FIELDS.values()
    ]
    return _table(("word", "bits", "field", "meaning"), rows)


def error_table():
    rows = [*descriptor.ERROR_TEXT.items(),
            (f"{descriptor.ERROR_FIELD} + n", "word n of the descriptor holds a value over its limit")]
    return _table(("code", "meaning"), rows)


def architecture(page):
    """The page with its tables up to date."""
    return fill(fill(page, "descriptor", descriptor_table()), "error codes", error_table())


if __name__ == "__main__":
    write_file(ARCHITECTURE, architecture(ARCHITECTURE.read_text(encoding="utf-8")))
