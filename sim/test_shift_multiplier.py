"""The multiplier for numbers with few one bits: every set of positions, against Python integers; its encoding."""

import functools
import itertools
import random

import pytest
from myhdl import Signal, intbv

from accel.rtl.output.shift_multiplier import (
    POSITION_BITS,
    POSITION_VALID,
    SHIFT_MULTIPLIER_LATENCY,
    khot_positions,
    khot_word,
    shift_multiplier,
)
from sim.cases.bench import BlockCase, across, run_case
from sim.engines import open_dut

EDGES = (0, 1, -1, 2**31 - 1, -(2**31), 0x55555555, -0x55555556)


def ports(k):
    return {
        "clk": Signal(bool(0)),
        "a": Signal(intbv(0)[32:]),
        "m": Signal(intbv(0)[POSITION_BITS * k :]),
        "shift": Signal(intbv(0)[6:]),
        "less_one": Signal(bool(0)),
        "product": Signal(intbv(0)[63:]),
        "shift_late": Signal(intbv(0)[6:]),
    }


def position_sets(k):
    """Every multiplier with at most k one bits, as positions; a sample of those with three."""
    sets = [list(itertools.combinations(range(30, -1, -1), count)) for count in range(k + 1)]
    if k == 3:
        sets[3] = random.Random(1).sample(sets[3], 500)
    return list(itertools.chain(*sets))


def fields_word(rng, positions, k):
    """The highest position first, the others and fields that do not count in any order."""
    fields = [place | POSITION_VALID for place in positions] + [rng.randint(0, 30) for _ in range(k - len(positions))]
    others = fields[1:]
    rng.shuffle(others)
    return sum(field << POSITION_BITS * i for i, field in enumerate([fields[0], *others]))


def expected(positions, a, shift, less_one, first_place):
    """(product, shift_late), with everything moved up until the highest position is 30."""
    raised = 30 - first_place
    product = (a * sum(1 << place for place in positions) << raised) - less_one if positions else -less_one
    return product & 2**63 - 1, min(63, shift + raised)


def drive(dut, rng, stalls, k, borrowed=1):
    vectors = [
        (positions, rng.choice((*EDGES, rng.getrandbits(32) - 2**31)), rng.getrandbits(1))
        for positions in position_sets(k)
        for _ in range(12 if k == 1 else 1)
    ]
    vectors += [((), 5, 0), ((30,), -(2**31), 1), ((30, 29, 28)[:k], -(2**31), 1), ((30, 29, 28)[:k], 2**31 - 1, 0)]
    words = [fields_word(rng, positions, k) for positions, *_ in vectors]
    shifts = [rng.randint(0, 62) for _ in vectors]
    dut.step()
    for cycle in range(len(vectors) + SHIFT_MULTIPLIER_LATENCY):
        if cycle < len(vectors):
            dut.poke("a", vectors[cycle][1] & 2**32 - 1)
            dut.poke("m", words[cycle])
            dut.poke("shift", shifts[cycle])
        if 0 < cycle <= len(vectors):
            dut.poke("less_one", vectors[cycle - 1][2])
        if cycle >= SHIFT_MULTIPLIER_LATENCY:
            number = cycle - SHIFT_MULTIPLIER_LATENCY
            positions, a, less_one = vectors[number]
            want = expected(positions, a, shifts[number], borrowed * less_one, words[number] & 31)
            got = dut.peek("product"), dut.peek("shift_late")
            assert got == want, f"{a} at positions {positions} less {less_one}: expected {want}, got {got}"
        dut.step()


CASES = [
    BlockCase(
        f"shift_multiplier_k{k}",
        shift_multiplier,
        functools.partial(ports, k),
        functools.partial(drive, k=k),
        stalls=("none",),
    )
    for k in (1, 2, 3)
]


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
