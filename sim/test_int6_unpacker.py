"""The int6 unpacker: packed groups and whole words in any mix, back to back and with pauses."""

import functools

from accel.config import HardwareConfig
from accel.fixedpoint import pack
from accel.rtl.array.int6_unpacker import GROUP_WORDS, int6_unpacker
from sim.cases.bench import BlockCase, across, run_case
from sim.pipeline import flag, poke, word

CONFIGS = {
    f"4x{lanes}": HardwareConfig(rows=4, lanes=lanes, weight_depth=16, precisions=(8, 6)) for lanes in (4, 8, 16)
}


def ports(config):
    part_bits = (config.lanes // 4 - 1).bit_length()

    def address(side):
        part = word(part_bits) if part_bits else None
        return {f"{side}_waddr": word(config.weight_addr_bits), f"{side}_wrow": word(2), f"{side}_wpart": part}

    return {
        "clk": flag(),
        "s_we": flag(),
        "s_packed_we": flag(),
        **address("s"),
        "s_wdata": word(32),
        "m_we": flag(),
        "m_pair": flag(),
        **address("m"),
        "m_wdata": word(64),
    }


def group_writes(rng, group):
    """The host words of 16 random weights and the bank words that must come of them: (place, data, written words)."""
    weights = [rng.choice((-32, 31, rng.randint(-32, 31))) for _ in range(16)]
    data = bytes(pack(weights, 6))
    host = [int.from_bytes(data[at : at + 4], "little") for at in range(0, 12, 4)]
    bank = [sum((weights[4 * i + j] & 0xFF) << 8 * j for j in range(4)) for i in range(4)]
    return [(4 * group, host[0], bank[:1]), (4 * group + 1, host[1], bank[1:2]), (4 * group + 2, host[2], bank[2:])]


def drive(dut, rng, stalls, config):
    parts, paused = config.lanes // 4, stalls.source_pauses(rng)
    words = config.weight_depth * config.rows * parts
    writes = []
    while len(writes) < 300:
        if rng.random() < 0.7:
            writes += [("s_packed_we", *write) for write in group_writes(rng, rng.randrange(words // 4))]
        elif rng.random() < 0.9:
            data = rng.getrandbits(32)
            writes.append(("s_we", rng.randrange(words), data, [data]))
        else:
            writes.append(("s_packed_we", 4 * rng.randrange(words // 4) + GROUP_WORDS, rng.getrandbits(32), []))
    expected, at = None, 0
    while at < len(writes) or expected:
        idle = next(paused) or at == len(writes)
        enable, number, data, bank = writes[at] if not idle else ("", rng.randrange(words), rng.getrandbits(32), [])
        poke(dut, s_we=enable == "s_we", s_packed_we=enable == "s_packed_we", s_wdata=data)
        poke(dut, s_waddr=number // parts // config.rows, s_wrow=number // parts % config.rows)
        if parts > 1:
            poke(dut, s_wpart=number % parts)
        if expected is not None:
            check(dut, config, *expected)
        dut.step()
        expected = (number, bank) if bank else None
        assert dut.peek("m_we") == bool(bank)
        at += not idle


def check(dut, config, number, bank):
    parts = config.lanes // 4
    part = dut.peek("m_wpart") if parts > 1 else 0
    assert (dut.peek("m_waddr") * config.rows + dut.peek("m_wrow")) * parts + part == number
    assert dut.peek("m_pair") == len(bank) - 1
    assert dut.peek("m_wdata") == bank[0] | bank[-1] << 32


CASES = [
    BlockCase(
        f"int6_unpacker_{name}",
        int6_unpacker,
        functools.partial(ports, config),
        functools.partial(drive, config=config),
        params={"config": config},
        stalls=("none", "source"),
        vhdl_compare=dict.fromkeys(("m_pair", "m_waddr", "m_wrow", "m_wpart", "m_wdata"), "m_we"),
    )
    for name, config in CONFIGS.items()
]


@across(CASES)
def test_weights_reach_their_words(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
