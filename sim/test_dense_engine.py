"""The dense engine: every address of random layers, in order, with stalls."""

from accel.config import HardwareConfig
from accel.rtl.dense_engine import dense_engine
from sim.bench import BlockCase, across, run_case
from sim.pipeline import flag, poke, reset, word

CONFIG = HardwareConfig(rows=4, lanes=4, act_depth=32, weight_depth=64)
OUTPUTS = ("act_address", "w_address", "m_first", "m_last", "m_tag")
START_LATENCY = 2


def ports():
    act, weight = CONFIG.act_addr_bits, CONFIG.weight_addr_bits
    return {
        "clk": flag(),
        "rst": reset(),
        "start": flag(),
        "enable": flag(),
        "act_address": word(act),
        "w_address": word(weight),
        "m_valid": flag(),
        "m_first": flag(),
        "m_last": flag(),
        "m_tag": word(2),
        "in_base": word(act),
        "weight_base": word(weight),
        "tiles_minus1": word(16),
        "kwords_minus1": word(16),
    }


def operands(in_base, weight_base, tiles, kwords):
    for tile in range(tiles):
        for k in range(kwords):
            yield (
                (in_base + k) % CONFIG.act_depth,
                (weight_base + tile * kwords + k) % CONFIG.weight_depth,
                k == 0,
                k == kwords - 1,
                3 * (tile == tiles - 1),
            )


def drive(dut, rng, stalls):
    held = stalls.sink_pauses(rng)
    layers = [(0, 0, 1, 1), (31, 63, 1, 5), (30, 60, 5, 1), (0, 0, 2, 40)]
    layers += [(rng.randrange(32), rng.randrange(64), rng.randint(1, 4), rng.randint(1, 9)) for _ in range(10)]
    for layer in layers:
        in_base, weight_base, tiles, kwords = layer
        poke(
            dut,
            start=1,
            enable=rng.getrandbits(1),
            in_base=in_base,
            weight_base=weight_base,
            tiles_minus1=tiles - 1,
            kwords_minus1=kwords - 1,
        )
        dut.step()
        poke(dut, start=0)
        expected, cycles, waited = list(operands(*layer)), 0, 0
        got = []
        while len(got) < len(expected) + 3:
            stalled = next(held)
            poke(dut, enable=not stalled)
            if not stalled:
                seen = tuple(dut.peek(name) for name in OUTPUTS)
                if dut.peek("m_valid"):
                    assert len(got) < len(expected), f"{layer}: operand {seen} behind the end"
                    assert seen == expected[len(got)], (
                        f"{layer}: operand {len(got)}: expected {expected[len(got)]}, got {seen}"
                    )
                    got.append(seen)
                elif len(got) == len(expected):
                    waited += 1
                    if waited == 3:
                        break
                cycles += 1
                assert cycles <= START_LATENCY - 1 + len(expected) + 3, f"{layer}: a gap, {len(got)} operands"
            dut.step()


CASES = [
    BlockCase(
        "dense_engine_4x4",
        dense_engine,
        ports,
        drive,
        params={"config": CONFIG},
        stalls=("none", "sink", "bursts"),
        vhdl_compare=dict.fromkeys(OUTPUTS, "m_valid"),
    )
]


@across(CASES)
def test_addresses(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
