"""The process that converts one block: python -m sim.engines.convert_job JOB.pickle OUT_FOLDER."""

import importlib
import importlib.util
import json
import pickle
import sys
import warnings
from pathlib import Path

from accel.hdl import convert_design


def load_block(module_name, qualified_name, source_file):
    """The block function, by module name or, where that cannot be imported, by file."""
    try:
        module = importlib.import_module(module_name)
        if Path(module.__file__).resolve() != Path(source_file).resolve():
            raise ImportError
    except ImportError:
        spec = importlib.util.spec_from_file_location("converted_block", source_file)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    found = module
    for part in qualified_name.split("."):
        found = getattr(found, part)
    return found


def main(job_file, out):
    warnings.simplefilter("ignore")
    out = Path(out)
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
