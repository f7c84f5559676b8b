"""One requantizer lane against accel.fixedpoint, and against plain big integers for shifts that no rule combines."""

import functools
import random

import numpy as np
import pytest
from myhdl import Signal, intbv

from accel import fixedpoint
from accel.names import RULES
from accel.rtl.output.requantize_lane import MULTIPLIER_BITS, REQUANTIZE_LANE_LATENCY, SHIFTS_BITS, requantize_lane
from accel.rtl.output.shift_multiplier import khot_word
from sim.cases.bench import BlockCase, across, run_case
from sim.engines import open_dut

EDGE_MULTIPLIERS = (0, 1, 2, 2**17 - 1, 2**17, 2**30 - 1, 2**30, 2**31 - 1)


def ports(k=0, sign=False):
    return {
        "clk": Signal(bool(0)),
        "a": Signal(intbv(0)[32:]),
        "scaling": Signal(intbv(0)[(6 * k or MULTIPLIER_BITS) + SHIFTS_BITS :]),
        "round_away": Signal(bool(0)),
        "zero_point": Signal(intbv(0)[8:]),
        "qmin": Signal(intbv(0)[8:]),
        "qmax": Signal(intbv(0)[8:]),
        "q": Signal(intbv(0)[8:]),
        "sign": Signal(bool(0)) if sign else None,
    }


def wrap(value, bits):
    return (value + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)


def expected_q(a, m, shift1, shift2, away, zero_point, qmin, qmax):
    """The two shifts in unbounded integers: p / 2^shift1 half up or half away, int32, then / 2^shift2 half away."""

    def half_away(value, shift):
        magnitude = (2 * abs(value) + 2**shift) // 2 ** (shift + 1)
        return -magnitude if value < 0 else magnitude

    product = a * m
    first = half_away(product, shift1) if away else (2 * product + 2**shift1) // 2 ** (shift1 + 1)
    first = min(max(first, -(2**31)), 2**31 - 1)
    return min(max(half_away(first, shift2) + zero_point, qmin), qmax)


def any_case(rng):
    """Everything mixed, the first or the second shift mostly such that the result fits int8."""
    m = rng.choice((rng.choice(EDGE_MULTIPLIERS), rng.getrandbits(31), rng.getrandbits(31) | 2**30))
    a = wrap(
        rng.choice(
            (
                rng.choice((0, 1, -1, 2**31 - 1, -(2**31), 2**17, -(2**17), -(2**17) - 1)),
                rng.getrandbits(32),
                rng.getrandbits(rng.randint(1, 32)),
                -rng.getrandbits(rng.randint(1, 32)),
            )
        ),
        32,
    )
    size = max(1, abs(a * m)).bit_length()
    shifts = rng.choice(
        (
            (min(62, max(0, size - rng.randint(5, 9))), 0),
            (rng.randint(0, 62), 0),
            (31, rng.randint(0, 31)),
            (31, min(31, max(0, size - 31 - rng.randint(5, 9)))),
            (rng.randint(0, 62), rng.randint(0, 31)),
        )
    )
    return a, m, *shifts


