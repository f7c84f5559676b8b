"""The scalar multiply-accumulate unit: vectors back to back, gaps, clear, wrap and saturation."""

import functools
import random
from itertools import product

import pytest
from myhdl import ResetSignal, Signal, intbv

from accel.fixedpoint import approximate_product
from accel.rtl.array.approximate_multiplier import BIAS, MAX_ERROR, MEAN_ERROR
from accel.rtl.array.mac import MAC_LATENCY, mac
from sim.bus import STALLS
from sim.cases.bench import BlockCase, across, run_case
from sim.engines import ENGINES, open_dut


def signed(bits):
    return Signal(intbv(0, min=-(2 ** (bits - 1)), max=2 ** (bits - 1)))


def ports(bits=8, result_bits=32):
    return {
        "clk": Signal(bool(0)),
        "rst": ResetSignal(0, active=1, isasync=False),
        "a": signed(bits),
        "b": signed(bits),
        "valid": Signal(bool(0)),
        "clear": Signal(bool(0)),
        "result": signed(result_bits),
        "result_valid": Signal(bool(0)),
    }


def limit(value, bits, saturate):
    if saturate:
        return min(max(value, -(2 ** (bits - 1))), 2 ** (bits - 1) - 1)
    return (value + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)


def feed(dut, steps):
    """One (a, b, valid, clear) a cycle, then idle cycles; returns the results of the valid ones with their cycle."""
    results = []
    start = dut.cycle
    for a, b, valid, clear in [*steps, *[(0, 0, 0, 0)] * (MAC_LATENCY + 1)]:
        for name, value in (("a", a), ("b", b), ("valid", valid), ("clear", clear)):
            dut.poke(name, value)
        if dut.peek("result_valid"):
            results.append((dut.cycle - start, dut.peek("result")))
        dut.step()
    return results


def drive(dut, rng, stalls, saturate, limit=limit):
    port, bits = dut.ports["a"], dut.ports["result"].bits
    gaps, steps, expected, total = stalls.source_pauses(rng), [(0, 0, 0, 1)], [], 0
    for _ in range(60):
        values = rng.choice(((port.low,), (port.low, port.high), range(port.low, port.high + 1)))
        for index in range(rng.randint(1, 12)):
            while next(gaps):
                steps.append((rng.randint(port.low, port.high), rng.randint(port.low, port.high), 0, 0))
            a, b, clear = rng.choice(values), rng.choice(values), int(index == 0)
            if clear and rng.random() < 0.3:  # the clear comes alone, one or more cycles before the first product
                steps += [(a, b, 0, 1)] + [(b, a, 0, 0)] * rng.randint(0, 2)
                clear, total = 0, 0
            total = limit((0 if clear else total) + a * b, bits, saturate)
            expected.append((len(steps) + MAC_LATENCY, total))
            steps.append((a, b, 1, clear))
    results = feed(dut, steps)
    for number, (got, want) in enumerate(zip(results, expected, strict=True)):
        assert got == want, f"product {number}: expected (cycle, sum) {want}, got {got}"


def drive_all_pairs(dut, rng, stalls):
    """Every pair of int6 operands, each product a sum of its own."""
    pairs = list(product(range(-32, 32), repeat=2))
    rng.shuffle(pairs)
    results = feed(dut, [(a, b, 1, 1) for a, b in pairs])
    for (a, b), (_, got) in zip(pairs, results, strict=True):
        assert got == approximate_product(a, b), f"{a} * {b}: expected {approximate_product(a, b)}, got {got}"


CASES = [
    BlockCase("mac_i8_r32", mac, ports, functools.partial(drive, saturate=False), stalls=("none", "source")),
    BlockCase(
        "mac_i8_r17_saturate",
        mac,
        functools.partial(ports, result_bits=17),
        functools.partial(drive, saturate=True),
        params={"saturate": True},
        stalls=("none", "source"),
    ),
]
APPROXIMATE = BlockCase(
    "mac_i6_r32_approximate",
    mac,
    functools.partial(ports, bits=6),
    drive_all_pairs,
    params={"approximate": True},
    stalls=("none",),
)
CASES.append(APPROXIMATE)
OTHER_SIZES = [
    BlockCase(
        "mac_i8_r16",
        mac,
        functools.partial(ports, result_bits=16),
        functools.partial(drive, saturate=False),
        stalls=("source",),
    )
]


@across(CASES)
def test_sums_are_exact(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


@across(OTHER_SIZES, engines=("myhdl",))
def test_sums_wrap(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


@pytest.mark.parametrize("engine", ENGINES)
def test_two_vectors_back_to_back(engine):
    with open_dut(mac, ports(), {}, engine) as dut:
        dut.reset()
        first = [(2, 1, 1, 1), (3, 2, 1, 0), (4, 3, 1, 0)]
        second = [(-5, 7, 1, 1), (6, -8, 1, 0), (9, 10, 1, 0)]
        sums = [total for _, total in feed(dut, first + second)]
        assert (sums[2], sums[5]) == (20, 7)


def test_bench_catches_wrapping_instead_of_saturation(seed):
    def wrap(value, bits, saturate):
        return limit(value, bits, saturate=False)

    case = CASES[1]
    with open_dut(mac, case.ports(), case.params) as dut, pytest.raises(AssertionError, match="product"):
        dut.reset()
        drive(dut, random.Random(seed), STALLS["none"], saturate=True, limit=wrap)


def test_the_error_of_the_approximate_multiplier():
    errors = [approximate_product(a, b) - a * b for a, b in product(range(-32, 32), repeat=2)]
    assert (min(errors), max(errors)) == (-MAX_ERROR, 4)
    assert sum(map(abs, errors)) == MEAN_ERROR * len(errors)
    assert sum(errors) == BIAS * len(errors)
    assert errors.count(0) == 1280
    assert all(approximate_product(a, 0) == approximate_product(0, a) == 0 for a in range(-32, 32))


def test_the_approximate_mac_takes_int6():
    with pytest.raises(ValueError, match="takes 6-bit operands, not 8 and 8"):
        mac(*ports().values(), approximate=True)


def test_mac_refuses_a_result_that_cannot_hold_a_product():
    with pytest.raises(ValueError, match="must hold a product of 16 bits"):
        mac(*ports(result_bits=15).values())
