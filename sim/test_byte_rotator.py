"""The byte rotator behind a register: every amount, with bytes that all differ and with random words."""

import functools

from myhdl import Signal, always, intbv

from accel.rtl.parts.byte_rotator import byte_rotator
from accel.rtl.parts.module import module
from sim.cases.bench import BlockCase, across, run_case
from sim.pipeline import flag, poke, word


@module
def registered_rotator(clk, word, amount, result):
    """A byte_rotator whose output is sampled by a register: the bench wants a clock."""
    rotated = Signal(intbv(0)[len(word) :])
    rotator = byte_rotator(word, amount, rotated)

    @always(clk.posedge)
    def sample():
        result.next = rotated

    return rotator, sample


def ports(lanes):
    return {"clk": flag(), "word": word(8 * lanes), "amount": word((lanes - 1).bit_length()), "result": word(8 * lanes)}


def drive(dut, rng, stalls):
    lanes = dut.ports["word"].bits // 8
    for round_ in range(12):
        data = bytes(range(16, 16 + lanes)) if round_ == 0 else rng.randbytes(lanes)
        for amount in range(lanes):
            poke(dut, word=int.from_bytes(data, "little"), amount=amount)
            dut.step()
            expected = data[amount:] + data[:amount]
            got = dut.peek("result").to_bytes(lanes, "little")
            assert got == expected, f"{data.hex()} by {amount}: expected {expected.hex()}, got {got.hex()}"


CASES = [
    BlockCase(f"byte_rotator_l{lanes}", registered_rotator, functools.partial(ports, lanes), drive, stalls=("none",))
    for lanes in (4, 16)
]


@across(CASES)
def test_every_amount(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
