"""One way to drive a block on three engines: MyHDL, converted Verilog in Verilator, converted Verilog in Icarus.

    with open_dut(fifo, ports(), {"depth": 4}, engine="verilator") as dut:
        dut.reset()
        dut.poke("s_valid", 1)
        dut.step()
        assert dut.peek("m_valid")
"""

from sim.engines.dut import Dut, describe_ports

ENGINES = ("myhdl", "verilator", "icarus")
__all__ = ["ENGINES", "Dut", "describe_ports", "open_dut"]


def open_dut(block, ports, params=None, engine="myhdl", *, trace=None, power_up="zero", seed=1, clock="clk"):
    """Open `block` on an engine and return its Dut.

    block: the MyHDL block function (decorated with `@module` or `@block`).
    ports: {port name: Signal, or None for an absent port}; made new for each call.
    params: keyword-only elaboration parameters of the block.
    trace: path of a VCD file to write, or None.
    power_up: "zero", or "random" for registers and memories without a reset (Verilator only; uses `seed`).
    """
    params = dict(params or {})
    if engine == "myhdl":
        from sim.engines.myhdl_engine import MyhdlDut

        return MyhdlDut(block, ports, params, clock=clock, trace=trace)
    if engine == "icarus":
        from sim.engines.icarus import IcarusDut

        return IcarusDut(block, ports, params, clock=clock, trace=trace)
    if engine == "verilator":
        from sim.engines.verilator import VerilatorDut

        return VerilatorDut(block, ports, params, clock=clock, trace=trace, power_up=power_up, seed=seed)
    raise ValueError(f"engine {engine!r} is unknown; choose one of {', '.join(ENGINES)}")
