"""Blocks with a deliberate bug: one line of the source text is changed, the rest is the block that ships."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from sim.engines.cache import REPOSITORY
from sim.engines.convert_job import load_file

if TYPE_CHECKING:
    from types import ModuleType

    from pytest import MonkeyPatch

    from accel.types import StrPath
    from sim.cases.bench import BlockCase

RTL = REPOSITORY / "accel" / "rtl"


def mutate(name: str, old: str, new: str, folder: StrPath) -> ModuleType:
    """The block <name>.py of accel/rtl with `old` replaced by `new`; ValueError unless `old` stands there once."""
    (source,) = [path.read_text() for path in RTL.rglob(f"{name}.py")]
    if source.count(old) != 1:
        raise ValueError(f"{name}.py holds {source.count(old)} times {old!r}; a deliberate bug needs exactly one place")
    path = Path(folder) / f"{name}_with_bug.py"
    path.write_text(source.replace(old, new))  # MyHDL reads the source of its processes from the file
    return load_file(path.stem, path)


def with_bug(case: BlockCase, name: str, old: str, new: str, folder: StrPath, monkeypatch: MonkeyPatch) -> BlockCase:
    """The block case on the changed block, or on a block of the test that has the changed block inside."""
    module, function = mutate(name, old, new, folder), getattr(case.block, "func", case.block)
    if function.__module__.rpartition(".")[2] == name:
        return dataclasses.replace(case, block=getattr(module, function.__name__))
    monkeypatch.setitem(function.__globals__, name, getattr(module, name))
    return case
