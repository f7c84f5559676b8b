"""The repository's own rules: import directions, file lengths, commands that the documentation names."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import pages
from tests.names import HOMES, restated

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("accel", "quant", "sim", "tests", "benchmarks", "scripts")
MAX_LINES = 400
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "examples").glob("*.md")),
    ROOT / "quant" / "zoo" / "README.md",
]

# package prefix -> module prefixes that nothing in it imports
FORBIDDEN = {
    "accel": ("quant", "sim", "tests", "benchmarks", "torch"),
    "accel.rtl": ("accel.compile", "accel.convert", "accel.hdl", "accel.reference", "accel.ir"),
    # The PyTorch reference states the arithmetic on its own, or its equality would prove nothing.
    "quant": ("accel.fixedpoint", "accel.rtl", "sim", "tests", "benchmarks"),
    "sim": ("torch", "tests", "benchmarks"),
    "benchmarks": ("torch", "tests"),
}

# module and subcommands whose --help carries an example
COMMANDS = (
    ("accel.convert",),
    ("quant",),
    ("quant", "train"),
    ("quant", "ptq"),
    ("quant", "qat"),
    ("quant", "check"),
    ("quant", "compare"),
    ("quant", "evaluate"),
    ("quant", "export"),
    ("quant", "search"),
    ("quant", "report"),
    ("sim",),
    ("sim", "run"),
    ("benchmarks",),
)


def python_files():
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_for_types(node):
    """Whether a statement is `if TYPE_CHECKING:`, whose imports never run."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def statements(path, types):
    """Every node of a file; types: those below `if TYPE_CHECKING:` too."""
    pending = [ast.parse(path.read_text(encoding="utf-8"), str(path))]
    while pending:
        node = pending.pop()
        yield node
        if types or not is_for_types(node):
            pending += ast.iter_child_nodes(node)


def imported_modules(path, types=True):
    """Full names of what a file imports; `from a import b` gives both a and a.b. types: for annotations only too."""
    package = list(path.relative_to(ROOT).parts[:-1])
    for node in statements(path, types):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def is_inside(module, prefix):
    return module == prefix or module.startswith(prefix + ".")


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_go_one_way(package):
    broken = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in python_files()
        if is_inside(module_name(path), package)
        for module in imported_modules(path)
        if any(is_inside(module, prefix) for prefix in FORBIDDEN[package])
    ]
    assert not broken, "\n".join(broken)


def test_imports_run_in_no_circle():
    files = {module_name(path): path for path in python_files()}
    graph = {
        name: {
            module for module in imported_modules(path, types=False) if module in files and not is_inside(name, module)
        }
        for name, path in files.items()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_the_import_reader_sees_every_form(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    file = tmp_path / "quant" / "deep" / "module.py"
    file.parent.mkdir(parents=True)
    file.write_text("import torch.nn as nn\nfrom accel import fixedpoint\nfrom .. import models\n")
    assert {"torch.nn", "accel", "accel.fixedpoint", "quant", "quant.models"} == set(imported_modules(file))
    file.write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from accel import ir\n")
    assert "accel.ir" in set(imported_modules(file))
    assert {"typing", "typing.TYPE_CHECKING"} == set(imported_modules(file, types=False))


def test_no_python_file_is_too_long():
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in python_files()}
    assert not {str(path): count for path, count in lengths.items() if count > MAX_LINES}


def test_no_file_is_called_by_what_every_file_is_about():
    assert not [str(path) for path in python_files() if path.stem in ("network", "networks", "utils", "helpers")]


def test_no_family_of_names_is_stated_again():
    again = [
        f"{path.relative_to(ROOT)}:{line} states {family}"
        for path in python_files()
        if path.relative_to(ROOT).as_posix() not in HOMES
        and not path.relative_to(ROOT).parts[0] == "tests"
        and not path.name.startswith("test_")
        for line, family in restated(path.read_text(encoding="utf-8"))
    ]
    assert not again, "\n".join(again)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_shows_an_example(command):
    done = subprocess.run(
        [sys.executable, "-m", *command, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"\bexamples?\b", done.stdout, re.IGNORECASE), done.stdout
    assert f"python -m {command[0]}" in done.stdout


def documented_commands(pattern):
    """(file, match) of every command in the code spans and blocks of README.md and docs/."""
    for page in PAGES:
        code = re.findall(r"^```.*?\n(.*?)^```|`([^`\n]+)`", page.read_text(encoding="utf-8"), re.S | re.M)
        for block in code:
            for match in re.findall(pattern, "\n".join(block), re.M):
                yield page.name, match


def test_documented_make_targets_exist():
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    named = set(documented_commands(r"^\s*\$?\s*make ([a-z][a-z-]*)"))
    assert {name for _, name in named} >= {"convert", "test"}
    assert not [f"{page}: make {name}" for page, name in named if name not in targets]


def test_documented_modules_exist():
    named = set(documented_commands(r"python3? -m ([a-z_.]+)"))
    local = [(page, name) for page, name in named if name.split(".")[0] in PACKAGES]
    assert {name for _, name in local} >= {"accel.convert", "quant", "sim"}
    missing = [
        f"{page}: python -m {name}"
        for page, name in local
        for path in [ROOT.joinpath(*name.split("."))]
        if not (path.with_suffix(".py").exists() or (path / "__main__.py").exists())
    ]
    assert not missing, "\n".join(missing)


def test_tables_of_the_documentation_are_those_of_the_code():
    page = pages.ARCHITECTURE.read_text(encoding="utf-8")
    assert pages.architecture(page) == page, "run: make docs"


def test_documentation_links_lead_somewhere():
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.name}: {target}")
    assert not broken, "\n".join(broken)


def test_the_first_page_is_short():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 110
    assert not [line for line in lines if len(line) > 160]


def test_every_page_is_in_the_index_and_opens_with_a_sentence():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in sorted((ROOT / "docs").glob("*.md")):
        if page.name != "README.md":
            assert f"]({page.name})" in index, f"docs/README.md lacks {page.name}"
        title, blank, first, *_ = page.read_text(encoding="utf-8").splitlines()
        assert title.startswith("# ") and not blank
        assert re.match(r"[A-Z`].*\w", first) and not first.startswith("```"), f"{page.name} opens with {first!r}"
