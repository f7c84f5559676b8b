"""The scale generator against accel.scale: observed ranges of every class, every width, ranges without a scale."""

import random

import numpy as np
import pytest
from myhdl import ResetSignal, Signal, intbv

from accel import scale
from accel.config import bits_code
from accel.errors import RangeError
from accel.rtl.floats.scale_generator import SCALE_GENERATOR_MAX_CYCLES, scale_generator
from sim.cases.bench import BlockCase, across, run_case
from sim.cases.floats import EDGES, INFINITY, bits_of, float_of, floats, is_nan, random_pattern
from sim.engines import open_dut


def ports():
    return {
        "clk": Signal(bool(0)),
        "rst": ResetSignal(0, active=1, isasync=False),
        "start": Signal(bool(0)),
        "smallest": Signal(intbv(0)[32:]),
        "largest": Signal(intbv(0)[32:]),
        "code": Signal(intbv(0)[2:]),
        "symmetric": Signal(bool(0)),
        "scale": Signal(intbv(0)[32:]),
        "inv_scale": Signal(intbv(0)[32:]),
        "zero_point": Signal(intbv(0)[8:]),
        "invalid": Signal(bool(0)),
        "busy": Signal(bool(0)),
    }


def generate(dut, minimum, maximum, bits, symmetric):
    """(scale bits, inverse bits, zero point) of the block, None where it says that there is none."""
    for name, value in (
        ("smallest", minimum),
        ("largest", maximum),
        ("code", bits_code(bits)),
        ("symmetric", symmetric),
        ("start", 1),
    ):
        dut.poke(name, value)
    dut.step()
    for name in ("start", "smallest", "largest"):
        dut.poke(name, 0)
    for _ in range(SCALE_GENERATOR_MAX_CYCLES):
        if not dut.peek("busy"):
            break
        dut.step()
    else:
        raise AssertionError(f"{minimum:08x} .. {maximum:08x}: busy after {SCALE_GENERATOR_MAX_CYCLES} cycles")
    if dut.peek("invalid"):
        return None
    zero_point = dut.peek("zero_point")
    return dut.peek("scale"), dut.peek("inv_scale"), zero_point - 256 * (zero_point >> 7)


def expected_scale(minimum, maximum, bits, symmetric):
    try:
        with np.errstate(all="ignore"):
            found = scale.scale_of(float_of(minimum), float_of(maximum), bits, symmetric)
    except RangeError:
        return None
    return bits_of(found.scale), bits_of(found.inv_scale), found.zero_point


def a_range(rng):
    """Bits of (minimum, maximum) as the observer gives them."""
    kind = rng.randrange(6)
    if kind == 0:
        return INFINITY, INFINITY | 1 << 31
    if kind == 1:
        patterns = [rng.choice(EDGES) | rng.getrandbits(1) << 31 for _ in range(2)]
    elif kind == 2:
        patterns = [random_pattern(rng) for _ in range(3)]
    elif kind == 3:  # the smallest scales that have an inverse
        patterns = [bits_of(rng.uniform(-1, 1) * 2.0 ** rng.randint(-130, -115)) for _ in range(2)]
    else:
        size = 2.0 ** rng.randint(-20, 20)
        patterns = [bits_of(rng.uniform(-1, 1) * size), bits_of(rng.uniform(-1, 1) * size * 2.0 ** rng.randint(0, 26))]
    seen = scale.observe(floats([bits for bits in patterns if not is_nan(bits)]))
    return bits_of(seen.minimum), bits_of(seen.maximum)


def drive(dut, rng, stalls, count=60, expect=expected_scale):
    for _ in range(count):
        minimum, maximum = a_range(rng)
        bits, symmetric = rng.choice((8, 4, 2, 1)), rng.getrandbits(1)
        if rng.random() < 0.05:
            dut.poke("start", 1)  # a run that the next start drops
            dut.step(rng.randint(1, 99))
        got, want = generate(dut, minimum, maximum, bits, symmetric), expect(minimum, maximum, bits, symmetric)
        assert got == want, (
            f"{minimum:08x} .. {maximum:08x} bits={bits} symmetric={symmetric}: expected {want}, got {got}"
        )


CASES = [BlockCase("scale_generator", scale_generator, ports, drive, stalls=("none",))]


@across(CASES)
def test_scale_is_the_references(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


def test_many_ranges(seed):
    with open_dut(scale_generator, ports(), engine="verilator") as dut:
        dut.reset()
        drive(dut, random.Random(f"{seed}/many"), None, count=2000)


def test_bench_catches_a_zero_point_that_is_cut(seed):
    def cut(minimum, maximum, bits, symmetric):
        found = expected_scale(minimum, maximum, bits, symmetric)
        if found and not symmetric and bits == 8:
            low = min(float(float_of(minimum)), 0.0)
            return *found[:2], min(127, -128 + int(-low / float(float_of(found[0]))))
        return found

    dut = open_dut(scale_generator, ports(), engine="verilator")
    with dut, pytest.raises(AssertionError, match="bits=8 symmetric=0"):
        dut.reset()
        drive(dut, random.Random(seed), None, count=500, expect=cut)
