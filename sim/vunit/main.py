"""The VUnit run: convert each block case to VHDL, record its cycles, write its bench, compile and replay.

python sim/vunit/run.py                  # everything
python sim/vunit/run.py 'fifo*' -p 2     # VUnit's own patterns (library.bench.test) and options
python sim/vunit/run.py --seed 7         # other vectors and stalls
python sim/vunit/run.py --cases fifo_w16_d4,fifo_w33_d32 --output-path build/out/vunit-fifo
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from vunit import VUnit, VUnitCLI

from sim.engines.cache import REPOSITORY
from sim.engines.convert import convert_block
from sim.engines.dut import describe_ports, ordered_ports
from sim.vunit.bench_text import bench_text
from sim.vunit.blocks import vhdl_cases
from sim.vunit.record import record_case

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from sim.cases.bench import BlockCase

OUTPUT = REPOSITORY / "build" / "out" / "vunit"
# Operators of numeric_std warn about registers that hold 'U' before they are first loaded.
GHDL_OPTIONS = ["--ieee-asserts=disable"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    arguments = parse(argv)
    folder = Path(arguments.output_path).resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w") as lock:  # one run at a time in a folder
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _run(arguments, folder)


def _run(arguments: Namespace, folder: Path) -> int:
    vunit = VUnit.from_args(arguments, compile_builtins=False)
    vunit.add_vhdl_builtins()
    broken = []
    for name, case in vhdl_cases().items():
        if arguments.cases is None or any(fnmatch(name, pattern) for pattern in arguments.cases.split(",")):
            try:
                add_case(vunit, case, folder / "blocks" / name, arguments.seed)
            except Exception as error:  # the other blocks still run
                print(f"error: {name}: not replayed: {error}", file=sys.stderr)
                broken.append(name)
    try:
        vunit.main()
    except SystemExit as status:
        return int(bool(status.code or broken))
    return int(bool(broken))


def parse(argv: Sequence[str] | None) -> Namespace:
    os.environ.setdefault("VUNIT_SIMULATOR", "ghdl")
    command_line = VUnitCLI(description=__doc__.splitlines()[0])
    command_line.parser.set_defaults(output_path=str(OUTPUT), keep_compiling=True)
    command_line.parser.add_argument("--seed", type=int, default=1, help="seed of vectors and stalls")
    command_line.parser.add_argument("--cases", help="names or patterns of block cases, with commas between")
    return command_line.parse_args(argv)


def add_case(vunit: VUnit, case: BlockCase, folder: Path, seed: int) -> None:
    """A library per case: converted files, bench, a configuration for the first and last stall pattern."""
    ports = ordered_ports(case.block, case.ports())
    converted = convert_block(case.block, ports, dict(case.params), hdl="vhdl")
    # Into a folder with a constant name, so that VUnit compiles only what has changed.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    files = [Path(shutil.copy(path, folder)) for path in converted.paths]
    bench = folder / f"tb_{case.name}.vhd"
    qualified = case.vhdl_compare
    bench.write_text(bench_text(case.name, converted.top, describe_ports(ports), converted.directions, qualified))
    traces = {}
    for stalls in case.stalls[:: max(1, len(case.stalls) - 1)]:
        traces[stalls] = folder / f"{stalls}.txt"
        record_case(case, converted.directions, stalls, seed, traces[stalls])
    library = vunit.add_library(case.name)
    library.add_source_files([str(path) for path in (*files, bench)], vhdl_standard="2008")
    entity = library.test_bench(bench.stem)
    entity.set_sim_option("ghdl.sim_flags", GHDL_OPTIONS)
    for stalls, trace in traces.items():
        entity.add_config(stalls, generics={"trace_file": str(trace)})
