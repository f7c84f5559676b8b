"""The block cases that are replayed in VHDL: the CASES of every sim/test_*.py but those with vhdl=False."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim.cases.bench import BlockCase

TESTS = Path(__file__).resolve().parents[1]


def vhdl_cases() -> dict[str, BlockCase]:
    """{name: BlockCase}, sorted by name; ValueError when two cases have one name."""
    cases = {}
    for path in sorted(TESTS.glob("test_*.py")):
        module = importlib.import_module(f"sim.{path.stem}")
        for case in getattr(module, "CASES", ()):
            if case.name in cases:
                raise ValueError(f"{path.name}: another block case is called {case.name}; names must differ")
            cases[case.name] = case
    return {name: case for name, case in sorted(cases.items()) if case.vhdl}
