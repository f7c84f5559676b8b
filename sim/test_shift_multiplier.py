"""The multiplier for numbers with few one bits: every set of positions, against Python integers; its encoding."""

import functools
import itertools
import random

import pytest
from myhdl import Signal, intbv

from accel.rtl.shift_multiplier import (
    POSITION_BITS,
    POSITION_VALID,
    SHIFT_MULTIPLIER_LATENCY,
    khot_positions,
    khot_word,
    shift_multiplier,
)
from sim.bench import BlockCase, across, run_case
from sim.engines import open_dut

EDGES = (0, 1, -1, 2**31 - 1, -(2**31), 0x55555555, -0x55555556)


def ports(k):
    return {"clk": Signal(bool(0)), "a": Signal(intbv(0)[32:]), "m": Signal(intbv(0)[POSITION_BITS * k:]),
            "less_one": Signal(bool(0)), "product": Signal(intbv(0)[63:])}


def position_sets(k):
    """Every multiplier with at most k one bits, as positions; a sample of those with three."""
    sets = [positions for count in range(min(k, 2) + 1) for positions in itertools.combinations(range(31), count)]
    return sets + (random.Random(1).sample(list(itertools.combinations(range(31), 3)), 500) if k == 3 else [])


def fields_word(rng, positions, k):
    """The positions in any order, fields that do not count anywhere and with any position."""
    fields = [place | POSITION_VALID for place in positions] + [rng.getrandbits(5) for _ in range(k - len(positions))]
    rng.shuffle(fields)
    return sum(field << POSITION_BITS * i for i, field in enumerate(fields))


def drive(dut, rng, stalls, k, borrowed=1):
    vectors = [(positions, rng.choice((*EDGES, rng.getrandbits(32) - 2**31)), rng.getrandbits(1))
               for positions in position_sets(k) for _ in range(12 if k == 1 else 1)]
    vectors += [((), 5, 0), ((30,), -(2**31), 1), ((30, 29, 28)[:k], -(2**31), 1), ((30, 29, 28)[:k], 2**31 - 1, 0)]
    dut.step()
    for cycle in range(len(vectors) + SHIFT_MULTIPLIER_LATENCY):
        if cycle < len(vectors):
            positions, a, _ = vectors[cycle]
            dut.poke("a", a & 2**32 - 1)
            dut.poke("m", fields_word(rng, positions, k))
        if 0 < cycle <= len(vectors):
            dut.poke("less_one", vectors[cycle - 1][2])
        if cycle >= SHIFT_MULTIPLIER_LATENCY:
            positions, a, less_one = vectors[cycle - SHIFT_MULTIPLIER_LATENCY]
            want = a * sum(1 << place for place in positions) - borrowed * less_one & 2**63 - 1
            got = dut.peek("product")
            assert got == want, f"{a} at positions {positions} less {less_one}: expected {want:x}, got {got:x}"
        dut.step()


CASES = [BlockCase(f"shift_multiplier_k{k}", shift_multiplier, functools.partial(ports, k),
                   functools.partial(drive, k=k), stalls=("none",)) for k in (1, 2, 3)]


@across(CASES)
def test_sums_of_shifts_are_exact(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


def test_bench_catches_a_forgotten_borrow(seed):
    with open_dut(shift_multiplier, ports(2)) as dut, pytest.raises(AssertionError, match="less 1"):
        drive(dut, random.Random(seed), None, k=2, borrowed=0)


def test_every_multiplier_with_few_one_bits_is_encoded():
    for k in (1, 2, 3):
        for positions in itertools.chain(*(itertools.combinations(range(30, -1, -1), count) for count in range(4))):
            multiplier = sum(1 << place for place in positions)
            if len(positions) > k:
                assert khot_positions(multiplier, k) is None
                continue
            assert khot_positions(multiplier, k) == positions
            word = khot_word(multiplier, k)
            fields = [word >> POSITION_BITS * i & 63 for i in range(k)]
            assert sum(1 << (field & 31) for field in fields if field & POSITION_VALID) == multiplier
            assert word < 1 << POSITION_BITS * k


def test_other_multipliers_are_refused():
    with pytest.raises(ValueError, match="7 has more than 2 one bits"):
        khot_word(7, 2)
    for multiplier in (-1, 2**31):
        with pytest.raises(ValueError, match="outside"):
            khot_positions(multiplier, 3)


def test_other_widths_are_refused():
    with pytest.raises(ValueError, match="6, 12 or 18 bits, not 24"):
        open_dut(shift_multiplier, ports(4))
