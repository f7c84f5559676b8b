"""The watchdog: random layers against a count of the cycles in which they work; the register."""

from accel.descriptor import REG_CONTROL, REG_CYCLE_LIMIT
from accel.rtl.control.watchdog import watchdog
from sim.cases.bench import BlockCase, across, run_case
from sim.pipeline import flag, poke, reset, word

INITIAL = 9


def ports():
    inputs = ("start", "running", "issuing", "waiting", "launch_ok")
    return {
        "clk": flag(),
        "rst": reset(),
        "reg_we": flag(),
        "reg_address": word(20),
        "reg_wdata": word(32),
        **{name: flag() for name in inputs},
        "cycle_limit": word(32),
        "expired": flag(),
    }


def write(dut, address, value):
    poke(dut, reg_we=1, reg_address=address, reg_wdata=value)
    dut.step()
    poke(dut, reg_we=0)


def choose(rng):
    return rng.choice((0, 1, rng.randint(1, 20), rng.randint(1, 20), 2**32 - 1))


def run_layer(dut, rng, limit, cycles, following):
    """A layer of so many cycles: expired comes two cycles behind the cycle that is too many, and stays.

    following: a limit that is written in the middle, for the layers behind this one, or None.
    """
    worked, late = 0, [False, False]
    for cycle in range(cycles):
        if following is not None:
            poke(dut, reg_we=cycle == cycles // 2, reg_address=REG_CYCLE_LIMIT, reg_wdata=following)
        start = cycle == 0
        issuing, waiting, launch_ok = rng.getrandbits(1), rng.getrandbits(1), rng.getrandbits(1)
        poke(dut, start=start, running=1, issuing=issuing, waiting=waiting, launch_ok=launch_ok)
        assert dut.peek("expired") == late[0], f"cycle {cycle}, {worked} of {limit}"
        worked += bool(not start and (issuing or (launch_ok and not waiting)))
        late = [late[1], bool(limit) and worked > limit]
        dut.step()
    poke(dut, reg_we=0, start=0, running=0, issuing=rng.getrandbits(1))
    dut.step(rng.randint(1, 4))
    assert not dut.peek("expired")
    return worked > limit > 0


def drive(dut, rng, stalls):
    limit, ends = INITIAL, set()
    for number in range(40):
        if number % 3 == 2:
            limit = choose(rng)
            write(dut, REG_CYCLE_LIMIT, limit)
            write(dut, REG_CONTROL, rng.getrandbits(32))
        assert dut.peek("cycle_limit") == limit
        following = choose(rng) if number % 3 == 1 else None
        ends.add(run_layer(dut, rng, limit, rng.randint(2, 60), following))
        limit = limit if following is None else following
    assert ends == {True, False}
    dut.reset()
    assert dut.peek("cycle_limit") == INITIAL


CASES = [BlockCase("watchdog", watchdog, ports, drive, params={"initial": INITIAL}, stalls=("none",))]


@across(CASES)
def test_layers(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
