"""The parameter table: field writes, group reads, first contents from images."""

import functools
import random

import pytest
from myhdl import Signal, intbv

from accel.config import HardwareConfig
from accel.rtl.output.param_table import PARAM_TABLE_LATENCY, memory_words, param_table
from sim.cases.bench import BlockCase, across, run_case
from sim.engines import ENGINES, open_dut


def ports(config):
    return {
        "clk": Signal(bool(0)),
        "we": Signal(bool(0)),
        "waddr": Signal(intbv(0)[(config.param_group_depth * config.req_lanes - 1).bit_length() + 2 :]),
        "wdata": Signal(intbv(0)[32:]),
        "raddr": Signal(intbv(0)[config.param_addr_bits :]),
        "rdata": Signal(intbv(0)[config.param_word_bits :]),
    }


def group_word(entries, group, config):
    """rdata of a group: {bias, multiplier, shift1, shift2} of each lane, lane 0 low."""
    word, at = 0, 0
    for bias, multiplier, shift1, shift2 in entries[group * config.req_lanes :][: config.req_lanes]:
        for value, bits in ((bias, config.acc_bits), (multiplier, config.multiplier_bits), (shift1, 6), (shift2, 5)):
            word |= (value & (1 << bits) - 1) << at
            at += bits
    return word


def drive(dut, rng, stalls, config, shifts_at=8):
    count = config.param_group_depth * config.req_lanes
    entries = [[0, 0, 0, 0] for _ in range(count)]

    def write(index, field, value, enable=1):
        for name, number in (("we", enable), ("waddr", 4 * index + field), ("wdata", value)):
            dut.poke(name, number)
        if not enable or field == 3 or (field == 1 and value >> 31):
            return
        if field == 2:
            entries[index][2:] = value & 63, value >> shifts_at & 31
        else:
            entries[index][field] = value

    dut.poke("raddr", 0)
    dut.step()
    for step in range(600):
        raddr = rng.randrange(config.param_group_depth)
        index = rng.choice((rng.randrange(count), raddr * config.req_lanes))
        dut.poke("raddr", raddr)
        want = group_word(entries, raddr, config)
        write(index, rng.choice((0, 1, 1, 2, 3)), rng.getrandbits(32), enable=rng.random() < 0.8)
        dut.step(PARAM_TABLE_LATENCY)
        got = dut.peek("rdata")
        assert got == want, f"step {step}: group {raddr}: expected {want:x}, got {got:x}"
    dut.poke("we", 0)
    for group in range(config.param_group_depth):
        dut.poke("raddr", group)
        dut.step(PARAM_TABLE_LATENCY)
        assert dut.peek("rdata") == group_word(entries, group, config)


def case(**size):
    config = HardwareConfig(param_depth=16, **size)
    return BlockCase(
        f"param_table_l{config.req_lanes}_a{config.acc_bits}_m{config.multiplier_bits}",
        param_table,
        functools.partial(ports, config),
        functools.partial(drive, config=config),
        params={"config": config},
        stalls=("none",),
    )


CASES = [
    case(rows=8, lanes=8),
    case(rows=4, lanes=4, acc_bits=16),
    case(rows=8, lanes=8, acc_bits=16, requantizer="pow2", param_style="distributed"),
]


@across(CASES)
def test_fields_arrive_in_their_lane(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


def test_bench_catches_a_shift_in_the_wrong_bits(seed):
    wrong = functools.partial(drive, config=CASES[0].params["config"], shifts_at=9)
    with open_dut(param_table, CASES[0].ports(), CASES[0].params) as dut, pytest.raises(AssertionError, match="group"):
        wrong(dut, random.Random(seed), None)


@pytest.mark.parametrize("engine", ENGINES)
def test_table_starts_with_the_preset_images(engine, tmp_path, monkeypatch, seed):
    monkeypatch.chdir(tmp_path)
    config, rng, files = CASES[0].params["config"], random.Random(seed), []
    entries = [(rng.getrandbits(32), rng.getrandbits(31), rng.randint(0, 62), rng.randint(0, 31)) for _ in range(13)]
    for field, name in enumerate(("bias", "multiplier", "shifts")):
        files.append(str(tmp_path / f"{name}.hex"))
        (tmp_path / f"{name}.hex").write_text("".join(f"{word:x}\n" for word in memory_words(entries, field, config)))
    padded = entries + [(0, 0, 0, 0)] * 3
    with open_dut(param_table, ports(config), {"config": config, "preset": tuple(files)}, engine) as dut:
        for group in range(config.param_group_depth):
            dut.poke("raddr", group)
            dut.step()
            assert dut.peek("rdata") == group_word(padded, group, config)
