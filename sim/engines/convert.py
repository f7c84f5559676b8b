"""Convert a block to Verilog or VHDL in a fresh process, cached by the content of all that shapes the text.

MyHDL's converter keeps state between conversions, so each one gets a process of its own.
"""

from __future__ import annotations

import inspect
import json
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import myhdl

from accel.hdl.ports import PortType
from sim.engines.cache import REPOSITORY, cached, content_key

if TYPE_CHECKING:
    from sim.engines.dut import Block, Params, Ports


@dataclass(frozen=True)
class Converted:
    """A converted block: folder, source files in compile order, top module and {port: "input" | "output"}."""

    folder: Path
    files: tuple[str, ...]
    top: str
    directions: dict[str, str]

    @property
    def paths(self) -> list[Path]:
        return [self.folder / name for name in self.files]


def block_reference(block: Block) -> tuple[str, str, str | None]:
    """(module, qualified name, source file) of a block function."""
    function = getattr(block, "func", block)
    return (function.__module__, function.__qualname__, inspect.getsourcefile(function))


def convert_block(block: Block, ports: Ports, params: Params, hdl: str = "verilog") -> Converted:
    """Convert `block` with these ports (Signals or None) and parameters; returns Converted."""
    types = [(name, None if signal is None else PortType.of(signal, f"port {name}")) for name, signal in ports.items()]
    reference = block_reference(block)
    job = pickle.dumps({"block": reference, "ports": types, "params": params, "hdl": hdl})
    request = repr((reference[:2], types, sorted(params.items(), key=repr), hdl, myhdl.__version__))
    sources = _sources(reference[2])

    def build(scratch: Path) -> None:
        _run_job(job, scratch)
        if content_key(request, *sources) != key:
            raise _SourcesChanged

    while True:
        key = content_key(request, *sources)
        try:
            folder = cached("hdl", key, build)
            break
        except _SourcesChanged:
            continue  # somebody saved a file meanwhile: the text may belong to either version
    manifest = json.loads((folder / "manifest.json").read_text())
    return Converted(folder, tuple(manifest["files"]), manifest["top"], manifest["directions"])


class _SourcesChanged(Exception):
    """The block's sources are not those that the cache key names."""


def _sources(block_file: str | None) -> list[Path]:
    package = sorted((REPOSITORY / "accel").rglob("*.py"))
    return [*package, REPOSITORY / "sim" / "engines" / "convert_job.py", *([Path(block_file)] if block_file else [])]


def _run_job(job: bytes, scratch: Path) -> None:
    job_file = scratch / "job.pickle"
    job_file.write_bytes(job)
    environment = dict(os.environ, PYTHONPATH=str(REPOSITORY), PYTHONHASHSEED="0")
    done = subprocess.run(
        [sys.executable, "-m", "sim.engines.convert_job", str(job_file), str(scratch)],
        cwd=scratch,
        env=environment,
        capture_output=True,
        text=True,
    )
    job_file.unlink()
    if done.returncode:
        raise RuntimeError(f"conversion failed:\n{done.stdout}{done.stderr}")
