"""The approximate cell: every product of an 8-bit activation and a 6-bit weight, in each of its four places."""

import numpy as np

from accel.fixedpoint import approximate_product
from accel.rtl.array.approximate_pair import APPROXIMATE_LATENCY, approximate_pair
from accel.rtl.array.mac_pair import PAIR_OFFSET
from sim.cases.bench import BlockCase, across, run_case
from sim.cases.mac_model import pack
from sim.pipeline import flag, push, word

ALL = [(x, w) for x in range(-128, 128) for w in range(-32, 32)]


def ports():
    return {"clk": flag(), "enable": flag(), "x": word(16), "w_low": word(16), "w_high": word(16), "sums": word(32)}


def drive(dut, rng, stalls, operands=ALL):
    """Each operand pair meets both rows of a lane; the other lane has another pair at random."""
    given, results = [], []
    for first, second in zip(rng.sample(operands, len(operands)), rng.sample(operands, len(operands)), strict=True):
        x = np.array([first[0], second[0]])
        rows = np.array([[first[1], rng.randint(-32, 31)], [rng.randint(-32, 31), second[1]]])
        fields = approximate_product(x, rows).sum(axis=1) + PAIR_OFFSET
        assert (fields >= 0).all() and (fields < 2**16).all()
        noise = rng.getrandbits(16) & 0xC0C0  # the upper bits of a weight's byte do not matter
        given.append({"x": pack(x), "w_low": pack(rows[0] & 63) | noise, "w_high": pack(rows[1] & 63)})
        results.append({"sums": pack(fields, 16)})
    push(dut, rng, stalls, given, results, latency=APPROXIMATE_LATENCY)


def drive_some(dut, rng, stalls):
    """For the slow engines: extreme activations and random ones with every weight."""
    drive(dut, rng, stalls, [(x, w) for w in range(-32, 32) for x in (-128, -1, 0, 7, 127, rng.randint(-128, 127))])


CASES = [BlockCase("approximate_pair", approximate_pair, ports, drive_some, stalls=("none", "both"))]
EVERY = [BlockCase("approximate_pair_all", approximate_pair, ports, drive, stalls=("none",))]


@across(CASES)
def test_sums_are_those_of_the_arithmetic(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


@across(EVERY, engines=("verilator",))
def test_every_operand_pair(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
