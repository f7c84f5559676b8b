"""One dequantizer lane against accel.scale.dequantize: codes, accumulators, both roundings, subnormal results."""

import random

import numpy as np
import pytest
from myhdl import Signal, intbv

from accel import scale as reference
from accel.rtl.floats.dequantize_lane import DEQUANTIZE_LANE_LATENCY, dequantize_lane
from sim.cases.bench import BlockCase, across, run_case
from sim.cases.floats import bits_of, float_of
from sim.engines import open_dut

SCALES = (1.0, 0.05, 1 / 3, 2.0**-128, 1.7 * 2.0**-128, 1.1 * 2.0**-127, 2.0**-126, 3.4e38, 2.0**100, 1e-5)
EDGES = (0, 1, -1, 2**24 - 1, 2**24, 2**24 + 1, 2**24 + 3, 2**25 - 1, 2**31 - 1, -(2**31), 2**31 - 65, 2**31 - 64)


def ports():
    return {
        "clk": Signal(bool(0)),
        "value": Signal(intbv(0)[32:]),
        "scale": Signal(intbv(0)[32:]),
        "zero_point": Signal(intbv(0)[8:]),
        "x": Signal(intbv(0)[32:]),
    }


def a_scale(rng):
    return np.float32(rng.choice((*SCALES, 2.0 ** rng.uniform(-128, 127), 2.0 ** rng.uniform(-15, 0))))


def a_value(rng):
    kind = rng.randrange(4)
    if kind == 0:
        return rng.randint(-128, 127)
    if kind == 1:
        return rng.choice(EDGES)
    if kind == 2:
        return rng.choice((-1, 1)) * rng.getrandbits(rng.randint(1, 31))
    # half-way cases of 24 bits and their neighbours
    bits = rng.randint(1, 7)
    value = (rng.getrandbits(23) | 1 << 23) << bits | 1 << bits - 1
    return rng.choice((-1, 1)) * (value + rng.choice((-1, 0, 0, 1)))


def feed(dut, values, scale, zero_point, expect=reference.dequantize):
    """One value a cycle; compares every bit."""
    dut.poke("scale", bits_of(scale))
    dut.poke("zero_point", zero_point & 255)
    wanted = expect(values, scale, zero_point)
    for cycle in range(len(values) + DEQUANTIZE_LANE_LATENCY):
        dut.poke("value", values[min(cycle, len(values) - 1)] & 2**32 - 1)
        if cycle >= DEQUANTIZE_LANE_LATENCY:
            index = cycle - DEQUANTIZE_LANE_LATENCY
            got, want = dut.peek("x"), bits_of(wanted[index])
            assert got == want, (
                f"value={values[index]} zero_point={zero_point} scale={scale!r}: expected "
                f"{want:08x}, got {got:08x} ({float_of(got)!r})"
            )
        dut.step()


def drive(dut, rng, stalls, batches=10, count=120, expect=reference.dequantize):
    dut.step()
    for batch in range(batches):
        zero_point = rng.choice((0, -128, 127, rng.randint(-128, 127)))
        values = [a_value(rng) for _ in range(count)]
        if batch % 2:
            values = [rng.randint(-128, 127) for _ in range(count)] + [zero_point]
        feed(dut, values, a_scale(rng), zero_point, expect)


CASES = [BlockCase("dequantize_lane", dequantize_lane, ports, drive, stalls=("none",), vhdl_skip=16)]


@across(CASES)
def test_lane_is_exact(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


def test_lane_is_exact_for_many_values(seed):
    with open_dut(dequantize_lane, ports(), engine="verilator") as dut:
        drive(dut, random.Random(f"{seed}/many"), None, batches=100, count=1000)


@pytest.mark.parametrize("scale", SCALES)
def test_every_code_at_every_zero_point(scale):
    with open_dut(dequantize_lane, ports(), engine="verilator") as dut:
        for zero_point in (-128, -7, 0, 1, 127):
            feed(dut, list(range(-128, 128)), np.float32(scale), zero_point)


def test_bench_catches_one_rounding_instead_of_two(seed):
    def rounded_once(values, scale, zero_point):
        return ((np.asarray(values) - zero_point).astype(np.float64) * np.float64(scale)).astype(np.float32)

    with np.errstate(over="ignore"):
        dut = open_dut(dequantize_lane, ports(), engine="verilator")
        with dut, pytest.raises(AssertionError, match="expected"):
            drive(dut, random.Random(seed), None, expect=rounded_once)
