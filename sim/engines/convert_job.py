"""The process that converts one block: python -m sim.engines.convert_job JOB.pickle OUT_FOLDER."""

import importlib
import importlib.util
import json
import pickle
import re
import sys
import warnings
from pathlib import Path

from sim.engines.convert import signal_from_recipe

PORT_VERILOG = re.compile(r"^\s*(input|output)\b(?:\s+(?:wire|reg|logic|signed))*\s*(?:\[[^\]]*\])?\s*(\w+)", re.M)
PORT_VHDL = re.compile(r"^\s*(\w+)\s*:\s*(in|out|inout)\b", re.M | re.I)


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


def convert(block, ports, params, hdl, out):
    """Write the converted text into `out`; returns (file names in compile order, top module's name)."""
    instance = block(*ports.values(), **params)
    name = getattr(block, "func", block).__name__
    options = {"testbench": False} if hdl == "verilog" else {}
    instance.convert(hdl=hdl, path=str(out), name=name, no_myhdl_header=True, initial_values=True, **options)
    suffix = "*.v" if hdl == "verilog" else "*.vhd"
    files = sorted((path.name for path in out.glob(suffix)), key=lambda file: (not file.startswith("pck_"), file))
    return files, name


def port_directions(text, top, hdl):
    """{port name: "input" | "output"} of the top module in the converted text."""
    if hdl == "verilog":
        module = re.search(rf"^module\s+{top}\b.*?^endmodule", text, re.M | re.S)
        return {name: direction for direction, name in PORT_VERILOG.findall(module.group(0))}
    entity = re.search(rf"^entity\s+{top}\s+is(.*?)^end\b", text, re.M | re.S | re.I)
    return {name: "input" if mode.lower() == "in" else "output" for name, mode in PORT_VHDL.findall(entity.group(1))}


def main(job_file, out):
    warnings.simplefilter("ignore")
    out = Path(out)
    job = pickle.loads(Path(job_file).read_bytes())
    ports = {name: signal_from_recipe(recipe) for name, recipe in job["ports"]}
    files, top = convert(load_block(*job["block"]), ports, job["params"], job["hdl"], out)
    text = "\n".join((out / name).read_text() for name in files)
    directions = port_directions(text, top, job["hdl"])
    manifest = {"files": files, "top": top, "directions": directions}
    (out / "manifest.json").write_text(json.dumps(manifest))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
