"""The decoded mode: every mode of every build, enabled or not."""

import functools

from myhdl import Signal, always, intbv

from accel.config import bits_code
from accel.rtl.array.mode_flags import (
    BINARY,
    COARSE,
    CRUMBS,
    FLAGS,
    FOUR,
    TO_COARSE,
    TO_CRUMBS,
    TO_FOUR,
    TO_NARROW,
    TO_OTHERS,
    TO_WIDE,
    WIDE,
    mode_flags,
)
from accel.rtl.parts.module import module
from sim.cases.bench import BlockCase, across, run_case
from sim.pipeline import flag, poke, word


@module
def registered_flags(clk, enable, mode, flags, *, modes):
    """mode_flags whose output is sampled by a register: the bench wants a clock."""
    decoded = Signal(intbv(0)[FLAGS:])
    decoder = mode_flags(enable, mode, decoded, modes=modes)

    @always(clk.posedge)
    def sample():
        flags.next = decoded

    return decoder, sample


def ports():
    return {"clk": flag(), "enable": flag(), "mode": word(2), "flags": word(FLAGS)}


def drive(dut, rng, stalls, modes):
    for _ in range(60):
        bits, enable = rng.choice(modes), rng.getrandbits(1)
        poke(dut, enable=enable, mode=bits_code(bits))
        dut.step()
        eight, four = bits == 8, bits == 4
        expected = {WIDE: eight, FOUR: four, COARSE: bits >= 4, CRUMBS: bits < 4}
        expected |= (
            {
                TO_WIDE: eight,
                TO_FOUR: four,
                TO_NARROW: not eight,
                TO_OTHERS: not four,
                TO_COARSE: bits >= 4,
                TO_CRUMBS: bits < 4,
            }
            if enable
            else dict.fromkeys(range(TO_WIDE, FLAGS), False)
        )
        if bits < 4:
            expected[BINARY] = bits == 1
        got = dut.peek("flags")
        assert {at: bool(got >> at & 1) for at in expected} == expected, f"{bits} bits, enable {enable}: {got:#x}"


CASES = [
    BlockCase(
        f"mode_flags_{'_'.join(map(str, modes))}",
        registered_flags,
        ports,
        functools.partial(drive, modes=modes),
        params={"modes": modes},
        stalls=("none",),
    )
    for modes in ((8, 4, 2, 1), (8, 4), (8, 1))
]


@across(CASES)
def test_every_mode(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
