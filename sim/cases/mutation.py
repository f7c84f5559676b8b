"""Blocks with a deliberate bug: one line of the source text is changed, the rest is the block that ships."""

import dataclasses
import importlib.util
import sys
from pathlib import Path

from sim.engines.cache import REPOSITORY

RTL = REPOSITORY / "accel" / "rtl"


def mutate(name, old, new, folder):
    """The block <name>.py of accel/rtl with `old` replaced by `new`; ValueError unless `old` stands there once."""
    (source,) = [path.read_text() for path in RTL.rglob(f"{name}.py")]
    if source.count(old) != 1:
        raise ValueError(f"{name}.py holds {source.count(old)} times {old!r}; a deliberate bug needs exactly one place")
    path = Path(folder) / f"{name}_with_bug.py"
    path.write_text(source.replace(old, new))  # MyHDL reads the source of its processes from the file
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def with_bug(case, name, old, new, folder, monkeypatch):
    """The block case on the changed block, or on a block of the test that has the changed block inside."""
    module, function = mutate(name, old, new, folder), case.block.func
    if function.__module__.rpartition(".")[2] == name:
        return dataclasses.replace(case, block=getattr(module, function.__name__))
    monkeypatch.setitem(function.__globals__, name, getattr(module, name))
    return case
