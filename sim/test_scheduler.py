"""The scheduler: programs run layer by layer, counters, errors and restart, stop and go, programs that change."""

import random

import pytest

from accel.config import HardwareConfig
from accel.descriptor import (
    CONTROL_ABORT,
    CONTROL_ENABLE,
    DESCRIPTOR_BITS,
    DESCRIPTOR_STRIDE,
    DESCRIPTOR_WORDS,
    ERROR_CYCLE_LIMIT,
    ERROR_FIELD,
    ERROR_LONG_INPUT,
    ERROR_OUTPUT_RANGE,
    ERROR_POOL,
    ERROR_PRECISION,
    ERROR_SHORT_INPUT,
    ERROR_STARVED,
    FIELDS,
    NOT_ZERO,
    OP_CONV,
    OP_DENSE,
    REG_CONTROL,
    REG_LAYERS,
    REG_STATUS,
    WIDTH_FIELDS,
)
from accel.rtl.control.scheduler import FETCH_CYCLES, scheduler
from sim.cases.bench import BlockCase, across, run_case
from sim.cases.layers import describe
from sim.engines import ENGINES, open_dut
from sim.pipeline import flag, poke, reset, word

CONFIG = HardwareConfig(
    rows=4, lanes=4, weight_depth=256, act_depth=64, line_depth=64, param_depth=16, pool_depth=16, max_layers=4
)
QUIET = {
    "reg_we": 0,
    "program_we": 0,
    "source_busy": 0,
    "issuing": 0,
    "layer_end": 0,
    "starved": 0,
    "range_error": 0,
    "pool_error": 0,
    "short_input": 0,
    "long_input": 0,
    "expired": 0,
}
ERRORS = {
    "starved": ERROR_STARVED,
    "range_error": ERROR_OUTPUT_RANGE,
    "pool_error": ERROR_POOL,
    "short_input": ERROR_SHORT_INPUT,
    "long_input": ERROR_LONG_INPUT,
    "expired": ERROR_CYCLE_LIMIT,
}


def ports():
    layer_bits = CONFIG.layer_bits
    return {
        "clk": flag(),
        "rst": reset(),
        "aborted": flag(),
        "reg_we": flag(),
        "reg_address": word(20),
        "reg_wdata": word(32),
        "program_we": flag(),
        "program_address": word(layer_bits + 5),
        "program_wdata": word(32),
        "counter_address": word(layer_bits),
        "start": flag(),
        "layer": word(DESCRIPTOR_BITS),
        "source_busy": flag(),
        "issuing": flag(),
        "layer_end": flag(),
        "starved": flag(),
        "range_error": flag(),
        "pool_error": flag(),
        "short_input": flag(),
        "long_input": flag(),
        "expired": flag(),
        "running": flag(),
        "failed": flag(),
        "enabled": flag(),
        "status": word(32),
        "images": word(32),
        "cycles": word(32),
        "stalls": word(32),
    }


def random_descriptor(rng):
    fields = {}
    for name, position in FIELDS.items():
        fields[name] = rng.randint(name in NOT_ZERO, min(position.limit(CONFIG), 2**position.bits - 1))
    del fields["magic"]
    return describe(CONFIG, **{**fields, "op": rng.choice((OP_CONV, OP_DENSE))})


def write_register(dut, address, value):
    poke(dut, reg_we=1, reg_address=address, reg_wdata=value)
    dut.step()
    poke(dut, reg_we=0)


def write_layer(dut, rng, layer, descriptor):
    """The words of a descriptor in random order; the words behind it are garbage that nobody reads."""
    order = list(range(DESCRIPTOR_STRIDE))
    rng.shuffle(order)
    for at in order:
        value = descriptor >> 32 * at & 0xFFFFFFFF if at < DESCRIPTOR_WORDS else rng.getrandbits(32)
        poke(dut, program_we=1, program_address=layer * DESCRIPTOR_STRIDE + at, program_wdata=value)
        dut.step()
    poke(dut, program_we=0)


def wait_start(dut, limit):
    """Cycles until start; fails after `limit`."""
    for cycles in range(limit + 1):
        if dut.peek("start"):
            return cycles
        dut.step()
    raise AssertionError(f"no start within {limit} cycles, status {dut.peek('status'):#x}")


def status(dut):
    value = dut.peek("status")
    return {"busy": value & 1, "error": value >> 1 & 1, "code": value >> 8 & 0xFF, "layer": value >> 16 & 0xFF}