def tie_case(rng):
    """Exactly on a tie of the one or of both shifts."""
    m = rng.choice((1, 2, 2**30))
    shift1, shift2 = rng.randint(1, 16) + m.bit_length(), rng.choice((0, 0, rng.randint(1, 8)))
    odd = 2 * rng.randint(-300, 300) + 1
    return wrap((odd << shift1 - 1 + shift2) // m, 32), m, shift1, shift2


def near_tie_case(rng):
    """Within two steps of a tie of the second shift, in front of it any fraction for the first."""
    spread, shift2 = rng.randint(0, 4), rng.randint(1, 5)
    t = (2 * rng.randint(-130, 130) + 1 << shift2 - 1) + rng.randint(-2, 2)
    return (t << spread) + rng.getrandbits(spread), 2**30, 30 + spread, shift2


def small_case(rng):
    """Products of a few bits and no or short shifts."""
    return rng.randint(-20, 20), rng.randint(0, 9), rng.choice((0, 0, 1, 2)), rng.choice((0, 0, 1, 2))


def saturating_case(rng):
    """The first result lies around the ends of int32 or just beyond, the second shift is long."""
    shift1 = rng.randint(1, 27)
    m = rng.randint(2**shift1, 2 ** (shift1 + rng.choice((1, 1, 4))) - 1)
    end = 2**31 - rng.choice((0, 1)) << shift1
    a = min(end // m + rng.randint(-1, 2), 2**31 - 1) if rng.getrandbits(1) else rng.getrandbits(31)
    return rng.choice((a, -a)), m, shift1, rng.choice((rng.randint(0, 31), rng.randint(22, 31)))


def sparse_case(rng):
    """A product with one high bit that differs from its sign: each bit of the overflow checks matters alone."""
    a = rng.choice((-1, 1)) * (1 << rng.randint(8, 30)) + rng.randint(-1, 1)
    return a, 1 << rng.randint(0, 30), rng.choice((0, 0, rng.randint(0, 62))), rng.choice((0, 0, rng.randint(0, 31)))


def random_case(rng, k):
    """(a, multiplier, shift1, shift2); with k at most k one bits in the multiplier, the highest of them."""
    a, m, *shifts = rng.choice((any_case, tie_case, near_tie_case, small_case, saturating_case, sparse_case))(rng)
    while k and m.bit_count() > k:
        m &= m - 1
    return a, m, *shifts


def drive(dut, rng, stalls, expect=expected_q, count=400, k=0):
    """One value a cycle; layer settings change between batches, as they do between layers."""
    shift1_at, signs = 6 * k or MULTIPLIER_BITS, "sign" in dut.ports
    dut.step()
    for batch in range(8):
        away, zero_point, qmin, qmax = batch & 1, rng.randint(-40, 40), -128, 127
        if batch >= 4:
            zero_point = rng.choice((-128, 127, rng.randint(-128, 127)))
            qmin, qmax = rng.choice(((zero_point, 127), tuple(sorted((rng.randint(-128, 127), 99)))))
        for name, value in (("round_away", away), ("zero_point", zero_point), ("qmin", qmin), ("qmax", qmax)):
            dut.poke(name, value & 0xFF)
        sign = signs and batch % 3 == 2
        if signs:
            dut.poke("sign", sign)
        cases = [random_case(rng, k) for _ in range(count)]
        for cycle in range(len(cases) + REQUANTIZE_LANE_LATENCY):
            if cycle < len(cases):
                a, m, shift1, shift2 = cases[cycle]
                dut.poke("a", a & (2**32 - 1))
                word = khot_word(m, k) if k and not sign else m & (1 << shift1_at) - 1
                dut.poke("scaling", word | shift1 << shift1_at | shift2 << shift1_at + 6)
            if cycle >= REQUANTIZE_LANE_LATENCY:
                a, m, shift1, shift2 = cases[cycle - REQUANTIZE_LANE_LATENCY]
                want, got = expect(a, m, shift1, shift2, away, zero_point, qmin, qmax), wrap(dut.peek("q"), 8)
                if sign:
                    want = 1 if (a >= 0) != m % 2 else -1
                assert got == want, (
                    f"a={a} m={m} shift1={shift1} shift2={shift2} away={away} zero_point={zero_point} "
                    f"qmin={qmin} qmax={qmax}: expected {want}, got {got}"
                )
            dut.step()


CASES = [
    BlockCase("requantize_lane", requantize_lane, ports, drive, stalls=("none",)),
    BlockCase("requantize_lane_sign", requantize_lane, functools.partial(ports, sign=True), drive, stalls=("none",)),
]
CASES += [
    BlockCase(
        f"requantize_lane_k{k}",
        requantize_lane,
        functools.partial(ports, k, sign=k == 2),
        functools.partial(drive, k=k, count=200),
        stalls=("none",),
    )
    for k in (1, 2, 3)
]


@across(CASES)
def test_lane_is_exact(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


@pytest.mark.parametrize("rule", RULES)
def test_lane_encoding_of_the_rules_is_fixedpoint(rule, seed):
    """(shift1, shift2, away) of a rule, through expected_q, equals accel.fixedpoint.requantize."""
    rng = random.Random(f"{seed}/{rule}")
    low, high = fixedpoint.SHIFT_RANGE[rule]
    for _ in range(4000):
        shift = rng.randint(low, high)
        bits = 31 - max(shift, 0) if rule == "gemmlowp" else 31
        a, m = rng.randint(-(2**bits), 2**bits - 1), rng.choice((*EDGE_MULTIPLIERS, rng.getrandbits(31)))
        zero_point = rng.randint(-128, 127)
        if rule == "gemmlowp":
            shift1, shift2 = (31 - shift, 0) if shift >= 0 else (31, -shift)
        else:
            shift1, shift2 = shift, 0
        want = fixedpoint.requantize(
            np.array([a]), np.array([m]), np.array([shift]), rule=rule, zero_point=zero_point, qmin=-128, qmax=127
        )
        assert expected_q(a, m, shift1, shift2, rule == "half_away", zero_point, -128, 127) == want[0]


def test_bench_catches_half_up_instead_of_half_away(seed):
    def half_up(a, m, shift1, shift2, away, *settings):
        return expected_q(a, m, shift1, shift2, 0, *settings)

    with open_dut(requantize_lane, ports()) as dut, pytest.raises(AssertionError, match="away=1"):
        drive(dut, random.Random(f"{seed}/away"), None, expect=half_up)
