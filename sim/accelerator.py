"""The whole accelerator on an engine.

with open_accelerator(config, engine="verilator") as accelerator:
    accelerator.load(program)
    result = accelerator.run([program.encode_input(q) for q in images])
    output = program.decode_output(result.outputs[0])
"""

from accel.hdl.accelerator import accelerator_ports
from sim.batch import BatchAccelerator
from sim.driver import Accelerator
from sim.engines import open_dut


def open_accelerator(config, engine="verilator", *, block=None, params=None, **options):
    """Open the accelerator of a configuration on an engine; it is reset, but has no program yet.

    block, params: the top block and its parameters (default: accel.rtl.top.bitloom with config=config).
    options go to open_dut: trace, memory_dir, power_up, seed.
    """
    if block is None:
        from accel.rtl.top import bitloom as block
    params = {"config": config, **(params or {})}
    dut = open_dut(block, accelerator_ports(config), params, engine, **options)
    accelerator = (BatchAccelerator if engine == "verilator" else Accelerator)(dut, config)
    dut.reset()
    return accelerator
