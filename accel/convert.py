"""Command line: a network and a target in; Verilog or VHDL, memory images and a Vivado project out."""

if __name__ == "__main__":  # before the imports below: run() says which package is missing
    from accel.start import run

    run("accel.convert", "python -m accel.convert")

import dataclasses
from pathlib import Path

import click

from accel import checks, model_dir
from accel.cli import json_option, print_json, print_table, progress
from accel.compile import compile_graph, fit_config, precisions_for
from accel.config import DEPTH_LIMITS, HardwareConfig
from accel.errors import FitError, UnsupportedError
from accel.hdl import manifest
from accel.hdl.output import STAGES, write_design
from accel.hdl.resources import check_target, ultra_rows
from accel.hdl.targets import DEFAULT_TARGET, TARGETS, find_target
from accel.names import LANGUAGES
from accel.outputs import check_outputs

DEFAULT_MODEL = "lenet5-int8"
EPILOG = """\b
Examples:
  python -m accel.convert
  python -m accel.convert --model my-model --target pynq-z2 --hdl vhdl --out my-design
  python -m accel.convert --model my-model --precisions 8,4,1
  python -m accel.convert --rows 16 --lanes 16 --target arty-a7-100t --option weight_depth=2048
\b
Exit codes: 0 done, 2 bad usage or bad input."""


def hardware_config(graph, target, rows, lanes, options, precisions=None, *, fit=False):
    """The target's configuration with the chosen options; other memories grow to hold the network.

    precisions: the widths of the build, else 8 and those of the network. fit: other memories are as small as the
    network allows.
    """
    values = dict(parse_option(text) for text in options)
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


def parse_option(text):
    """(name, value) of "weight_depth=2048": a field of HardwareConfig that has no option of its own."""
    name, separator, value = text.partition("=")
    known = {field.name: field.type for field in dataclasses.fields(HardwareConfig)}
    others = {"rows", "lanes", "precisions"}  # have options of their own
    if not separator or name not in known or name in others:
        names = ", ".join(sorted(set(known) - others))
        raise UnsupportedError(f"option {checks.shorten(text)}: must be NAME=VALUE with a NAME of {names}")
    if known[name] in (int, "int"):
        try:
            return name, int(value)
        except ValueError:
            raise UnsupportedError(f"option {name}: {checks.shorten(value)} is not an integer; give a number") from None
    if known[name] in (bool, "bool"):
        if value not in ("0", "1"):
            raise UnsupportedError(f"option {name}: {checks.shorten(value)} must be 0 or 1")
        return name, value == "1"
    return name, value


def parse_precisions(text):
    """The widths of "8,4,1" as a tuple, or None for None. HardwareConfig checks them."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UnsupportedError(
            f"--precisions {checks.shorten(text)}: must be widths with commas between, such as 8,4,1"
        ) from None


def convert(
    model,
    target_name,
    rows,
    lanes,
    hdl,
    out,
    *,
    options=(),
    precisions=None,
    golden=2,
    preset=None,
    fit=False,
    stage=lambda name: None,
):
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


@click.command(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--model",
    default=DEFAULT_MODEL,
    show_default=True,
    metavar="NAME_OR_DIR",
    help="Model directory, or the name of a model that ships.",
)
@click.option(
    "--target", default=DEFAULT_TARGET, show_default=True, metavar="NAME", help=f"Board or part: {', '.join(TARGETS)}."
)
@click.option("--rows", type=int, help="Output channels in parallel; default by target.")
@click.option("--lanes", type=int, help="Bytes of the reduction in parallel; default by target.")
@click.option(
    "--precisions",
    metavar="BITS",
    help="Widths of the build, from 8,6,4,2,1 and always with 8; default: 8 and those that the network uses.",
)
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another field of the hardware configuration, e.g. weight_depth=2048; may be repeated.",
)
@click.option("--fit", is_flag=True, help="Memories no larger than this network needs; default: room for others too.")
@click.option("--hdl", type=click.Choice(LANGUAGES), default="verilog", show_default=True)
@click.option("--golden", type=click.IntRange(1, 100), default=2, show_default=True, help="Images in the test bench.")
@click.option(
    "--preset/--no-preset",
    default=None,
    help="Start with the network in the memories, or wait for the host; default by target.",
)
@click.option("--out", type=click.Path(), help="Output folder.  [default: build/out/MODEL]")
@json_option
def main(model, target, rows, lanes, precisions, options, fit, hdl, golden, preset, out, as_json):
    """Turn a quantized network into Verilog or VHDL with memory images, a test bench and a Vivado project."""
    out = Path("build") / "out" / Path(model).resolve().name if out is None else out
    with progress(not as_json) as bar:
        task = bar.add_task("start", total=len(STAGES))
        begun = []

        def stage(name):
            begun.append(name)
            bar.update(task, description=name, completed=len(begun) - 1)

        result = convert(
            model,
            target,
            rows,
            lanes,
            hdl,
            out,
            options=options,
            precisions=parse_precisions(precisions),
            golden=golden,
            preset=preset,
            fit=fit,
            stage=stage,
        )
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
        figures |= {"modules": result.modules, "lines": result.lines, **figures.pop("estimate")}
        del figures["dsps"]  # the same as the estimate of multipliers above
        print_table(
            "Converted", ("figure", "value"), [(name.replace("_", " "), value) for name, value in figures.items()]
        )
