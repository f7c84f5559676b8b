"""The whole accelerator on an engine.

with open_accelerator(config, engine="verilator") as accelerator:
    accelerator.load(program)
    result = accelerator.run([program.encode_input(q) for q in images])
    output = program.decode_output(result.outputs[0])
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel.hdl.accelerator import accelerator_ports
from sim.batch import BatchAccelerator
from sim.driver import Accelerator
from sim.engines import open_dut

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Unpack

    from accel.config import HardwareConfig
    from sim.engines import DutOptions
    from sim.engines.dut import Block, Params


def open_accelerator(
    config: HardwareConfig,
    engine: str = "verilator",
    *,
    block: Block | None = None,
    params: Params | None = None,
    **options: Unpack[DutOptions],
) -> Accelerator:
    """Open the accelerator of a configuration on an engine; it is reset, but has no program yet.

    block, params: the top block and its parameters (default: accel.rtl.top.bitloom with config=config).
    options go to open_dut: trace, memory_dir, power_up, seed.
    """
    if block is None:
        from accel.rtl.top import bitloom

        block = bitloom
    params = {"config": config, **(params or {})}
    dut = open_dut(block, accelerator_ports(config), params, engine, **options)
    driver: Callable[[Any, HardwareConfig], Accelerator] = BatchAccelerator if engine == "verilator" else Accelerator
    accelerator = driver(dut, config)
    dut.reset()
    return accelerator
