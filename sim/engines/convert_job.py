"""The process that converts one block: python -m sim.engines.convert_job JOB.pickle OUT_FOLDER."""

from __future__ import annotations

import importlib
import importlib.util
import json
import pickle
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from accel.hdl import convert_design

if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from accel.types import StrPath
    from sim.engines.dut import Block


def load_file(name: str, path: StrPath) -> ModuleType:
    """The module that a Python file makes, known by this name from now on."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path}: is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def load_block(module_name: str, qualified_name: str, source_file: str | None) -> Block:
    """The block function, by module name or, where that cannot be imported, by file."""
    try:
        module = importlib.import_module(module_name)
        if Path(module.__file__ or "").resolve() != Path(source_file or "").resolve():
            raise ImportError
    except ImportError:
        if source_file is None:
            raise
        module = load_file("converted_block", source_file)
    found: Any = module
    for part in qualified_name.split("."):
        found = getattr(found, part)
    return found


def main(job_file: str, out_folder: str) -> None:
    warnings.simplefilter("ignore")
    out = Path(out_folder)
    job = pickle.loads(Path(job_file).read_bytes())
    ports = {name: kind.signal() if kind else None for name, kind in job["ports"]}
    block = load_block(*job["block"])
    design = convert_design(lambda: block(**ports, **job["params"]), hdl=job["hdl"], out_dir=out)
    directions = {port.name: {"in": "input", "out": "output"}[port.direction] for port in design.ports}
    files = [Path(file).name for file in design.files]
    manifest = {"files": files, "top": design.top, "directions": directions}
    (out / "manifest.json").write_text(json.dumps(manifest))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
