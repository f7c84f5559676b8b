"""The product of two mantissas against plain integers, extremes included."""

from myhdl import Signal, intbv

from accel.rtl.floats.mantissa_multiplier import MANTISSA_MULTIPLIER_LATENCY, mantissa_multiplier
from sim.cases.bench import BlockCase, across, run_case

EDGES = (0, 1, 2**17 - 1, 2**17, 2**23 - 1, 2**23, 2**24 - 1)


def ports():
    return {
        "clk": Signal(bool(0)),
        "a": Signal(intbv(0)[24:]),
        "b": Signal(intbv(0)[24:]),
        "high": Signal(intbv(0)[31:]),
        "sticky": Signal(bool(0)),
    }


def operand(rng):
    return rng.choice((rng.choice(EDGES), rng.getrandbits(24), rng.getrandbits(24) | 2**23, rng.getrandbits(12) << 12))


def drive(dut, rng, stalls, count=1000):
    pairs = [(a, b) for a in EDGES for b in EDGES] + [(operand(rng), operand(rng)) for _ in range(count)]
    for cycle in range(len(pairs) + MANTISSA_MULTIPLIER_LATENCY):
        a, b = pairs[min(cycle, len(pairs) - 1)]
        dut.poke("a", a)
        dut.poke("b", b)
        if cycle >= MANTISSA_MULTIPLIER_LATENCY:
            a, b = pairs[cycle - MANTISSA_MULTIPLIER_LATENCY]
            assert (dut.peek("high"), dut.peek("sticky")) == (a * b >> 17, a * b % 2**17 != 0), f"a={a:06x} b={b:06x}"
        dut.step()


CASES = [BlockCase("mantissa_multiplier", mantissa_multiplier, ports, drive, stalls=("none",), vhdl_skip=5)]


@across(CASES)
def test_product_is_exact(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
