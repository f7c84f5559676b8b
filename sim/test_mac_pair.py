"""The MAC cell: every combination of extreme operands and random ones, against plain products."""

from itertools import product

from accel.rtl.array.mac_pair import FIELD_BITS, MAC_PAIR_LATENCY, PAIR_OFFSET, mac_pair
from sim.cases.bench import BlockCase, across, run_case
from sim.pipeline import flag, push, word

EXTREMES = (-128, -1, 127)


def ports():
    return {"clk": flag(), "enable": flag(), "x": word(16), "w_low": word(16), "w_high": word(16), "sums": word(32)}


def expected_sums(x, low, high):
    fields = [x[0] * row[0] + x[1] * row[1] + PAIR_OFFSET for row in (low, high)]
    assert all(0 <= value < 2**FIELD_BITS for value in fields)
    return fields[0] | fields[1] << FIELD_BITS


def drive(dut, rng, stalls):
    lanes = list(product(EXTREMES, repeat=6))
    lanes += [tuple(rng.randint(-128, 127) for _ in range(6)) for _ in range(300)]
    rng.shuffle(lanes)
    operands, results = [], []
    for x0, x1, low0, low1, high0, high1 in lanes:
        pairs = {"x": (x0, x1), "w_low": (low0, low1), "w_high": (high0, high1)}
        operands.append({name: (a & 0xFF) | (b & 0xFF) << 8 for name, (a, b) in pairs.items()})
        results.append({"sums": expected_sums(*pairs.values())})
    push(dut, rng, stalls, operands, results, latency=MAC_PAIR_LATENCY)


CASES = [
    BlockCase("mac_pair_packed", mac_pair, ports, drive, params={"packed": True}, stalls=("none", "both")),
    BlockCase("mac_pair_single", mac_pair, ports, drive, params={"packed": False}, stalls=("none", "both")),
]


@across(CASES)
def test_sums_are_exact(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
