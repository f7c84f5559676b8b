"""Digests of the converted text of every block case and of many accelerators, to compare before and after a change.

    python -m scripts.text_digests > before.txt      # at the state before
    python -m scripts.text_digests | diff before.txt -    # after the change: no line means the same text

A line is: digest, language, design, module. The comment above a module (its docstring and parameters) is left out.
"""

import functools
import gc
import hashlib
import importlib
import sys
import tempfile
from pathlib import Path

from accel.names import ACTIVATION_BITS, PRECISIONS

ROOT = Path(__file__).resolve().parents[1]
COMMENT = {"verilog": "//", "vhdl": "--"}
SMALL = {
    "rows": 4,
    "lanes": 4,
    "weight_depth": 128,
    "act_depth": 64,
    "line_depth": 32,
    "param_depth": 32,
    "pool_depth": 16,
}
ACCELERATORS = (
    {},
    {"rows": 4, "lanes": 8},
    {"rows": 8, "lanes": 4},
    {"rows": 8, "lanes": 8},
    {"rows": 16, "lanes": 16},
    {"input_tlast": False},
    {"float_input": True},
    {"float_output": True, "lanes": 8},
    {"float_input": True, "float_output": True, "input_tlast": False},
    {"acc_bits": 16},
    {"req_lanes": 1},
    {"req_lanes": 4},
    {"multiplier": "18x18"},
    {"multiplier": "shift_add"},
    {"requantizer": "pow2"},
    {"requantizer": "khot2"},
    {"requantizer": "khot3"},
    {"precisions": (8, 6)},
    {"precisions": (8, 4)},
    {"precisions": (8, 2)},
    {"precisions": (8, 1)},
    {"precisions": ACTIVATION_BITS},
    {"precisions": PRECISIONS, "rows": 8, "lanes": 8},
    {"precisions": PRECISIONS, "lanes": 16, "multiplier": "18x18", "float_input": True, "float_output": True},
    {"weight_style": "ultra"},
    {"line_style": "distributed"},
    {"act_style": "ultra"},
)


def block_cases():
    """Every case of every test of a block, by name."""
    from sim.cases.bench import BlockCase

    for path in sorted(ROOT.glob("sim/**/test_*.py")):
        importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return sorted((thing for thing in gc.get_objects() if isinstance(thing, BlockCase)), key=lambda case: case.name)


def designs():
    """(name, function that converts it: (hdl, folder) -> ConvertedDesign)."""
    from accel.config import HardwareConfig
    from accel.hdl.accelerator import convert_accelerator
    from accel.hdl.design import convert_design

    for options in ACCELERATORS:
        name = "bitloom" + "".join(f" {key}={value}" for key, value in options.items())
        config = HardwareConfig(**SMALL | options)
        yield name, lambda hdl, out, config=config: convert_accelerator(config, out, hdl=hdl)
    for case in block_cases():

        def convert(hdl, out, case=case):
            ports = case.ports()
            return convert_design(functools.partial(case.block, **ports, **case.params), hdl, out)

        yield case.name, convert


def main():
    """Print the lines, sorted."""
    for name, convert in designs():
        for hdl, mark in COMMENT.items():
            with tempfile.TemporaryDirectory() as folder:
                try:
                    modules = convert(hdl, Path(folder)).modules
                except Exception as error:
                    print(f"{type(error).__name__:16} {hdl:7} {name}: {str(error)[:80]}")
                    continue
            for module in modules:
                lines = module.text.splitlines()
                while lines and lines[0].startswith(mark):
                    lines.pop(0)
                digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
                print(f"{digest} {hdl:7} {name}: {module.name}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
