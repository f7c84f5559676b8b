"""The frame check: every combination of a word's marks, at random."""

from accel.rtl.feed.frame_check import frame_check
from sim.cases.bench import BlockCase, across, run_case
from sim.pipeline import flag, poke, reset

INPUTS = ("s_valid", "s_ready", "s_last", "last_word")
OUTPUTS = ("accepted", "short_input", "long_input")


def ports(spoilt):
    names = {name: flag() for name in (*INPUTS, *OUTPUTS)}
    return {"clk": flag(), "rst": reset(), **names, "s_short": flag() if spoilt else None}


def drive(dut, rng, stalls):
    seen = set()
    for _ in range(200):
        values = {name: rng.getrandbits(1) for name in dut.ports if name in (*INPUTS, "s_short")}
        poke(dut, **values)
        dut.step()
        taken, last, end = values["s_valid"] and values["s_ready"], values["s_last"], values["last_word"]
        right = taken and last and end and not values.get("s_short")
        wanted = (right, taken and last and not right, taken and end and not last)
        assert tuple(dut.peek(name) for name in OUTPUTS) == wanted, values
        seen.add(tuple(map(bool, wanted)))
    assert len(seen) == 4


CASES = [
    BlockCase(f"frame_check{name}", frame_check, lambda spoilt=spoilt: ports(spoilt), drive, stalls=("none",))
    for name, spoilt in (("", False), ("_floats", True))
]


@across(CASES)
def test_marks(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
