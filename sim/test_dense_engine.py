"""The dense engine: every address of random layers, in order, with stalls."""

import functools

from accel.config import HardwareConfig
from accel.rtl.feed.dense_engine import dense_engine
from sim.cases.bench import BlockCase, across, run_case
from sim.pipeline import flag, poke, reset, word

CONFIGS = {
    "4x4": HardwareConfig(rows=4, lanes=4, act_depth=32, weight_depth=64),
    "4x8_mixed": HardwareConfig(rows=4, lanes=8, act_depth=32, weight_depth=32, precisions=(8, 4, 2, 1)),
}
OUTPUTS = ("act_address", "m_address", "m_first", "m_last", "m_tag")
MIXED_OUTPUTS = ("act_offset", "m_part", "m_tail")
START_LATENCY = 2


def ports(config):
    act, weight, mixed = config.act_addr_bits, config.weight_addr_bits, config.mixed
    return {
        "clk": flag(),
        "rst": reset(),
        "start": flag(),
        "enable": flag(),
        "act_address": word(act),
        "m_address": word(weight),
        "m_valid": flag(),
        "m_first": flag(),
        "m_last": flag(),
        "m_tag": word(2),
        "in_base": word(act),
        "weight_base": word(weight),
        "tiles_minus1": word(16),
        "kwords_minus1": word(16),
        "act_offset": word(config.lane_bits) if mixed else None,
        "m_part": word(config.unpack_bits) if mixed else None,
        "m_tail": flag() if mixed else None,
        "weight_shift": word(2) if mixed else None,
        "byte_step": word(config.lane_bits + 1) if mixed else None,
    }


def operands(config, in_base, weight_base, tiles, kwords, shift=0, step=None):
    step = step or config.lanes
    for tile in range(tiles):
        for k in range(kwords):
            weight = tile * kwords + k
            yield (
                (in_base + k * step // config.lanes) % config.act_depth,
                (weight_base + (weight >> shift)) % config.weight_depth,
                k == 0,
                k == kwords - 1,
                3 * (tile == tiles - 1),
                k * step % config.lanes,
                weight % (1 << config.unpack_bits),
                k == kwords - 1,
            )


def random_layers(rng, config):
    layers = [(0, 0, 1, 1), (31, 31, 1, 5), (30, 28, 5, 1), (0, 0, 2, 40)]
    layers += [(rng.randrange(32), rng.randrange(32), rng.randint(1, 4), rng.randint(1, 9)) for _ in range(10)]
    if config.mixed:
        layers += [(rng.randrange(32), rng.randrange(32), rng.randint(1, 4), rng.randint(1, 30)) for _ in range(10)]
        return [(*layer, rng.randint(0, 3), config.lanes >> rng.randint(0, 3)) for layer in layers]
    return layers


def drive(dut, rng, stalls, config):
    held, names = stalls.sink_pauses(rng), OUTPUTS + MIXED_OUTPUTS * config.mixed
    for layer in random_layers(rng, config):
        in_base, weight_base, tiles, kwords, *widths = layer
        poke(dut, **dict(zip(("weight_shift", "byte_step"), widths, strict=False)))
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
        expected, cycles, waited = [operand[: len(names)] for operand in operands(config, *layer)], 0, 0
        got = []
        while len(got) < len(expected) + 3:
            stalled = next(held)
            poke(dut, enable=not stalled)
            if not stalled:
                seen = tuple(dut.peek(name) for name in names)
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
        f"dense_engine_{name}",
        dense_engine,
        functools.partial(ports, config),
        functools.partial(drive, config=config),
        params={"config": config},
        stalls=("none", "sink", "bursts"),
        vhdl_compare=dict.fromkeys(OUTPUTS + MIXED_OUTPUTS * config.mixed, "m_valid"),
    )
    for name, config in CONFIGS.items()
]


@across(CASES)
def test_addresses(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
