"""The sequential divider against numpy's float32 division: every class of operand, subnormal quotients, restarts."""

import random

import numpy as np
import pytest
from myhdl import ResetSignal, Signal, intbv

from accel.rtl.floats.float_divider import FLOAT_DIVIDER_MAX_CYCLES, float_divider
from sim.cases.bench import BlockCase, across, run_case
from sim.cases.floats import EDGES, bits_of, float_of, is_nan, random_pattern
from sim.engines import open_dut


def ports():
    return {
        "clk": Signal(bool(0)),
        "rst": ResetSignal(0, active=1, isasync=False),
        "start": Signal(bool(0)),
        "a": Signal(intbv(0)[31:]),
        "b": Signal(intbv(0)[31:]),
        "quotient": Signal(intbv(0)[31:]),
        "done": Signal(bool(0)),
    }


def expected_quotient(a, b):
    with np.errstate(all="ignore"):
        bits = bits_of(float_of(a) / float_of(b)) & 0x7FFFFFFF
    return 0x7FC00000 if is_nan(bits) else bits


def start(dut, a, b):
    dut.poke("a", a)
    dut.poke("b", b)
    dut.poke("start", 1)
    dut.step()
    dut.poke("start", 0)
    dut.poke("a", 0x12345678)
    dut.poke("b", 1)


def divide(dut, a, b):
    start(dut, a, b)
    for _ in range(FLOAT_DIVIDER_MAX_CYCLES):
        if dut.peek("done"):
            return dut.peek("quotient")
        dut.step()
    raise AssertionError(f"a={a:08x} b={b:08x}: not done after {FLOAT_DIVIDER_MAX_CYCLES} cycles")


def operand(rng):
    bits = random_pattern(rng) & 0x7FFFFFFF
    return bits if not is_nan(bits) else 0


def pair(rng):
    """Any operands; operands with close exponents; quotients around the smallest floats; divisors of a scale."""
    kind = rng.randrange(4)
    if kind == 0:
        return operand(rng), operand(rng)
    if kind == 1:
        exponent = rng.randint(1, 250)
        return exponent << 23 | rng.getrandbits(23), (exponent + rng.randint(0, 3)) << 23 | rng.getrandbits(23)
    if kind == 2:
        exponent = rng.randint(128, 254)
        return (exponent - 127 + rng.randint(-1, 2)) << 23 | rng.getrandbits(23), exponent << 23 | rng.getrandbits(23)
    return operand(rng), bits_of(rng.choice((1, 3, 7, 15, 127, 255)))


def drive(dut, rng, stalls, count=60, expect=expected_quotient):
    edges = [edge for edge in EDGES if not is_nan(edge)]
    pairs = [(rng.choice(edges), rng.choice(edges)) for _ in range(count)] + [pair(rng) for _ in range(count)]
    for a, b in pairs:
        if rng.random() < 0.1:
            start(dut, operand(rng), operand(rng))  # a division that is dropped
            dut.step(rng.randint(0, 40))
        got, want = divide(dut, a, b), expect(a, b)
        assert got == want, f"a={a:08x} b={b:08x}: expected {want:08x}, got {got:08x}"


CASES = [BlockCase("float_divider", float_divider, ports, drive, stalls=("none",))]


@across(CASES)
def test_quotient_is_numpys(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


def test_every_pair_of_edges_and_many_others(seed):
    edges = [edge for edge in EDGES if not is_nan(edge)]
    rng = random.Random(seed)
    with open_dut(float_divider, ports(), engine="verilator") as dut:
        dut.reset()
        for a, b in [(a, b) for a in edges for b in edges] + [pair(rng) for _ in range(4000)]:
            got, want = divide(dut, a, b), expected_quotient(a, b)
            assert got == want, f"a={a:08x} b={b:08x}: expected {want:08x}, got {got:08x}"


def test_bench_catches_a_truncated_quotient(seed):
    def truncated(a, b):
        with np.errstate(all="ignore"):
            exact = np.float64(float_of(a)) / np.float64(float_of(b))
            rounded = np.float32(exact)
            return expected_quotient(a, b) - bool(np.isfinite(exact) and rounded > exact)

    dut = open_dut(float_divider, ports(), engine="verilator")
    with dut, pytest.raises(AssertionError, match="expected"):
        dut.reset()
        drive(dut, random.Random(seed), None, expect=truncated)
