"""The host port: random accesses to all regions, decoded against the address map."""

import functools

from accel.config import HardwareConfig
from accel.descriptor import (
    CONTROL_ABORT,
    CONTROL_CLOSE,
    CONTROL_RENEW,
    DESCRIPTOR_STRIDE,
    REG_CONTROL,
    REG_CYCLE_LIMIT,
    REG_IDENTITY,
    REG_IMAGES,
    REG_STATUS,
    REGION_COUNTERS,
    REGION_DESCRIPTORS,
    REGION_PARAMETERS,
    REGION_REGISTERS,
    REGION_WEIGHTS,
    REGION_WEIGHTS6,
    host_address,
)
from accel.rtl.control.host_port import HOST_READ_LATENCY, host_port
from sim.cases.bench import BlockCase, across, run_case
from sim.pipeline import flag, poke, reset, word

CONFIGS = {
    "4x4": HardwareConfig(rows=4, lanes=4, weight_depth=64),
    "8x8": HardwareConfig(rows=8, lanes=8, acc_bits=16, weight_depth=16),
    "4x16_int6": HardwareConfig(rows=4, lanes=16, weight_depth=16, precisions=(8, 6)),
}
WRITE_ENABLES = {
    "reg_we": REGION_REGISTERS,
    "program_we": REGION_DESCRIPTORS,
    "param_we": REGION_PARAMETERS,
    "weight_we": REGION_WEIGHTS,
}


def ports(config):
    part_bits = (config.lanes // 4 - 1).bit_length()
    return {
        "clk": flag(),
        "rst": reset(),
        "host_addr": word(24),
        "host_write": flag(),
        "host_wdata": word(32),
        "host_read": flag(),
        "host_rdata": word(32),
        **{name: flag() for name in WRITE_ENABLES},
        "offset": word(20),
        "wdata": word(32),
        "weight_waddr": word(config.weight_addr_bits),
        "weight_wrow": word((config.rows - 1).bit_length()),
        "weight_wpart": word(part_bits) if part_bits else None,
        "soft_reset": flag(),
        "soft_close": flag(),
        "soft_renew": flag(),
        "counter_address": word(config.layer_bits),
        "status": word(32),
        "images": word(32),
        "cycle_limit": word(32),
        "cycles": word(32),
        "stalls": word(32),
        "weight_packed_we": flag() if 6 in config.precisions else None,
    }


def random_address(rng, config):
    region = rng.choice((*range(6), rng.randrange(16)))
    offset = rng.choice((rng.randrange(8), rng.randrange(64), rng.randrange(2048), rng.getrandbits(20)))
    return host_address(region, offset)


def write_enables(config):
    return WRITE_ENABLES | ({"weight_packed_we": REGION_WEIGHTS6} if 6 in config.precisions else {})


def exists(config, region, offset):
    """Whether a write to `offset` of a region lands in a memory or, for the registers, in their region."""
    words = {
        REGION_REGISTERS: 2**20,
        REGION_DESCRIPTORS: DESCRIPTOR_STRIDE * 2**config.layer_bits,
        REGION_PARAMETERS: 4 * 2**config.param_index_bits,
        REGION_WEIGHTS: config.weight_depth * config.rows * config.lanes // 4,
        REGION_WEIGHTS6: config.weight_depth * config.rows * config.lanes // 4,
    }
    return offset < words.get(region, 0)


def expected_read(address, config, counters, registers):
    """counters[layer] = (cycles, stalls)."""
    region, offset = address >> 20, address & 0xFFFFF
    if region == REGION_COUNTERS:
        return (*counters[offset // 4], 0, 0)[offset % 4] if offset // 4 < len(counters) else 0
    if region == REGION_REGISTERS:
        identity = config.acc_bits << 24 | config.req_lanes << 16 | config.lanes << 8 | config.rows
        return (registers | {REG_IDENTITY: identity}).get(offset, 0)
    return 0


def check_write(dut, config, address, data):
    """The cycle behind a write of `data`."""
    region, offset = address >> 20, address & 0xFFFFF
    for name, wanted in write_enables(config).items():
        assert dut.peek(name) == (region == wanted and exists(config, region, offset)), (
            f"{name} after a write to {address:#x}"
        )
    assert (dut.peek("offset"), dut.peek("wdata")) == (offset, data)
    parts, rows = config.lanes // 4, config.rows
    assert dut.peek("weight_waddr") == offset // (parts * rows) % config.weight_depth
    assert dut.peek("weight_wrow") == offset // parts % rows
    if parts > 1:
        assert dut.peek("weight_wpart") == offset % parts
    assert dut.peek("soft_reset") == (
        address == host_address(REGION_REGISTERS, REG_CONTROL) and data & CONTROL_ABORT != 0
    )
    if dut.peek("soft_reset"):
        flags = (data & CONTROL_CLOSE != 0, data & CONTROL_RENEW != 0)
        assert (dut.peek("soft_close"), dut.peek("soft_renew")) == flags


def drive(dut, rng, stalls, config):
    counters = [(rng.getrandbits(32), rng.getrandbits(32)) for _ in range(2**config.layer_bits)]
    registers = {name: rng.getrandbits(32) for name in ("status", "images", "cycle_limit")}
    poke(dut, **registers)
    registers = dict(zip((REG_STATUS, REG_IMAGES, REG_CYCLE_LIMIT), registers.values(), strict=True))
    paused, reads, wrote = stalls.source_pauses(rng), [None] * HOST_READ_LATENCY, None
    counter_address, held = None, None
    for _ in range(500):
        idle = next(paused)
        write, read = not idle and rng.random() < 0.5, not idle and rng.random() < 0.6
        address, data = random_address(rng, config), rng.getrandbits(32)
        poke(dut, host_addr=address, host_write=write, host_wdata=data, host_read=read)
        if counter_address is not None:  # the counter memories' registered output
            poke(dut, cycles=counters[counter_address][0], stalls=counters[counter_address][1])
        if wrote:
            check_write(dut, config, *wrote)
        else:
            assert not any(dut.peek(name) for name in (*write_enables(config), "soft_reset"))
        held = reads[0] if reads[0] is not None else held
        if held is not None:
            assert dut.peek("host_rdata") == held
        counter_address = dut.peek("counter_address")
        dut.step()
        wrote = (address, data) if write else None
        reads = [*reads[1:], expected_read(address, config, counters, registers) if read else None]


CASES = [
    BlockCase(
        f"host_port_{name}",
        host_port,
        functools.partial(ports, config),
        functools.partial(drive, config=config),
        params={"config": config},
        stalls=("none", "both"),
    )
    for name, config in CONFIGS.items()
]


@across(CASES)
def test_accesses(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
