"""`python -m quant export`: a quantized network as tables for other programs."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from accel import model_dir
from accel.cli import EXIT_OK, json_option, print_json, print_table
from accel.errors import ModelError
from accel.ir import Graph
from accel.options import model_option, taking
from accel.outputs import check_named
from quant.data import datasets
from quant.export.files import FORMATS, check, write


@dataclass(frozen=True)
class Export:
    """The command's options; npz to notes: the formats, as quant.export.files.FORMATS names them."""

    model: str
    npz: bool
    safetensors: bool
    c: bool
    notes: bool
    with_model: bool
    out: str | None
    as_json: bool


@click.command()
@model_option(positional=True, required=True, help="Quantized model: directory, or name of the zoo.")
@click.option("--npz", is_flag=True, help="All tables as NumPy arrays in one .npz file.")
@click.option("--safetensors", is_flag=True, help="All tables in one .safetensors file.")
@click.option("--c", "c", is_flag=True, help="C99 header and source; bitloom_run.h computes layers from them.")
@click.option("--notes", is_flag=True, help="Fixed-point format of every tensor, as Qm.n and HLS type, in Markdown.")
@click.option("--model-dir", "with_model", is_flag=True, help="The model directory itself.")
@click.option("--out", type=click.Path(), default=None, help="Folder to write into; default: NAME-tables.")
@json_option
@taking(Export)
def export(given: Export) -> int:
    """Write the tables of a quantized model (directory, or name of the zoo) for other programs.

    Integer weights of 8, 6, 4, 2 and 1 bits, scales, zero points, biases, multipliers, thresholds. Without a choice of
    formats: all but the model directory.

    JSON keys: model, name, layers, weights, out, files (file, bytes).

    Example: python -m quant export --model lenet5-int8 --c --out build/out/tables
    """
    formats: Sequence[str] = [name for name in FORMATS if getattr(given, name)]
    graph = _load(given.model)
    formats = formats or (() if given.with_model else FORMATS)
    out = f"{graph.name}-tables" if given.out is None else given.out
    check_named(out)
    folder = Path(out)
    check(graph, folder, formats, given.with_model, model_dir.folder_of(given.model))
    paths = write(graph, folder, formats, given.with_model)
    files = [{"file": str(path.relative_to(folder)), "bytes": _size(path)} for path in paths]
    if given.as_json:
        weights = sum(layer.weights.size for layer in graph.layers if layer.op != "maxpool")
        print_json(
            {
                "model": given.model,
                "name": graph.name,
                "layers": len(graph.layers),
                "weights": weights,
                "out": str(folder),
                "files": files,
            }
        )
    else:
        print_table(f"{graph.name} -> {folder}", ("file", "bytes"), [(item["file"], item["bytes"]) for item in files])
    return EXIT_OK


def _load(model: str) -> Graph:
    if not os.path.exists(model) and (datasets.ZOO / model / "weights.npz").is_file():
        raise ModelError(
            f"model '{model}' is a float network, which has no integers; quantize it first with "
            f"python -m quant ptq --model {model} --out DIR and export --model DIR"
        )
    return model_dir.load(model)


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(part.stat().st_size for part in path.iterdir())
    return path.stat().st_size
