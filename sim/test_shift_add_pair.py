"""The shift-add cell: every weight that has a code, extreme and random activations, against plain products."""

from accel.rtl.array.mac_pair import PAIR_OFFSET
from accel.rtl.array.shift_add_pair import SHIFT_ADD_LATENCY, shift_add_pair
from accel.rtl.array.shift_codes import CODES, decode_shift_add
from sim.cases.bench import BlockCase, across, run_case
from sim.cases.mac_model import pack
from sim.pipeline import flag, push, word

ALL_CODES = [code for code in range(256) if -128 <= int(decode_shift_add([code])[0]) <= 127]


def ports():
    return {"clk": flag(), "enable": flag(), "x": word(16), "w_low": word(16), "w_high": word(16), "sums": word(32)}


def drive(dut, rng, stalls):
    assert {int(decode_shift_add([code])[0]) for code in ALL_CODES} == set(CODES)
    operands, results = [], []
    lists = [rng.sample(ALL_CODES, len(ALL_CODES)) for _ in range(4)]
    for codes in zip(*lists, strict=True):
        x = [rng.choice((-128, 127, rng.randint(-128, 127))) for _ in range(2)]
        weights = decode_shift_add(codes).tolist()
        fields = [x[0] * weights[row] + x[1] * weights[row + 1] + PAIR_OFFSET for row in (0, 2)]
        operands.append({"x": pack(x), "w_low": pack(codes[:2]), "w_high": pack(codes[2:])})
        results.append({"sums": pack(fields, 16)})
    push(dut, rng, stalls, operands, results, latency=SHIFT_ADD_LATENCY)


CASES = [BlockCase("shift_add_pair", shift_add_pair, ports, drive, stalls=("none", "both"))]


@across(CASES)
def test_sums_are_exact(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