def run_layer(dut, rng, number, descriptor, length):
    """Play the engine from start to the end of a layer; returns (cycles, stalls) that the counters must hold."""
    assert dut.peek("layer") == descriptor
    assert status(dut) == {"busy": 1, "error": 0, "code": 0, "layer": number}
    assert dut.peek("running") and not dut.peek("failed")
    source_end, output_end = rng.randint(0, length), rng.randint(1, length)
    source_end = length if output_end < length else source_end
    words = 0
    for cycle in range(length + 1):
        issuing = 0 < cycle < length and rng.random() < 0.5
        words += issuing
        poke(dut, source_busy=0 < cycle < source_end, issuing=issuing, layer_end=cycle == output_end)
        assert dut.peek("start") == (cycle == 0) and dut.peek("layer") == descriptor
        dut.step()
    poke(dut, **QUIET)
    return length + 2, length + 2 - words  # the cycle before the start belongs to the layer


def check_counters(dut, expected):
    for layer, counts in expected.items():
        poke(dut, counter_address=layer)
        dut.step()
        assert (dut.peek("cycles"), dut.peek("stalls")) == counts, f"counters of layer {layer}"


def begin(dut, rng, layers):
    """Reset, load a program of random layers and enable."""
    poke(dut, **QUIET)
    dut.reset()
    program = [random_descriptor(rng) for _ in range(layers)]
    for number, descriptor in enumerate(program):
        write_layer(dut, rng, number, descriptor)
    write_register(dut, REG_LAYERS, layers - 1)
    write_register(dut, REG_STATUS, 1)  # not a register that can be written
    dut.step(FETCH_CYCLES)
    assert not dut.peek("start") and not status(dut)["busy"]
    assert not dut.peek("enabled")
    write_register(dut, REG_CONTROL, 1)
    assert dut.peek("enabled")
    return program


def run_images(dut, rng):
    """Images back to back; layers of random length, some shorter than the fetch of the next descriptor."""
    for layers in (1, 3, 4):
        program = begin(dut, rng, layers)
        counters, gap = {}, FETCH_CYCLES + 4
        for image in range(3):
            for number, descriptor in enumerate(program):
                length = rng.choice((rng.randint(3, 20), rng.randint(FETCH_CYCLES + 2, 40)))
                wait_start(dut, gap)
                assert dut.peek("images") == image
                counters[number] = run_layer(dut, rng, number, descriptor, length)
                # The end was in the last cycle; with the next descriptor there the start is two cycles behind it.
                gap = 1 if length > FETCH_CYCLES + 1 else FETCH_CYCLES + 4
        write_register(dut, REG_CONTROL, 0)
        assert dut.peek("images") == 3
        if gap > 1:
            dut.step(3)
            check_counters(dut, counters)


def stop_and_go(dut, rng):
    """Disabled at any moment of a fetch, or of a layer, the program goes on with the next layer when enabled again."""
    for moment in range(0, FETCH_CYCLES + 3, 2):
        program = begin(dut, rng, 2)
        dut.step(moment)
        if not status(dut)["busy"] and not dut.peek("start"):
            write_register(dut, REG_CONTROL, 0)
            if not status(dut)["busy"]:
                dut.step(rng.randint(1, 30))
                write_register(dut, REG_CONTROL, 1)
        wait_start(dut, FETCH_CYCLES + 4)
        assert dut.peek("layer") == program[0]
        write_register(dut, REG_CONTROL, 0)
        dut.step(rng.randint(1, 30))
        poke(dut, layer_end=1)
        dut.step()
        poke(dut, layer_end=0)
        dut.step(30)
        assert not status(dut)["busy"] and dut.peek("images") == 0
        write_register(dut, REG_CONTROL, 1)
        wait_start(dut, FETCH_CYCLES + 4)
        assert dut.peek("layer") == program[1]


def change_program(dut, rng):
    """A layer that is written anew while another one runs is fetched anew."""
    program = begin(dut, rng, 2)
    wait_start(dut, FETCH_CYCLES + 4)
    dut.step(FETCH_CYCLES + 5)  # the old layer 1 has been fetched
    program[1] = random_descriptor(rng)
    write_layer(dut, rng, 1, program[1])
    poke(dut, layer_end=1)
    dut.step()
    poke(dut, layer_end=0)
    wait_start(dut, FETCH_CYCLES + 4)
    assert dut.peek("layer") == program[1]


