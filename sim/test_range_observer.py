"""The range observer against accel.scale: every class of float, clears in the middle of a stream, gaps."""

import functools
import random

import pytest
from myhdl import ResetSignal, Signal, intbv

from accel import scale
from accel.rtl.floats.range_observer import range_observer, range_observer_latency
from sim.cases.bench import BlockCase, across, run_case
from sim.cases.floats import EDGES, bits_of, floats, random_pattern
from sim.engines import open_dut


def ports(lanes):
    return {
        "clk": Signal(bool(0)),
        "rst": ResetSignal(0, active=1, isasync=False),
        "clear": Signal(bool(0)),
        "s_data": Signal(intbv(0)[32 * lanes :]),
        "s_valid": Signal(bool(0)),
        "minimum": Signal(intbv(0)[32:]),
        "maximum": Signal(intbv(0)[32:]),
        "abs_max": Signal(intbv(0)[32:]),
        "nan_seen": Signal(bool(0)),
    }


def check(dut, patterns, observe):
    seen = observe(floats(patterns))
    want = bits_of(seen.minimum), bits_of(seen.maximum), bits_of(seen.abs_max), seen.nan
    got = tuple(dut.peek(name) for name in ("minimum", "maximum", "abs_max", "nan_seen"))
    assert got == want, f"{[f'{bits:08x}' for bits in patterns]}: expected {want}, got {got}"


def drive(dut, rng, stalls, rounds=40, observe=scale.observe):
    """Beats with gaps; each round starts with a clear, behind which the beats under way are forgotten."""
    lanes = dut.ports["s_data"].bits // 32
    check(dut, [], observe)
    for number in range(rounds):
        patterns = []
        pick = rng.choice(
            (
                random_pattern,
                lambda rng: rng.choice(EDGES) | rng.getrandbits(1) << 31,
                lambda rng: rng.randint(1, 3) | 1 << 31,
                lambda rng: bits_of(rng.uniform(-5, -4)),
                lambda rng: bits_of(rng.uniform(1, 2)),
            )
        )
        beats = rng.choice((0, 1, 2, rng.randint(3, 20)))
        while beats:
            beat = [pick(rng) for _ in range(lanes)]
            dut.poke("s_data", sum(bits << 32 * lane for lane, bits in enumerate(beat)))
            valid = rng.random() < 0.7
            dut.poke("s_valid", valid)
            dut.step()
            if valid:
                patterns += beat
                beats -= 1
        dut.poke("s_valid", 0)
        if number % 4:
            dut.step(range_observer_latency(lanes))
            check(dut, patterns, observe)
        dut.poke("clear", 1)
        dut.poke("s_valid", number & 1)  # the beat beside the clear does not count
        dut.step()
        dut.poke("clear", 0)
        dut.poke("s_valid", 0)
        dut.step(1 if number % 3 else range_observer_latency(lanes) + 1)
        if number % 3 == 0:
            check(dut, [], observe)


CASES = [
    BlockCase(
        f"range_observer_l{lanes}",
        range_observer,
        functools.partial(ports, lanes),
        drive,
        params={"lanes": lanes},
        stalls=("none",),
    )
    for lanes in (1, 4)
]


@across(CASES)
def test_range_is_the_range_of_the_stream(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


@pytest.mark.parametrize("lanes", [2, 8])
def test_every_width_and_many_streams(lanes, seed):
    with open_dut(range_observer, ports(lanes), {"lanes": lanes}, engine="verilator") as dut:
        dut.reset()
        drive(dut, random.Random(f"{seed}/{lanes}"), None, rounds=400)


def test_bench_catches_a_lost_infinity(seed):
    def finite_only(values):
        return scale.observe(values[~(abs(values) == float("inf"))])

    dut = open_dut(range_observer, ports(2), {"lanes": 2}, engine="verilator")
    with dut, pytest.raises(AssertionError, match="expected"):
        dut.reset()
        drive(dut, random.Random(seed), None, rounds=400, observe=finite_only)
