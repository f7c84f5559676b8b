"""Output folders of each kind for the tests, made in milliseconds, and everything that lies in a folder."""

import hashlib
import os
from pathlib import Path

import numpy as np

from accel import ir, model_dir
from accel.atomic import atomic_directory
from accel.hdl import manifest

DESIGN_FILES = {
    "rtl/bitloom.v": "module bitloom; endmodule\n",
    "mem/program.mem": "00\n",
    "sim/run.sh": "#!/bin/sh\n",
    "vivado/board.xdc": "set_property A 1\n",
}


def write_model(path):
    source, output = ir.TensorType(1, 1, 4, 8, 1.0, 0), ir.TensorType(1, 1, 2, 32, 1.0, 0)
    layers = (ir.Dense("fc", "input", source, output, np.ones((2, 4), int), 8, np.ones(2), np.zeros(2, int), None),)
    model_dir.save(ir.Graph("net", source, ir.InputEncoding(), layers), path)


def write_design(path):
    """A folder as a conversion leaves it, but for what its files say."""
    with atomic_directory(manifest.output(path)) as folder:
        for name, text in DESIGN_FILES.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        (folder / manifest.MANIFEST).write_text(manifest.to_text(design_values()))


def design_values():
    files = {name: {"sha256": hashlib.sha256(text.encode()).hexdigest()} for name, text in DESIGN_FILES.items()}
    return {"format_version": 1, "made_by": {"bitloom": "0.1.0"}, "top": "bitloom", "files": files}


WRITERS = {"model": write_model, "design": write_design}


def everything(folder):
    """{relative path: content, target of a link, or None of a folder} of all that lies in a folder."""
    found = {}
    for current, below, files in os.walk(folder):
        for name in (*below, *files):
            path = Path(current, name)
            key = path.relative_to(folder).as_posix()
            if path.is_symlink():
                found[key] = os.readlink(path)
            else:
                found[key] = path.read_bytes() if path.is_file() else None
    return found
