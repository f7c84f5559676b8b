"""The registers of the float streams: random writes and reads against a table."""

from accel.descriptor import (
    OBSERVER_CLEAR,
    OBSERVER_START,
    OBSERVER_SYMMETRIC,
    REG_ABS_MAX,
    REG_INPUT_BEATS,
    REG_INPUT_FORMAT,
    REG_INPUT_SCALE,
    REG_INV_SCALE,
    REG_MAXIMUM,
    REG_MINIMUM,
    REG_OBSERVER,
    REG_OUTPUT_FORMAT,
    REG_OUTPUT_SCALE,
    REG_SCALE,
)
from accel.rtl.floats.float_registers import BEATS_BITS, FORMAT_BITS, float_registers
from sim.cases.bench import BlockCase, across, run_case
from sim.pipeline import flag, poke, reset, word

WRITTEN = {
    REG_INPUT_SCALE: ("input_scale", 32),
    REG_INPUT_FORMAT: ("input_format", FORMAT_BITS),
    REG_INPUT_BEATS: ("beats_minus1", BEATS_BITS),
    REG_OUTPUT_SCALE: ("output_scale", 32),
    REG_OUTPUT_FORMAT: ("output_format", FORMAT_BITS),
}
SHOWN = {
    REG_MINIMUM: "minimum",
    REG_MAXIMUM: "maximum",
    REG_ABS_MAX: "abs_max",
    REG_SCALE: "scale",
    REG_INV_SCALE: "inv_scale",
}
FLAGS = ("nan_seen", "busy", "invalid")
INITIAL = (0x3F800000, 0x185, 783, 0x3C23D70A, 0x400)


def ports():
    return {
        "clk": flag(),
        "rst": reset(),
        "reg_we": flag(),
        "reg_address": word(20),
        "reg_wdata": word(32),
        "host_addr": word(24),
        "host_read": flag(),
        "host_rdata": word(32),
        **{name: word(bits) for name, bits in WRITTEN.values()},
        "clear": flag(),
        "start": flag(),
        "code": word(2),
        "symmetric": flag(),
        "nan_seen": flag(),
        "minimum": word(32),
        "maximum": word(32),
        "abs_max": word(32),
        "scale": word(32),
        "inv_scale": word(32),
        "zero_point": word(8),
        "invalid": flag(),
        "busy": flag(),
    }


def drive(dut, rng, stalls):
    """A write and a read in every cycle; the host port delays writes by one cycle, reads take two."""
    stored = dict(zip(WRITTEN, INITIAL, strict=True))
    shown = {name: rng.getrandbits(32) for name in SHOWN.values()}
    shown |= {name: rng.getrandbits(1) for name in FLAGS} | {"zero_point": rng.getrandbits(8)}
    poke(dut, **shown)
    command, asked, held, pulses = None, None, None, (0, 0)
    for _ in range(600):
        for register, (name, _) in WRITTEN.items():
            assert dut.peek(name) == stored[register], name
        assert (dut.peek("clear"), dut.peek("start")) == pulses
        if command is not None:
            assert (dut.peek("code"), dut.peek("symmetric")) == (command >> 8 & 3, command & OBSERVER_SYMMETRIC != 0)
        if held is not None:
            assert dut.peek("host_rdata") == held
        write, read = rng.getrandbits(1), rng.getrandbits(1)
        offset, data = rng.choice((rng.randrange(20), rng.randrange(20), rng.getrandbits(20))), rng.getrandbits(32)
        address = rng.choice((rng.randrange(20), rng.randrange(20), rng.getrandbits(24)))
        poke(dut, reg_we=write, reg_address=offset, reg_wdata=data, host_addr=address, host_read=read)
        if asked is not None:
            state = shown["nan_seen"] | (shown["busy"] | pulses[1]) << 1 | shown["invalid"] << 2
            held = (
                stored
                | {REG_OBSERVER: state | shown["zero_point"] << 8}
                | {register: shown[name] for register, name in SHOWN.items()}
            ).get(asked, 0)
        dut.step()
        asked, pulses = address if read else None, (0, 0)
        if write and offset in WRITTEN:
            stored[offset] = data & 2 ** WRITTEN[offset][1] - 1
        elif write and offset == REG_OBSERVER:
            command, pulses = data, (data & OBSERVER_CLEAR != 0, data & OBSERVER_START != 0)


CASES = [BlockCase("float_registers", float_registers, ports, drive, params={"initial": INITIAL}, stalls=("none",))]


@across(CASES)
def test_registers(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