def abort(dut, rng, program):
    """A soft reset drops a running layer and keeps the registers: the host's bit 0, the number of layers."""
    for again in (0, CONTROL_ENABLE):
        dut.step(rng.randint(0, 2 * FETCH_CYCLES))
        write_register(dut, REG_CONTROL, CONTROL_ABORT | again)
        poke(dut, rst=1, aborted=1)
        dut.step()
        poke(dut, rst=0, aborted=0)
        assert status(dut) == {"busy": 0, "error": 0, "code": 0, "layer": 0}
        if not again:
            for _ in range(FETCH_CYCLES + 10):
                assert not dut.peek("start") and not status(dut)["busy"]
                dut.step()
            write_register(dut, REG_CONTROL, CONTROL_ENABLE)
        for number, descriptor in enumerate(program):
            wait_start(dut, FETCH_CYCLES + 4)
            run_layer(dut, rng, number, descriptor, rng.randint(3, 40))
        assert dut.peek("images") == 1


def fail(dut, rng):
    """Each error ends the run with its code and layer; a reset clears it and the program runs from its first layer."""
    for name, code in ERRORS.items():
        program = begin(dut, rng, 3)
        for number in range(2):
            wait_start(dut, FETCH_CYCLES + 4)
            if number == 0:
                run_layer(dut, rng, 0, program[0], 30)
        dut.step(rng.randint(1, 9))
        poke(dut, **{name: 1})
        dut.step()
        poke(dut, **QUIET)
        check_stopped(dut, rng, code, 1)


def refuse(dut, rng):
    """A descriptor over a limit, without magic, without an operation or of a width that is not built never starts."""
    for name, value in (
        ("magic", 0),
        ("op", 0),
        ("op", 3),
        ("last_count", 0),
        ("out_base", CONFIG.act_depth),
        ("prefill_words", 65),
        ("groups_minus1", 255),
        *((name, 1) for name in WIDTH_FIELDS),
    ):
        program, position = begin(dut, rng, 2), FIELDS[name]
        broken = program[1] & ~((2**position.bits - 1) << position.base) | value << position.base
        wait_start(dut, FETCH_CYCLES + 4)
        write_layer(dut, rng, 1, broken)
        dut.step(FETCH_CYCLES + 4)
        poke(dut, layer_end=1)
        dut.step()
        poke(dut, layer_end=0)
        dut.step(3)
        code = ERROR_PRECISION if name in WIDTH_FIELDS else ERROR_FIELD + position.word
        check_stopped(dut, rng, code, 1)


def check_stopped(dut, rng, code, layer):
    for _ in range(FETCH_CYCLES + 10):
        assert not dut.peek("start")
        assert status(dut) == {"busy": 1, "error": 1, "code": code, "layer": layer}
        assert dut.peek("failed") and not dut.peek("running")
        poke(dut, layer_end=rng.getrandbits(1), starved=rng.getrandbits(1))
        dut.step()
    poke(dut, **QUIET)
    dut.reset()
    assert not dut.peek("failed")
    assert status(dut) == {"busy": 0, "error": 0, "code": 0, "layer": 0}


def drive(dut, rng, stalls):
    run_images(dut, rng)
    stop_and_go(dut, rng)
    change_program(dut, rng)
    abort(dut, rng, begin(dut, rng, 3))
    fail(dut, rng)
    refuse(dut, rng)
    run_images(dut, rng)


CASES = [
    BlockCase(
        "scheduler_4x4",
        scheduler,
        ports,
        drive,
        params={"config": CONFIG},
        stalls=("none",),
        vhdl_compare={"layer": "start"},
    )
]


@across(CASES)
def test_programs(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_preset_program_runs_after_reset(engine, seed, tmp_path):
    rng, file = random.Random(seed), tmp_path / "program.hex"
    program = [random_descriptor(rng) for _ in range(2)]
    words = [descriptor >> 32 * at & 0xFFFFFFFF for descriptor in program for at in range(DESCRIPTOR_STRIDE)]
    words += [0] * (DESCRIPTOR_STRIDE * CONFIG.max_layers - len(words))
    file.write_text("".join(f"{value:08x}\n" for value in words))
    params = {"config": CONFIG, "autostart": True, "layers": 2, "preset": str(file)}
    with open_dut(scheduler, ports(), params, engine, memory_dir=tmp_path) as dut:
        dut.reset()
        for _ in range(2):
            for number, descriptor in enumerate(program):
                wait_start(dut, FETCH_CYCLES + 4)
                run_layer(dut, rng, number, descriptor, rng.randint(3, 40))
        assert dut.peek("images") == 2
        abort(dut, rng, program)
