"""One way to drive a block on three engines: MyHDL, and its converted Verilog in Verilator and in Icarus.

with open_dut(fifo, ports(), {"depth": 4}, engine="verilator") as dut:
    dut.reset()
    dut.poke("s_valid", 1)
    dut.step()
    assert dut.peek("m_valid")
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from sim.engines.dut import Dut, describe_ports, ordered_ports

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from accel.types import StrPath
    from sim.engines.dut import Block, Params, Ports

ENGINES = ("myhdl", "verilator", "icarus")
__all__ = ["ENGINES", "Dut", "DutOptions", "describe_ports", "open_dut"]


class DutOptions(TypedDict, total=False):
    """Options of open_dut, handed through."""

    trace: StrPath | None
    power_up: str
    seed: int
    memory_dir: StrPath | None


def open_dut(
    block: Block,
    ports: Ports,
    params: Params | None = None,
    engine: str = "myhdl",
    *,
    trace: StrPath | None = None,
    power_up: str = "zero",
    seed: int = 1,
    clock: str = "clk",
    memory_dir: StrPath | None = None,
) -> Dut:
    """Open `block` on an engine and return its Dut.

    block: the MyHDL block function (decorated with `@module` or `@block`).
    ports: {port name: Signal, or None for an absent port}; made new for each call.
    params: keyword-only elaboration parameters of the block.
    trace: path of a VCD file to write, or None.
    power_up: "zero", or "random" for registers and memories without a reset (Verilator only; uses `seed`).
    memory_dir: folder of the memory images that the converted text names ($readmemh).
    """
    if engine not in ENGINES:
        raise ValueError(f"engine {engine!r} is unknown; choose one of {', '.join(ENGINES)}")
    if power_up != "zero" and engine != "verilator":
        raise ValueError(f"engine {engine} has no power_up={power_up!r}")
    ports = ordered_ports(block, ports)
    wave = Path(trace).resolve() if trace else None
    if wave:
        wave.parent.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {"clock": clock, "trace": wave}
    if engine == "verilator":
        options.update(power_up=power_up, seed=seed)
    # Simulators load memory images from their working folder when they start.
    with contextlib.chdir(memory_dir or "."):
        return _engine_class(engine)(block, ports, dict(params or {}), **options)


def _engine_class(engine: str) -> Callable[..., Dut]:
    """Imported when asked for: an engine that is not used need not be installed."""
    if engine == "myhdl":
        from sim.engines.myhdl_engine import MyhdlDut

        return MyhdlDut
    if engine == "icarus":
        from sim.engines.icarus import IcarusDut

        return IcarusDut
    from sim.engines.verilator import VerilatorDut

    return VerilatorDut
