"""What a benchmark returns, and how it is stored as JSON."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from accel.atomic import write_file
from accel.outputs import File

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """One line of a table: asked for, measured, and whether it holds (None: nothing asked). note: what the line has no
    room for."""

    what: str
    must: str
    aim: str
    measured: str
    met: bool | None = None
    note: str = ""


@dataclass(frozen=True)
class Result:
    """Rows for people and details for programs. digest: of the sources that it was measured with, "" for unknown."""

    name: str
    rows: tuple[Row, ...]
    details: dict = field(default_factory=dict)
    digest: str = ""

    @property
    def met(self):
        return all(row.met is not False for row in self.rows)

    def to_dict(self):
        return asdict(self) | {"met": self.met}


def output(name, folder):
    """The file of a result, as accel.outputs.File: it begins with the benchmark's name."""
    return File(Path(folder) / f"{name}.json", f'{{\n "name": "{name}",\n "rows": ['.encode())


def save(result, folder):
    """Write a Result; a file of the same benchmark is replaced. Raises OutputError where it cannot be written."""
    file = output(result.name, folder)
    write_file(file.path, json.dumps(result.to_dict(), indent=1) + "\n", file.mark)


def load_all(names, folder=RESULTS):
    """The stored results in the order of names; what was never measured is left out."""
    results = []
    for name in names:
        path = Path(folder) / f"{name}.json"
        if path.exists():
            stored = json.loads(path.read_text())
            rows = tuple(Row(**row) for row in stored["rows"])
            results.append(Result(stored["name"], rows, stored["details"], stored.get("digest", "")))
    return results
