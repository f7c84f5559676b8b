"""The Icarus engine: converted Verilog in vvp, joined to MyHDL's simulator by its Cosimulation pipe."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from myhdl import Cosimulation

from accel.errors import TargetError
from accel.folders import installed_file
from sim.engines.cache import cached, content_key
from sim.engines.convert import convert_block
from sim.engines.myhdl_engine import SimulatedDut

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sim.engines.convert import Converted
    from sim.engines.dut import Block, Params, Port, Ports

PIPE_LINE = 4000  # characters of one message of MyHDL's VPI module, which holds all ports as hex


def vpi_folder() -> Path:
    """Folder with myhdl.vpi, built once from the sources that MyHDL ships."""
    found = [installed_file("myhdl", f"cosimulation/icarus/{name}") for name in ("myhdl.c", "myhdl_table.c")]
    files = [file for file in found if file is not None]
    if len(files) < len(found):
        raise TargetError(
            "engine icarus: the sources of MyHDL's VPI module are missing; install MyHDL by pip, or "
            "choose another engine"
        )
    version = subprocess.run(["iverilog", "-V"], capture_output=True, text=True).stdout.splitlines()[0]

    def build(folder: Path) -> None:
        for file in files:
            shutil.copy(file, folder)
        _run(["iverilog-vpi", *(file.name for file in files)], folder)

    return cached("vpi", content_key(version, *files), build)


def bench_text(top: str, ports: Mapping[str, Port], directions: Mapping[str, str]) -> str:
    """Verilog text that hands every port of the block to MyHDL."""
    inputs = [port for port in ports.values() if directions.get(port.name, "input") == "input"]
    outputs = [port for port in ports.values() if directions.get(port.name) == "output"]
    lines = ["module bench;", "reg [8191:0] trace_file;"]
    for port in inputs:
        lines.append(f"reg [{port.bits - 1}:0] {port.name};")
    lines += [f"wire [{port.bits - 1}:0] {port.name};" for port in outputs]
    lines += [
        # Assigned after all processes have started, so that `always @*` sees an event even for zeros.
        "initial begin",
        "  #0;",
        *(f"  {port.name} = {port.bits}'h{port.raw(port.init):x};" for port in inputs),
        "end",
        "initial begin",
        '  if ($value$plusargs("trace=%s", trace_file)) begin',
        "    $dumpfile(trace_file); $dumpvars(0, dut);",
        "  end",
        f"  $from_myhdl({', '.join(port.name for port in inputs)});",
        f"  $to_myhdl({', '.join(port.name for port in outputs)});",
        "end",
    ]
    bound = [port.name for port in (*inputs, *outputs) if port.name in directions]
    lines += [f"{top} dut({', '.join(f'.{name}({name})' for name in bound)});", "endmodule", ""]
    return "\n".join(lines)


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")


def compile_bench(converted: Converted, ports: Mapping[str, Port]) -> Path:
    """Path of the compiled vvp program."""
    text = bench_text(converted.top, ports, converted.directions)

    def build(folder: Path) -> None:
        (folder / "bench.v").write_text(text)
        _run(["iverilog", "-g2005-sv", "-o", "bench.vvp", "bench.v", *map(str, converted.paths)], folder)

    return cached("icarus", content_key(text, *converted.paths), build) / "bench.vvp"


class IcarusDut(SimulatedDut):
    engine = "icarus"

    def __init__(
        self, block: Block, ports: Ports, params: Params, *, clock: str = "clk", trace: Path | None = None
    ) -> None:
        super().__init__(ports, clock)
        characters = sum(port.bits // 4 + 1 + len(port.name) + 2 for port in self.ports.values())
        if characters > PIPE_LINE:
            raise ValueError(
                f"icarus: the ports need {characters} characters a message; MyHDL's pipe takes {PIPE_LINE}"
            )
        program = compile_bench(convert_block(block, ports, params), self.ports)
        command = ["vvp", "-n", "-M", str(vpi_folder()), "-m", "myhdl", str(program)]
        if trace:
            command.append(f"+trace={trace}")
        self._start(Cosimulation(command, **self.signals))
