"""The memory block: part writes, held reads, old data on a collision, first contents from a file."""

import random

import pytest
from myhdl import Signal, intbv

from accel.rtl.parts.ram import RAM_LATENCY, ram
from sim.cases.bench import BlockCase, across, run_case
from sim.engines import ENGINES, open_dut


def ports(width=24, parts=3, address_bits=3, enable=True):
    return {
        "clk": Signal(bool(0)),
        "we": Signal(intbv(0)[parts:]) if parts > 1 else Signal(bool(0)),
        "waddr": Signal(intbv(0)[address_bits:]),
        "wdata": Signal(intbv(0)[width:]),
        "re": Signal(bool(0)) if enable else None,
        "raddr": Signal(intbv(0)[address_bits:]),
        "rdata": Signal(intbv(0)[width:]),
    }


def write_part(word, data, enables, part_bits):
    """`word` with the enabled parts replaced."""
    for part in range(enables.bit_length()):
        if enables >> part & 1:
            mask = ((1 << part_bits) - 1) << part * part_bits
            word = word & ~mask | data & mask
    return word


def drive(dut, rng, stalls, part_bits=8, write=write_part):
    """Random reads and writes, half of them at the same address; then every word is read back."""
    width, depth = dut.ports["wdata"].bits, dut.ports["waddr"].high + 1
    contents, expected = [0] * depth, 0
    dut.poke("raddr", 0)
    if "re" in dut.ports:
        dut.poke("re", 1)
    dut.step(RAM_LATENCY)
    assert dut.peek("rdata") == 0, "memory must start with zeros"
    for step in range(400 + depth):
        sweep = step - 400
        waddr = rng.randrange(depth)
        raddr = sweep if sweep >= 0 else rng.choice((waddr, rng.randrange(depth)))
        enables = 0 if sweep >= 0 else rng.randint(0, dut.ports["we"].high)
        data, read = rng.getrandbits(width), sweep >= 0 or rng.random() < 0.6
        for name, value in (("we", enables), ("waddr", waddr), ("wdata", data), ("raddr", raddr), ("re", read)):
            if name in dut.ports:
                dut.poke(name, value)
        if read or "re" not in dut.ports:
            expected = contents[raddr]
        contents[waddr] = write(contents[waddr], data, enables, part_bits)
        dut.step(RAM_LATENCY)
        got = dut.peek("rdata")
        assert got == expected, f"step {step}: read {raddr}, expected {expected:x}, got {got:x}"


def drive_whole_words(dut, rng, stalls):
    drive(dut, rng, stalls, part_bits=9)


CASES = [
    BlockCase("ram_w24_d8_p8", ram, ports, drive, params={"depth": 8, "part_bits": 8}, stalls=("none",)),
    BlockCase(
        "ram_w9_d32",
        ram,
        lambda: ports(9, 1, 5, enable=False),
        drive_whole_words,
        params={"depth": 32, "style": "distributed"},
        stalls=("none",),
    ),
]


@across(CASES)
def test_ram_returns_what_was_written(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


def test_bench_catches_a_memory_that_ignores_part_enables(seed):
    def write_all(word, data, enables, part_bits):
        return data if enables else word

    with open_dut(ram, ports(), {"depth": 8, "part_bits": 8}) as dut, pytest.raises(AssertionError):
        drive(dut, random.Random(seed), None, write=write_all)


@pytest.mark.parametrize("engine", ENGINES)
def test_ram_starts_with_the_preset_image(engine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [0x1FF - 3 * i for i in range(16)]
    (tmp_path / "first.hex").write_text("".join(f"{word:03x}\n" for word in words))
    with open_dut(ram, ports(9, 1, 4), {"depth": 16, "preset": str(tmp_path / "first.hex")}, engine) as dut:
        for address, word in enumerate(words):
            dut.poke("re", 1)
            dut.poke("raddr", address)
            dut.step()
            assert dut.peek("rdata") == word


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": 7}, None),
        ({"depth": 16}, "need addresses of 4 bits"),
        ({"part_bits": 7}, "do not match"),
        ({"part_bits": 12}, "2 parts need as many write enables"),
        ({"style": "fast"}, "style 'fast' is unknown"),
    ],
)
def test_ram_refuses_sizes_that_do_not_match(changes, message):
    params = {"depth": 8, "part_bits": 8, **changes}
    if message is None:
        ram(*ports().values(), **params)
        return
    with pytest.raises(ValueError, match=message):
        ram(*ports().values(), **params)
