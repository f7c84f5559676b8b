"""Everything that a conversion puts into its output folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from accel import model_dir
from accel.atomic import atomic_directory
from accel.hdl import accelerator, images, manifest, testbench, testbench_vhdl, vivado
from accel.hdl.golden import golden_vectors
from accel.hdl.resources import resources
from accel.hdl.shell import vhdl_shell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from accel.compile.program import Program
    from accel.hdl.design import ConvertedDesign
    from accel.hdl.golden import Golden
    from accel.hdl.targets import Target
    from accel.ir import Graph
    from accel.types import StrPath

STAGES = ("compile", "golden vectors", "memory images", "convert", "project")


@dataclass(frozen=True)
class Written:
    """What was written: the folder, file names relative to it, and the figures of the report."""

    out: Path
    top: str
    files: tuple[str, ...]
    lines: int
    modules: int
    predicted_cycles_per_image: int
    weight_bytes: int
    dsp_estimate: int
    estimate: dict[str, float]
    precisions: tuple[int, ...]
    notes: tuple[str, ...]


def write_design(
    out: Path,
    graph: Graph,
    program: Program,
    target: Target,
    *,
    model: StrPath,
    hdl: str,
    golden_count: int,
    preset: bool,
    stage: Callable[[str], None] = lambda name: None,
) -> Written:
    """Convert and write the whole folder, complete or not at all; `stage` is told what begins."""
    stage("golden vectors")
    golden = golden_vectors(graph, program, golden_count)
    with atomic_directory(manifest.output(out)) as folder:
        stage("memory images")
        files = {f"mem/{name}": text for name, text in _images(program, target, golden, preset).items()}
        _write(folder, files)
        stage("convert")
        (folder / "rtl").mkdir()
        presets = accelerator.presets(program, folder / "mem") if preset else None
        name = accelerator.TOP if hdl == "verilog" else f"{accelerator.TOP}_core"
        design = accelerator.convert_accelerator(program.config, folder / "rtl", hdl=hdl, name=name, presets=presets)
        rtl = [path.name for path in design.files]
        files |= {f"rtl/{path.name}": path.read_text() for path in design.files}
        stage("project")
        others = _sources(program, target, design, golden, preset, rtl)
        others |= _project(target, hdl, golden, program, preset, rtl, files | others)
        _write(folder, others)
        files |= others
        digest = model_dir.digest(model)
        values = manifest.manifest(
            graph=graph,
            program=program,
            target=target,
            design=design,
            golden=golden,
            model_digest=digest,
            preset=preset,
            files=files,
        )
        _write(folder, {manifest.MANIFEST: manifest.to_text(values)})
    return Written(
        out,
        accelerator.TOP,
        tuple(sorted((*files, manifest.MANIFEST))),
        design.line_count,
        len(design.modules),
        int(program.predicted_cycles),
        manifest.weight_bytes(program),
        program.config.dsp_estimate,
        asdict(resources(program.config)),
        program.config.precisions,
        program.notes,
    )


def _images(program: Program, target: Target, golden: Golden, preset: bool) -> dict[str, str]:
    lanes = program.config.lanes
    own = accelerator.preset_images(program) if preset else {}
    board = images.board_images(golden, lanes) if target.board else {}
    return own | board | images.golden_images(golden, lanes) | images.host_image(program)


def _sources(
    program: Program, target: Target, design: ConvertedDesign, golden: Golden, preset: bool, rtl: list[str]
) -> dict[str, str]:
    """Test bench, run script, board wrapper, VHDL shell. Adds to the list of rtl files."""
    top, files = accelerator.TOP, {}
    if design.hdl == "vhdl":
        files[f"rtl/{top}.vhd"] = vhdl_shell(top, design.top, design.ports)
        rtl.append(f"{top}.vhd")
        files[f"sim/tb_{top}.vhd"] = testbench_vhdl.testbench(top, program, golden, preset=preset)
        files["sim/run_ghdl.sh"] = testbench_vhdl.run_script(top, rtl)
    else:
        files[f"sim/tb_{top}.v"] = testbench.testbench(top, program, golden, preset=preset)
        files["sim/run_icarus.sh"] = testbench.run_script(top, rtl)
    if target.board:
        files[f"rtl/{vivado.BOARD_TOP}.v"] = vivado.kept_file(f"{vivado.BOARD_TOP}.v")
    return files


def _project(
    target: Target, hdl: str, golden: Golden, program: Program, preset: bool, rtl: Sequence[str], files: Iterable[str]
) -> dict[str, str]:
    """Vivado's script, settings and constraints."""
    board = target.board and preset
    memory = sorted(name for name in files if name.startswith("mem/"))
    wrapper = [f"{vivado.BOARD_TOP}.v"] if target.board else []
    generics = (
        {
            **vivado.clock_generics(target),
            "LANES": program.config.lanes,
            "INPUT_BEATS": golden.input_beats,
            "OUTPUT_BEATS": golden.output_beats,
        }
        if board
        else {}
    )
    lists = {
        "rtl": [f"rtl/{name}" for name in (*rtl, *wrapper)],
        "memory": memory,
        "constraint": [f"vivado/{target.constraints}"],
        "simulation": [name for name in files if name.startswith("sim/tb_")],
    }
    scripts = {f"vivado/{name}": vivado.kept_file(name) for name in vivado.SCRIPTS}
    return {
        **scripts,
        "vivado/settings.tcl": vivado.settings(target, accelerator.TOP, hdl, lists, generics),
        f"vivado/{target.constraints}": vivado.constraints(target),
    }


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if name.endswith(".sh"):
            path.chmod(0o755)
