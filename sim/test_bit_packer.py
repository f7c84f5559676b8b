"""The bit packer: pixels of 8-, 4-, 2- and 1-bit channels and of raw bytes, against accel.fixedpoint.pack."""

import functools
import random

import numpy as np
import pytest
from myhdl import ResetSignal, Signal, intbv

from accel.config import HardwareConfig
from accel.fixedpoint import pack
from accel.rtl.output.bit_packer import bit_packer, bit_packer_latency
from sim.bus import STALLS, Monitor, Source, transfer
from sim.cases.bench import BlockCase, across, run_case
from sim.engines import open_dut

RESULT_FIELDS = ("data", "count", "last")


def ports(config):
    return {
        "clk": Signal(bool(0)),
        "rst": ResetSignal(0, active=1, isasync=False),
        "code": Signal(intbv(0)[2:]),
        "s_data": Signal(intbv(0)[8 * config.group_bytes :]),
        "s_count": Signal(intbv(0)[config.group_count_bits :]),
        "s_valid": Signal(bool(0)),
        "s_pixel_last": Signal(bool(0)),
        "s_last": Signal(bool(0)),
        "m_data": Signal(intbv(0)[8 * config.group_bytes :]),
        "m_count": Signal(intbv(0)[config.group_count_bits :]),
        "m_valid": Signal(bool(0)),
        "m_last": Signal(bool(0)),
    }


def channel_values(rng, bits, count):
    if bits == 1:
        return [rng.choice((-1, 1)) for _ in range(count)]
    return [rng.randint(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for _ in range(count)]


def group_word(rng, config, values):
    """The channels as bytes, garbage behind them."""
    garbage = rng.getrandbits(8 * config.group_bytes) >> 8 * len(values) << 8 * len(values)
    return garbage | int.from_bytes(bytes(value & 0xFF for value in values), "little")


def layer_groups(rng, config, bits):
    """Groups of a layer of random size, and for each pixel its packed bytes and the number of its last group."""
    lanes = config.req_lanes
    channels = rng.choice((lanes, rng.randint(1, 20), rng.randint(1, 20), rng.randint(1, 4 * lanes + 9)))
    pixels, groups, packed = rng.randint(1, 6), [], []
    for pixel in range(pixels):
        values = channel_values(rng, bits, channels)
        for at in range(0, channels, lanes):
            part = values[at : at + lanes]
            end = at + lanes >= channels
            groups.append((group_word(rng, config, part), len(part), int(end), int(end and pixel == pixels - 1)))
        packed.append((pack(np.array(values), bits).tobytes(), len(groups) - 1))
    return groups, packed


def raw_groups(rng, config):
    """Accumulators of 4 bytes."""
    count = rng.randint(1, 12)
    groups = [(rng.getrandbits(8 * config.group_bytes), 4, rng.getrandbits(1), 0) for _ in range(count)]
    groups[-1] = (*groups[-1][:2], 1, 1)
    return groups, [(group[0].to_bytes(64, "little")[:4], number) for number, group in enumerate(groups)]


def drive(dut, rng, stalls, config, packs=bit_packer_latency):
    for number in range(60):
        bits = rng.choice(config.modes)
        groups, packed = raw_groups(rng, config) if number % 6 == 5 else layer_groups(rng, config, bits)
        dut.poke("code", 0 if number % 6 == 5 else {8: 0, 4: 1, 2: 2, 1: 3}[bits])
        source = Source(
            dut,
            "s",
            fields=("data", "count", "pixel_last", "last"),
            ready=None,
            rng=rng,
            pauses=stalls.source_pauses(rng),
        )
        monitor = Monitor(dut, "m", fields=RESULT_FIELDS, ready=None)
        source.send(*groups)
        transfer(dut, source, monitor, quiet=4)
        check(monitor, source, groups, packed, packs(config))


def check(monitor, source, groups, packed, latency):
    """The bytes of each pixel, complete with its last group and no earlier than their own groups."""
    stream, ends = b"", {}
    for bytes_, end in packed:
        stream += bytes_
        ends[len(stream)] = source.cycles[end] + latency
    got = b""
    for (data, count, last), cycle in zip(monitor.received, monitor.cycles, strict=True):
        part = data.to_bytes(64, "little")[:count]
        assert part == stream[len(got) : len(got) + count], f"byte {len(got)}: got {part.hex()} of {stream.hex()}"
        got += part
        assert last == (len(got) == len(stream)), f"last={last} behind byte {len(got)} of {len(stream)}"
        assert len(got) not in ends or cycle == ends[len(got)], f"bytes up to {len(got)} came in cycle {cycle}"
    assert got == stream, f"got {len(got)} of {len(stream)} bytes"


def case(stalls=("none", "source"), **size):
    config = HardwareConfig(**size)
    widths = "".join(map(str, config.modes))
    return BlockCase(
        f"bit_packer_l{config.req_lanes}_p{widths}",
        bit_packer,
        functools.partial(ports, config),
        functools.partial(drive, config=config),
        params={"config": config},
        stalls=stalls,
        vhdl_compare={f"m_{field}": "m_valid" for field in RESULT_FIELDS},
    )


ALL = (8, 4, 2, 1)
CASES = [case(rows=8, lanes=8, precisions=ALL), case(rows=16, lanes=16, req_lanes=8, precisions=ALL)]
OTHER_SIZES = [
    case(("source",), rows=8, lanes=8, req_lanes=1, precisions=ALL),
    case(("none",), rows=8, lanes=8, req_lanes=4, precisions=ALL),
    case(("none",), rows=8, lanes=8, req_lanes=4, precisions=(8, 4, 2)),
    case(("source",), rows=8, lanes=8, req_lanes=1, precisions=(8, 1)),
    case(("none",), rows=8, lanes=8, req_lanes=2, precisions=(8, 2)),
    case(("none",), rows=8, lanes=8, req_lanes=8, precisions=(8, 6, 4)),
    case(("none",), rows=32, lanes=32, req_lanes=32, precisions=ALL),
]


@across(CASES)
def test_channels_become_bytes(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


@across(OTHER_SIZES, engines=("myhdl", "verilator"))
def test_channels_become_bytes_at_other_sizes(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


def test_bench_catches_a_wrong_latency(seed):
    config = CASES[0].params["config"]
    with open_dut(bit_packer, ports(config), {"config": config}) as dut, pytest.raises(AssertionError, match="cycle"):
        dut.reset()
        drive(dut, random.Random(seed), STALLS["none"], config, packs=lambda config: 1)


def test_a_build_of_one_precision_has_none():
    config = HardwareConfig(rows=8, lanes=8)
    with pytest.raises(ValueError, match="one precision"):
        open_dut(bit_packer, ports(config), {"config": config})
