"""The timing diagrams: small runs of the hardware in MyHDL, recorded cycle by cycle."""

import numpy as np
from myhdl import intbv

from accel.compile import compile_graph
from accel.config import HardwareConfig
from accel.descriptor import REG_CYCLE_LIMIT, REGION_REGISTERS, host_address
from accel.hdl.accelerator import accelerator_ports
from accel.ir import Graph, InputEncoding, TensorType
from accel.rtl.output.output_fifo import output_fifo
from accel.rtl.parts.register_slice import register_slice
from accel.rtl.top import bitloom
from scripts.pictures.waves import Recorder, Row
from scripts.pictures.wiring import find, signal_named
from sim.cases.graphs import conv
from sim.driver import Accelerator
from sim.engines import open_dut
from sim.pipeline import flag, poke, reset, word

TINY = HardwareConfig(
    rows=4, lanes=4, weight_depth=16, act_depth=16, line_depth=16, param_depth=16, pool_depth=16, max_layers=2
)


CONV = "compute_core/conv2d_engine"


def port(dut, name):
    """What a Row reads of a port: a bool of one bit, else an integer."""
    boolean = dut.ports[name].boolean
    return lambda: bool(dut.peek(name)) if boolean else dut.peek(name)


def stream_rows(dut, prefix, forms, named=""):
    """Rows of a stream. forms: field -> how it is written; named: what stands before the names, else the prefix.

    A field means something while the stream is valid.
    """
    named = named or f"{prefix}_"
    valid = port(dut, f"{prefix}_valid")
    rows = [Row(named + name, port(dut, f"{prefix}_{name}"), valid=valid, form=form) for name, form in forms.items()]
    return [*rows, Row(f"{named}valid", valid), Row(f"{named}ready", port(dut, f"{prefix}_ready"))]


def stream():
    """A register slice: the receiver waits for three cycles, then the source for one."""
    ports = {"clk": flag(), "rst": reset()}
    for side in "sm":
        ports |= {f"{side}_data": word(8), f"{side}_valid": flag(), f"{side}_ready": flag()}
    with open_dut(register_slice, ports) as dut:
        dut.reset()
        recorder = Recorder(
            dut,
            {
                "input": stream_rows(dut, "s", {"data": "{:x}"}),
                "output": stream_rows(dut, "m", {"data": "{:x}"}),
            },
        )
        _offer(dut, [{"s_data": 0xA0 + i} for i in range(7)], pauses=(10,), stalls=(4, 5, 6), cycles=15)
        return recorder.json(0, 15)


def _offer(dut, items, pauses, stalls, cycles):
    """Offer items at the ports s_*, one after the other, from the second cycle on.

    pauses: cycles in which the source offers nothing, though the item before was taken; stalls: in which the receiver
    of m_* waits.
    """
    for cycle in range(cycles):
        offered = bool(items) and cycle not in (0, *pauses)
        poke(dut, s_valid=offered, m_ready=cycle not in stalls, **(items[0] if offered else {}))
        accepted = offered and dut.peek("s_ready")
        dut.step()
        if accepted:
            items.pop(0)


def output():
    """The last beats of a tensor at m_axis: the receiver waits, the beat stays; tkeep and tlast on the last beat."""
    ports = {
        "clk": flag(),
        "rst": reset(),
        "flush": flag(),
        "closing": flag(),
        "level": word(5),
        "s_data": word(32),
        "s_keep": word(4),
        "s_last": flag(),
        "s_valid": flag(),
        "s_ready": flag(),
        "m_data": word(32),
        "m_keep": word(4),
        "m_last": flag(),
        "m_valid": flag(),
        "m_ready": flag(),
    }
    beats = [{"s_data": 0x04030201 + 0x04040404 * i, "s_keep": 15 if i < 2 else 3, "s_last": i == 2} for i in range(3)]
    with open_dut(output_fifo, ports, {"depth": 16}) as dut:
        dut.reset()
        rows = stream_rows(dut, "m", {"data": "{:08x}", "keep": "{:04b}", "last": "{}"}, "m_axis_t")
        recorder = Recorder(dut, {"": rows})
        _offer(dut, beats, pauses=(), stalls=(4, 5), cycles=10)
        return recorder.json(1, 10, hscale=2)


