"""The files of an export: all are made before the first is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from accel import model_dir
from accel.atomic import write_file
from accel.outputs import File, check_outputs
from accel.reference import check_network
from quant import marks
from quant.export.c_source import RUN_HEADER, c_files, c_name
from quant.export.notes import notes_text
from quant.export.tables import npz_bytes, safetensors_bytes

if TYPE_CHECKING:
    from collections.abc import Collection

    from accel.ir import Graph
    from accel.outputs import Output
    from accel.types import StrPath

FORMATS = ("npz", "safetensors", "c", "notes")


def contents(graph: Graph, formats: Collection[str] = FORMATS) -> dict[str, bytes | str]:
    """{file name: bytes or text} of a graph in some of FORMATS; equal graphs give equal bytes.

    Raises RangeError where an accumulator could leave int32 or a format cannot hold a number, TargetError where a
    package is missing.
    """
    check_network(graph)
    files: dict[str, bytes | str] = {}
    if "npz" in formats:
        files[f"{graph.name}.npz"] = npz_bytes(graph)
    if "safetensors" in formats:
        files[f"{graph.name}.safetensors"] = safetensors_bytes(graph)
    if "c" in formats:
        files |= c_files(graph)
    if "notes" in formats:
        files[f"{graph.name}-formats.md"] = notes_text(graph)
    return files


def check(
    graph: Graph,
    folder: StrPath,
    formats: Collection[str] = FORMATS,
    with_model: bool = False,
    source: StrPath | None = None,
) -> None:
    """Raise OutputError where a file of this export cannot or may not be written; source: the folder of the model."""
    names = {
        "npz": [f"{graph.name}.npz"],
        "safetensors": [f"{graph.name}.safetensors"],
        "c": [f"{c_name(graph.name)}.h", f"{c_name(graph.name)}.c", RUN_HEADER],
        "notes": [f"{graph.name}-formats.md"],
    }
    outputs: list[Output] = [File(Path(folder, name), _mark(name)) for key in formats for name in names[key]]
    if with_model:
        outputs.append(model_dir.output(Path(folder, graph.name)))
    check_outputs(*outputs, model=source)


def _mark(name: str) -> bytes:
    return marks.RUN_HEADER if name == RUN_HEADER else marks.TABLES[Path(name).suffix]


def write(graph: Graph, folder: StrPath, formats: Collection[str] = FORMATS, with_model: bool = False) -> list[Path]:
    """Write the files, with_model also the model directory NAME, into a folder; returns their paths.

    Other files in the folder stay. Raises OutputError, before the first is written, where one of them cannot be
    written, or exists and was not written by an export.
    """
    folder = Path(folder)
    check(graph, folder, formats, with_model)
    files = contents(graph, formats)
    for name, data in files.items():
        write_file(folder / name, data, _mark(name))
    paths = [folder / name for name in files]
    if with_model:
        model_dir.save(graph, folder / graph.name)
        paths.append(folder / graph.name)
    return paths
