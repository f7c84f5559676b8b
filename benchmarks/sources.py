"""Whether a stored result still stands for the sources: a digest of the code that shapes it."""

import ast
import functools
import hashlib
from pathlib import Path

from benchmarks.catalog import BENCHMARKS

ROOT = Path(__file__).resolve().parent.parent
DATA = {".json", ".bin", ".npz"}


def digest(name):
    """Hexadecimal digest of a benchmark's sources: code without comments, docstrings and blank lines; model files."""
    whole = hashlib.sha256()
    for path in sorted(set(files(name))):
        status = path.stat()
        content = _content_digest(path, status.st_mtime_ns, status.st_size)
        whole.update(f"{path.relative_to(ROOT).as_posix()}:{content}\n".encode())
    return whole.hexdigest()[:16]


@functools.cache  # most benchmarks share most of their sources; a changed file has another time or size
def _content_digest(path, _changed_at, _size):
    content = code(path.read_text(encoding="utf-8")).encode() if path.suffix == ".py" else path.read_bytes()
    return hashlib.sha256(content).hexdigest()


def files(name):
    """The files that shape a benchmark's result."""
    for source in (f"benchmarks/{name}.py", *BENCHMARKS[name].sources):
        path = ROOT / source
        if path.is_dir():
            yield from (file for file in path.rglob("*") if file.suffix in DATA | {".py"})
        else:
            yield path


def code(text):
    """The lines of a module that do something: what only explains them makes no figure old."""
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            lines[body[0].lineno - 1 : body[0].end_lineno] = [""] * (body[0].end_lineno - body[0].lineno + 1)
    return "\n".join(line.rstrip() for line in lines if line.strip() and not line.lstrip().startswith("#"))


def is_old(result):
    """Whether a stored result was measured with other sources than these."""
    return result.digest != digest(result.name)