class Observed:
    """A block function that keeps the block it made: its inner Signals can be read while it runs."""

    def __init__(self, block):
        self.made, self.port_names, self.optional_ports = block, block.port_names, block.optional_ports
        self.instance = None

    def __call__(self, **ports_and_parameters):
        self.instance = self.made(**ports_and_parameters)
        return self.instance


def host():
    """The host writes the cycle limit and reads it back."""
    address = host_address(REGION_REGISTERS, REG_CYCLE_LIMIT)
    with open_dut(bitloom, accelerator_ports(TINY), {"config": TINY}) as dut:
        dut.reset()
        read, write = port(dut, "host_read"), port(dut, "host_write")
        recorder = Recorder(
            dut,
            {
                "": [
                    Row("host_addr", port(dut, "host_addr"), valid=lambda: read() or write()),
                    Row("host_write", write),
                    Row("host_wdata", port(dut, "host_wdata"), valid=write),
                    Row("host_read", read),
                    Row("host_rdata", port(dut, "host_rdata")),
                ]
            },
        )
        accelerator = Accelerator(dut, TINY)
        dut.step()
        accelerator.write(address, 0x5000)
        dut.step()
        accelerator.read(address)
        dut.step(2)
        asked, given = recorder.when("host_read"), recorder.when("host_rdata", "5000")
        return recorder.json(0, dut.cycle - recorder.first, [("host_read", asked, "host_rdata", given)])


def layer():
    """A layer from its descriptor to its end: a 2x2 convolution of 2x3 pixels with 4 channels, on a 4x4 array."""
    rng = np.random.default_rng(1)
    source = TensorType(2, 3, 4, 8, 0.1, 0)
    only = conv(rng, "only", "input", source, 4, (2, 2))
    program = compile_graph(Graph("tiny", source, InputEncoding(), [only]), TINY)
    block = Observed(bitloom)
    with open_dut(block, accelerator_ports(TINY), {"config": TINY}) as dut:
        dut.reset()
        accelerator = Accelerator(dut, TINY)
        accelerator.load(program)
        recorder = Recorder(dut, _layer_rows(dut, block.instance))
        accelerator.run([program.encode_input(rng.integers(-128, 128, (2, 3, 4)))], isolated=False, image_limit=500)
        dut.step(4)
        return recorder.json(*_layer_spans(recorder))


def _layer_rows(dut, top):
    def inner(path, name):
        signal = signal_named(find(top, path) if path else top, name)
        return lambda: _value(dut, signal)

    feeder, window, array = CONV + "/feeder", CONV + "/window", "compute_core/mac_array"
    state, walks, operands = inner(feeder, "state"), inner(window, "m_valid"), inner(array, "s_valid")
    return {
        "scheduler": [
            Row("descriptor ready", inner("scheduler", "shadow_ready")),
            Row("start", inner("scheduler", "start")),
        ],
        "feeder": [
            Row("word taken", inner(feeder, "taken")),
            Row("row filled", inner(feeder, "row_filled")),
            Row("state", lambda: state()[0]),  # its first letter, there is no room for more
        ],
        "compute": [
            Row("address", inner(window, "r_word"), valid=walks),
            Row("operands", operands),
            Row("last of a tile", inner(array, "s_last"), valid=operands),
            Row("tile", inner(array, "result_valid")),
        ],
        "output": [
            Row("group", inner("pool", "s_valid")),
            Row("word", inner("packer", "m_valid")),
            Row("layer end", inner("output_writer", "layer_end")),
        ],
    }


def _value(dut, signal):
    dut.peek("rst")  # settles what was poked
    value = signal.val
    return int(value) if isinstance(value, intbv) else value if isinstance(value, bool) else str(value)


def _layer_spans(recorder):
    """Where the diagram begins and ends, and the latencies that it names."""
    start = recorder.when("start")
    rows = [cycle for cycle, filled in enumerate(recorder.row("row filled")) if filled]
    address = next(i for i, value in enumerate(recorder.row("address")) if value is not None)
    operands, last, tile, group, end = [
        recorder.when(name) for name in ("operands", "last of a tile", "tile", "group", "layer end")
    ]
    spans = [
        ("start", start, "word taken", recorder.when("word taken")),
        ("row filled", rows[1], "address", address),
        ("address", address, "operands", operands),
        ("last of a tile", last, "tile", tile),
        ("tile", tile, "group", group),
        ("layer end", end, "start", recorder.when("start", after=end)),
    ]
    return start - 24, spans[-1][-1] + 1, spans, 0.55
