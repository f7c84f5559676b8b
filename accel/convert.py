"""Command line: a network and a target in; Verilog or VHDL, memory images and a Vivado project out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if __name__ == "__main__":  # before the imports below: run() says which package is missing
    from accel.start import run

    run("accel.convert", "python -m accel.convert")

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import click

from accel import model_dir
from accel.cli import json_option, print_json, print_table, progress
from accel.compile import compile_graph, fit_config, precisions_for
from accel.config import DEPTH_LIMITS, HardwareConfig
from accel.errors import FitError
from accel.hdl import manifest
from accel.hdl.output import STAGES, Written, write_design
from accel.hdl.resources import check_target, ultra_rows
from accel.hdl.targets import DEFAULT_TARGET, TARGETS, find_target
from accel.names import LANGUAGES
from accel.options import (
    build_option,
    config_option,
    model_option,
    parse_option,
    parse_precisions,
    precisions_option,
    taking,
)
from accel.outputs import check_outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from accel.hdl.output import Written
    from accel.hdl.targets import Target
    from accel.ir import Graph
    from accel.types import StrPath

DEFAULT_MODEL = "lenet5-int8"
EPILOG = """\b
Examples:
  python -m accel.convert
  python -m accel.convert --model my-model --target pynq-z2 --hdl vhdl --out my-design
  python -m accel.convert --model my-model --precisions 8,4,1
  python -m accel.convert --build 16x16 --target arty-a7-100t --option weight_depth=2048
\b
Exit codes: 0 done, 2 bad usage or bad input."""


def hardware_config(
    graph: Graph,
    target: Target,
    rows: int | None,
    lanes: int | None,
    options: Iterable[str],
    precisions: Sequence[int] | None = None,
    *,
    fit: bool = False,
) -> HardwareConfig:
    """The target's configuration with the chosen options; other memories grow to hold the network.

    precisions: the widths of the build, else 8 and those of the network. fit: other memories are as small as the
    network allows.
    """
    values: dict[str, Any] = dict(parse_option(text) for text in options)
    values["precisions"] = precisions_for(graph) if precisions is None else precisions
    config = HardwareConfig.from_dict(
        {
            "rows": target.rows if rows is None else rows,
            "lanes": target.lanes if lanes is None else lanes,
            "multiplier": target.multiplier,
            "weight_style": target.weight_style,
            **values,
        }
    )
    needed = fit_config(graph, config)
    depths = {
        name: getattr(needed, name) if fit else max(getattr(config, name), getattr(needed, name))
        for name in DEPTH_LIMITS
        if name not in values
    }
    config = dataclasses.replace(config, **depths)
    if "ultra_rows" not in values and target.ultra_rams:
        config = dataclasses.replace(config, ultra_rows=ultra_rows(config, target.ultra_rams))
    check_target(config, target)
    return config


def convert(
    model: StrPath,
    target_name: str,
    rows: int | None,
    lanes: int | None,
    hdl: str,
    out: StrPath,
    *,
    options: Sequence[str] = (),
    precisions: Sequence[int] | None = None,
    golden: int = 2,
    preset: bool | None = None,
    fit: bool = False,
    stage: Callable[[str], None] = lambda name: None,
) -> Written:
    """Convert a model for a target and write the folder; returns accel.hdl.output.Written."""
    target = find_target(target_name)
    check_outputs(manifest.output(out), model=model_dir.folder_of(model))
    stage("compile")
    graph = model_dir.load(model)
    config = hardware_config(graph, target, rows, lanes, options, precisions, fit=fit)
    program = compile_graph(graph, config)
    if preset is None:
        preset = config.weight_style != "ultra"  # UltraRAM starts empty: the host loads it
    if preset and config.weight_style == "ultra":
        raise FitError(
            f"target {target.name}: UltraRAM starts empty, so memory images cannot preset the weights; "
            "leave out --preset or give --option weight_style=block"
        )
    if not preset and target.board:
        raise FitError(
            f"target {target.name}: the board's self-test needs the network in the memory images; "
            "leave out --no-preset or choose a part-only target"
        )
    return write_design(
        Path(out), graph, program, target, model=model, hdl=hdl, golden_count=golden, preset=preset, stage=stage
    )


@dataclass(frozen=True)
class Convert:
    """The command's options."""

    model: str
    target: str
    build: tuple[int | None, int | None]
    precisions: str | None
    options: tuple[str, ...]
    fit: bool
    hdl: str
    golden: int
    preset: bool | None
    out: str | None
    as_json: bool


@click.command(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@model_option(
    default=DEFAULT_MODEL,
    show_default=True,
    metavar="NAME_OR_DIR",
    help="Model directory, or the name of a model that ships.",
)
@click.option(
    "--target", default=DEFAULT_TARGET, show_default=True, metavar="NAME", help=f"Board or part: {', '.join(TARGETS)}."
)
@build_option("Size of the accelerator: output channels by bytes of the reduction in parallel; default by target.")
@precisions_option
@config_option("weight_depth=2048")
@click.option("--fit", is_flag=True, help="Memories no larger than this network needs; default: room for others too.")
@click.option("--hdl", type=click.Choice(LANGUAGES), default="verilog", show_default=True, help="Language to write.")
@click.option("--golden", type=click.IntRange(1, 100), default=2, show_default=True, help="Images in the test bench.")
@click.option(
    "--preset/--no-preset",
    default=None,
    help="Start with the network in the memories, or wait for the host; default by target.",
)
@click.option("--out", type=click.Path(), help="Folder to write.  [default: build/out/MODEL]")
@json_option
@taking(Convert)
def main(given: Convert) -> None:
    """Turn a quantized network into Verilog or VHDL with memory images, a test bench and a Vivado project."""
    out = str(Path("build") / "out" / Path(given.model).resolve().name) if given.out is None else given.out
    with progress(not given.as_json) as bar:
        task = bar.add_task("start", total=len(STAGES))
        begun: list[str] = []

        def stage(name: str) -> None:
            begun.append(name)
            bar.update(task, description=name, completed=len(begun) - 1)

        result = convert(
            given.model,
            given.target,
            *given.build,
            given.hdl,
            out,
            options=given.options,
            precisions=parse_precisions(given.precisions),
            golden=given.golden,
            preset=given.preset,
            fit=given.fit,
            stage=stage,
        )
    _print(result, given.as_json)


def _print(result: Written, as_json: bool) -> None:
    figures = {
        "out": str(result.out),
        "top": result.top,
        "files": list(result.files),
        "precisions": list(result.precisions),
        "notes": list(result.notes),
        "predicted_cycles_per_image": result.predicted_cycles_per_image,
        "weight_bytes": result.weight_bytes,
        "dsp_estimate": result.dsp_estimate,
        "estimate": result.estimate,
    }
    if as_json:
        print_json(figures)
    else:
        figures["files"] = len(result.files)
        figures["precisions"] = ",".join(map(str, result.precisions))
        figures["notes"] = "; ".join(result.notes) or None
        del figures["estimate"]
        figures |= {"modules": result.modules, "lines": result.lines, **result.estimate}
        del figures["dsps"]  # the same as the estimate of multipliers above
        print_table(
            "Converted", ("figure", "value"), [(name.replace("_", " "), value) for name, value in figures.items()]
        )
