"""One quantizer lane against accel.fixedpoint (and numpy's float32) for every class of float."""

import random

import numpy as np
import pytest
from myhdl import Signal, intbv

from accel import fixedpoint
from accel.config import bits_code
from accel.rtl.floats.quantize_lane import NAN_LATENCY, QUANTIZE_LANE_LATENCY, quantize_lane
from sim.cases.bench import BlockCase, across, run_case
from sim.cases.floats import around_ties, bits_of, float_of, floats, is_nan, random_pattern
from sim.engines import open_dut

SCALES = (1.0, 0.05, 1 / 3, 0.0078125, 2.0**-120, 1.9 * 2.0**-127, 2.0**-127.9, 3e38, 2.0**126, 1e-6, 7.3e20)


def ports():
    return {
        "clk": Signal(bool(0)),
        "x": Signal(intbv(0)[32:]),
        "inv_scale": Signal(intbv(0)[32:]),
        "zero_point": Signal(intbv(0)[8:]),
        "code": Signal(intbv(0)[2:]),
        "q": Signal(intbv(0)[8:]),
        "nan": Signal(bool(0)),
    }


def expected_codes(patterns, inv_scale, zero_point, bits):
    """Packed codes by the contract's formula, in numpy float32."""
    x = floats(patterns)
    if bits == 1:
        return [int(value) for value in ~(x < 0)]
    qmin, qmax = fixedpoint.qrange(bits)
    with np.errstate(over="ignore", invalid="ignore"):
        steps = np.clip(np.rint(x * float_of(inv_scale)), np.float32(-1024), np.float32(1024))
    steps = np.where(np.isnan(steps), 0, steps).astype(np.int64)
    return [int(q) & 2**bits - 1 for q in np.clip(steps + zero_point, qmin, qmax)]


def settings(rng):
    """(bits of inv_scale, zero point, width), any that the contract allows."""
    scale = rng.choice((*SCALES, 2.0 ** rng.uniform(-127, 127), 2.0 ** rng.uniform(-10, 2)))
    bits = rng.choice((8, 8, 4, 2, 1))
    qmin, qmax = fixedpoint.qrange(bits)
    zero_point = 0 if bits == 1 else rng.choice((0, qmin, qmax, rng.randint(qmin, qmax)))
    return bits_of(fixedpoint.inverse_scale(scale)), zero_point, bits


def feed(dut, patterns, inv_scale, zero_point, bits, expect=expected_codes):
    """One value a cycle; compares every result and the NaN flag."""
    for name, value in (("inv_scale", inv_scale), ("zero_point", zero_point & 255), ("code", bits_code(bits))):
        dut.poke(name, value)
    wanted = expect(patterns, inv_scale, zero_point, bits)
    for cycle in range(len(patterns) + QUANTIZE_LANE_LATENCY):
        dut.poke("x", patterns[cycle] if cycle < len(patterns) else 0)
        if NAN_LATENCY <= cycle <= len(patterns):
            assert dut.peek("nan") == is_nan(patterns[cycle - NAN_LATENCY])
        index = cycle - QUANTIZE_LANE_LATENCY
        if index >= 0:
            got = dut.peek("q") & 2**bits - 1
            assert got == wanted[index], (
                f"x={patterns[index]:08x} ({float_of(patterns[index])!r}) inv_scale={inv_scale:08x} "
                f"zero_point={zero_point} bits={bits}: expected {wanted[index]}, got {got}"
            )
        dut.step()


def drive(dut, rng, stalls, batches=8, count=150, expect=expected_codes):
    dut.step()
    for _ in range(batches):
        inv_scale, zero_point, bits = settings(rng)
        ties = around_ties(float_of(inv_scale), 2 ** (bits + 1))
        patterns = [random_pattern(rng) for _ in range(count)] + [rng.choice(ties) for _ in range(count)]
        rng.shuffle(patterns)
        feed(dut, patterns, inv_scale, zero_point, bits, expect)


CASES = [BlockCase("quantize_lane", quantize_lane, ports, drive, stalls=("none",), vhdl_skip=12)]


@across(CASES)
def test_lane_is_exact(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


@pytest.mark.parametrize("scale", SCALES)
def test_lane_is_exact_around_every_tie(scale):
    inv_scale = bits_of(fixedpoint.inverse_scale(scale))
    with open_dut(quantize_lane, ports(), engine="verilator") as dut:
        dut.step()
        for bits in (8, 4, 2, 1):
            qmin, qmax = fixedpoint.qrange(bits)
            for zero_point in (qmin, 0, qmax) if bits > 1 else (0,):
                feed(dut, around_ties(float_of(inv_scale), 2**bits + 2), inv_scale, zero_point, bits)


def test_lane_is_exact_for_a_hundred_thousand_patterns(seed):
    rng = random.Random(f"{seed}/patterns")
    with open_dut(quantize_lane, ports(), engine="verilator") as dut:
        dut.step()
        for _ in range(50):
            inv_scale, zero_point, bits = settings(rng)
            feed(dut, [random_pattern(rng) for _ in range(2000)], inv_scale, zero_point, bits)


@pytest.mark.parametrize("bits", [8, 4, 2, 1])
def test_expected_codes_are_fixedpoint(bits, seed):
    rng = random.Random(f"{seed}/{bits}")
    for scale in SCALES:
        zero_point = rng.randint(*fixedpoint.qrange(bits)) if bits > 1 else 0
        patterns = [random_pattern(rng) for _ in range(500)]
        want = fixedpoint.quantize(floats(patterns), scale, zero_point, bits)
        got = expected_codes(patterns, bits_of(fixedpoint.inverse_scale(scale)), zero_point, bits)
        assert got == [int(q > 0) if bits == 1 else int(q) & 2**bits - 1 for q in want]


def test_bench_catches_one_rounding_instead_of_two(seed):
    def rounded_once(patterns, inv_scale, zero_point, bits):
        codes = expected_codes(patterns, inv_scale, zero_point, bits)
        for i, pattern in enumerate(patterns):
            exact = float(float_of(pattern)) * float(float_of(inv_scale))
            if bits == 8 and abs(exact) < 100 and zero_point == 0:
                codes[i] = int(np.rint(exact)) & 255
        return codes

    for scale in (0.05, 0.3, 0.7):
        inv_scale = bits_of(fixedpoint.inverse_scale(scale))
        ties = around_ties(float_of(inv_scale), 64)
        if rounded_once(ties, inv_scale, 0, 8) != expected_codes(ties, inv_scale, 0, 8):
            break
    with open_dut(quantize_lane, ports()) as dut, pytest.raises(AssertionError, match="expected"):
        dut.step()
        feed(dut, ties, inv_scale, 0, 8, expect=rounded_once)
