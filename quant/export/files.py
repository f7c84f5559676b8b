"""The files of an export: all are made before the first is written."""

from pathlib import Path

from accel import model_dir
from accel.atomic import write_file
from accel.errors import OutputError
from accel.reference import check_network
from quant.export.c_source import c_files
from quant.export.notes import notes_text
from quant.export.tables import npz_bytes, safetensors_bytes

FORMATS = ("npz", "safetensors", "c", "notes")


def contents(graph, formats=FORMATS):
    """{file name: bytes or text} of a graph in some of FORMATS; equal graphs give equal bytes.

    Raises RangeError where an accumulator could leave int32 or a format cannot hold a number, TargetError where a
    package is missing.
    """
    check_network(graph)
    files = {}
    if "npz" in formats:
        files[f"{graph.name}.npz"] = npz_bytes(graph)
    if "safetensors" in formats:
        files[f"{graph.name}.safetensors"] = safetensors_bytes(graph)
    if "c" in formats:
        files |= c_files(graph)
    if "notes" in formats:
        files[f"{graph.name}-formats.md"] = notes_text(graph)
    return files


def write(graph, folder, formats=FORMATS, with_model=False):
    """Write the files, with_model also the model directory NAME, into a folder; returns their paths.

    Other files in the folder stay. Raises OutputError where it cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: exists and is not a folder; choose another --out")
    files = contents(graph, formats)
    for name, data in files.items():
        write_file(folder / name, data)
    paths = [folder / name for name in files]
    if with_model:
        model_dir.save(graph, folder / graph.name)
        paths.append(folder / graph.name)
    return paths
