"""The weight bank: host parts land in their row, reads hold, first contents from images."""

import functools
import random
from pathlib import Path

import pytest

from accel.config import HardwareConfig
from accel.rtl.array.weight_bank import weight_bank
from sim.cases.bench import BlockCase, across, run_case
from sim.engines import ENGINES, open_dut
from sim.pipeline import flag, poke, word

CONFIGS = {
    "4x4": HardwareConfig(rows=4, lanes=4, weight_depth=16),
    "8x8": HardwareConfig(rows=8, lanes=8, weight_depth=16),
    "4x4_int6": HardwareConfig(rows=4, lanes=4, weight_depth=16, precisions=(8, 6)),
    "4x16_int6": HardwareConfig(rows=4, lanes=16, weight_depth=16, precisions=(8, 6)),
}
WRITE_LATENCY = 2


def ports(config):
    parts = config.lanes // 4
    return {
        "clk": flag(),
        "s_we": flag(),
        "s_waddr": word(config.weight_addr_bits),
        "s_wrow": word((config.rows - 1).bit_length()),
        "s_wpart": word((parts - 1).bit_length()) if parts > 1 else None,
        "s_wdata": word(64 if 6 in config.precisions else 32),
        "enable": flag(),
        "raddr": word(config.weight_addr_bits),
        "weights": word(config.weight_word_bits),
        "s_pair": flag() if 6 in config.precisions else None,
    }


def drive(dut, rng, stalls, config):
    """Fill everything, then random writes while random reads go on; the word just written is read as soon as it may."""
    parts, depth, pairs = config.lanes // 4, config.weight_depth, 6 in config.precisions
    contents = [0] * depth
    places = [(at, row, part) for at in range(depth) for row in range(config.rows) for part in range(parts)]
    rng.shuffle(places)
    pending, held = [None] * (WRITE_LATENCY - 1), stalls.sink_pauses(rng)
    expected = None
    for cycle in range(len(places) + 150):
        at, row, part = places[cycle] if cycle < len(places) else rng.choice(places)
        write = cycle < len(places) or rng.random() < 0.5
        data, number = rng.getrandbits(32), row * parts + part
        second = rng.getrandbits(32) if pairs and number % 2 == 0 and rng.getrandbits(1) else data
        pair = second != data
        read, stalled = rng.choice((at, pending[0][0] if pending[0] else at, rng.randrange(depth))), next(held)
        poke(dut, s_we=write, s_waddr=at, s_wrow=row, s_wdata=data, raddr=read, enable=not stalled)
        if parts > 1:
            poke(dut, s_wpart=part)
        if pairs:
            poke(dut, s_wdata=second << 32 | data, s_pair=pair)
        if expected is not None:
            assert dut.peek("weights") == expected, f"cycle {cycle}: expected {expected:x}, got {dut.peek('weights'):x}"
        dut.step()
        if not stalled:
            expected = contents[read]
        written = (second << 32 | data, 64) if pair else (data, 32)
        pending.append((at, 32 * number, *written) if write else None)
        done = pending.pop(0)
        if done:
            address, low, value, bits = done
            contents[address] = contents[address] & ~((1 << bits) - 1 << low) | value << low


CASES = [
    BlockCase(
        f"weight_bank_{name}",
        weight_bank,
        functools.partial(ports, config),
        functools.partial(drive, config=config),
        params={"config": config},
        stalls=("none", "both"),
    )
    for name, config in CONFIGS.items()
]


@across(CASES)
def test_parts_land_in_their_row(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


@pytest.mark.parametrize("engine", ENGINES)
def test_images_are_the_first_contents(engine, seed, tmp_path):
    config, rng = CONFIGS["8x8"], random.Random(seed)
    rows = [[rng.getrandbits(config.word_bits) for _ in range(config.weight_depth)] for _ in range(config.rows)]
    images = tuple(str(tmp_path / f"weights_row{row}.hex") for row in range(config.rows))
    for image, words in zip(images, rows, strict=True):
        Path(image).write_text("".join(f"{value:016x}\n" for value in words))
    with open_dut(
        weight_bank, ports(config), {"config": config, "presets": images}, engine, memory_dir=tmp_path
    ) as dut:
        poke(dut, enable=1)
        for at in range(config.weight_depth):
            poke(dut, raddr=at)
            dut.step()
            assert dut.peek("weights") == sum(words[at] << config.word_bits * row for row, words in enumerate(rows))
