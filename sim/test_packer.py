"""The packer: groups of bytes become words without gaps, whatever the counts."""

import functools
import random

import pytest
from myhdl import ResetSignal, Signal, intbv

from accel.config import HardwareConfig
from accel.rtl.output.packer import PACKER_LAST_LATENCY, PACKER_LATENCY, packer
from sim.bus import STALLS, Monitor, Source, transfer
from sim.cases.bench import BlockCase, across, run_case
from sim.engines import open_dut

WORD_FIELDS = ("data", "keep", "last")


def ports(config):
    return {
        "clk": Signal(bool(0)),
        "rst": ResetSignal(0, active=1, isasync=False),
        "s_data": Signal(intbv(0)[8 * config.group_bytes :]),
        "s_count": Signal(intbv(0)[config.group_count_bits :]),
        "s_valid": Signal(bool(0)),
        "s_last": Signal(bool(0)),
        "m_data": Signal(intbv(0)[8 * config.lanes :]),
        "m_keep": Signal(intbv(0)[config.lanes :]),
        "m_valid": Signal(bool(0)),
        "m_last": Signal(bool(0)),
    }


def random_layer(rng, config):
    """Groups of one layer: (data, count, last), data with garbage behind the counted bytes."""
    size = config.group_bytes
    full = rng.choice((1, 2, 4, size, 0))  # most groups have the same count, as those of the requantizer
    groups = []
    for number in range(total := rng.randint(1, 40)):
        count = full if full and rng.random() < 0.8 else rng.randint(1, size)
        groups.append((rng.getrandbits(8 * size), count, int(number == total - 1)))
    return groups


def packed_words(groups, lanes):
    """(data, keep, last) of each word of one layer."""
    stream = b"".join(data.to_bytes(16, "little")[:count] for data, count, _ in groups)
    chunks = [stream[at : at + lanes] for at in range(0, len(stream), lanes)]
    return [
        (int.from_bytes(chunk, "little"), (1 << len(chunk)) - 1, int(number == len(chunks) - 1))
        for number, chunk in enumerate(chunks)
    ]


def latest_cycles(groups, cycles, lanes):
    """The cycle in which each word must appear."""
    total, due = 0, []
    for (_, count, last), cycle in zip(groups, cycles, strict=True):
        total += count
        if total >= lanes:
            due.append(cycle + PACKER_LATENCY)
            total -= lanes
            if last and total:
                due.append(cycle + PACKER_LAST_LATENCY)
        elif last:
            due.append(cycle + PACKER_LATENCY)
    return due


def drive(dut, rng, stalls, config, words_of=packed_words):
    for _ in range(20):
        groups = random_layer(rng, config)
        source = Source(
            dut, "s", fields=("data", "count", "last"), ready=None, rng=rng, pauses=stalls.source_pauses(rng)
        )
        monitor = Monitor(dut, "m", fields=WORD_FIELDS, ready=None)
        source.send(*groups)
        monitor.expect(*words_of(groups, config.lanes))
        transfer(dut, source, monitor, quiet=rng.randint(0, 3))
        assert monitor.cycles == latest_cycles(groups, source.cycles, config.lanes)


def case(stalls=("none", "source"), **size):
    config = HardwareConfig(**size)
    return BlockCase(
        f"packer_n{config.lanes}_g{config.group_bytes}",
        packer,
        functools.partial(ports, config),
        functools.partial(drive, config=config),
        params={"config": config},
        stalls=stalls,
        vhdl_compare={f"m_{field}": "m_valid" for field in WORD_FIELDS},
    )


CASES = [case(rows=4, lanes=4), case(rows=32, lanes=16, req_lanes=8)]
OTHER_SIZES = [
    case(("source",), rows=8, lanes=8),
    case(("none",), rows=16, lanes=64, req_lanes=16),
    case(("none",), rows=16, lanes=16, req_lanes=16),
]


@across(CASES)
def test_bytes_are_packed_without_gaps(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


@across(OTHER_SIZES, engines=("myhdl",))
def test_bytes_are_packed_without_gaps_at_other_sizes(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


def test_bench_catches_a_lost_remainder(seed):
    def without_remainder(groups, lanes):
        words = [word for word in packed_words(groups, lanes) if word[1] == (1 << lanes) - 1]
        return words or packed_words(groups, lanes)

    config = CASES[0].params["config"]
    with open_dut(packer, ports(config), {"config": config}) as dut, pytest.raises(AssertionError, match="item"):
        dut.reset()
        drive(dut, random.Random(seed), STALLS["none"], config, words_of=without_remainder)
