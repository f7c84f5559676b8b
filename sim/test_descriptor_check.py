"""The descriptor check: every limit from both sides, and random descriptors against the field table."""

from myhdl import Signal, intbv

from accel.config import HardwareConfig
from accel.descriptor import DESCRIPTOR_BITS, DESCRIPTOR_WORDS, FIELDS, MAGIC, NOT_ZERO, OP_CONV, OP_DENSE, WIDTH_FIELDS
from accel.rtl.control.descriptor_check import descriptor_check
from sim.cases.bench import BlockCase, across, run_case
from sim.pipeline import flag, poke, word

CONFIG = HardwareConfig(rows=4, lanes=4, weight_depth=256, act_depth=64, line_depth=64, param_depth=16, pool_depth=16)
LATENCY = 2


def ports():
    return {
        "clk": flag(),
        "descriptor": word(DESCRIPTOR_BITS),
        "bad": flag(),
        "word": Signal(intbv(0, min=0, max=DESCRIPTOR_WORDS)),
    }


def wrong_words(values):
    """Descriptor words that hold a value outside 0 .. limit, or a zero that is refused (magic has its own rule)."""
    wrong = set()
    for name, position in FIELDS.items():
        value, over = values[name], False
        if name == "magic":
            over = value != MAGIC
        elif name not in WIDTH_FIELDS:
            over = value > position.limit(CONFIG) or (name in NOT_ZERO and value == 0)
        if over:
            wrong.add(position.word)
    return wrong


def legal_values(rng):
    values = {}
    for name, position in FIELDS.items():
        limit = min(position.limit(CONFIG), 2**position.bits - 1)
        values[name] = rng.choice((int(name in NOT_ZERO), limit, rng.randint(min(1, limit), limit)))
    return {**values, "magic": MAGIC, "op": rng.choice((OP_CONV, OP_DENSE))}


def descriptors(rng):
    """Legal ones; each field one over its limit, and full; several wrong fields; garbage."""
    for _ in range(20):
        yield legal_values(rng)
    for name, position in FIELDS.items():
        for value in {position.limit(CONFIG) + 1, 2**position.bits - 1, 0}:
            if value < 2**position.bits:
                yield {**legal_values(rng), name: value}
    for _ in range(40):
        values = legal_values(rng)
        for name in rng.sample(sorted(FIELDS), rng.randint(2, 6)):
            values[name] = rng.getrandbits(FIELDS[name].bits)
        yield values


def drive(dut, rng, stalls):
    """A new descriptor in every cycle."""
    cases = list(descriptors(rng))
    verdicts = [wrong_words(values) for values in cases]
    assert {not verdict for verdict in verdicts} == {True, False}
    for cycle in range(len(cases) + LATENCY):
        if cycle < len(cases):
            poke(dut, descriptor=sum(value << FIELDS[name].base for name, value in cases[cycle].items()))
        if cycle >= LATENCY:
            wrong = verdicts[cycle - LATENCY]
            assert dut.peek("bad") == bool(wrong), f"descriptor {cycle - LATENCY}: wrong words {wrong}"
            if wrong:
                assert dut.peek("word") == min(wrong)
        dut.step()


CASES = [
    BlockCase(
        "descriptor_check_4x4",
        descriptor_check,
        ports,
        drive,
        params={"config": CONFIG},
        stalls=("none",),
        vhdl_skip=LATENCY,
    )
]


@across(CASES)
def test_limits(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
