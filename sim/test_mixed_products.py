"""All multipliers of a mixed build, the mode changing with every word: sums over pairs of lanes."""

import functools

from accel.config import HardwareConfig, bits_code
from accel.rtl.array.mac_array import packed_range, word_offset
from accel.rtl.array.mac_cell import MAC_CELL_LATENCY, NARROW_BITS, WIDE_BITS
from accel.rtl.array.mixed_products import mixed_products
from sim.cases.bench import BlockCase, across, run_case
from sim.cases.mac_model import dot, pack, random_byte
from sim.pipeline import flag, push, word


def ports(config):
    sums = config.rows * config.lanes // 2
    return {
        "clk": flag(),
        "enable": flag(),
        "mode": word(2),
        "x": word(config.word_bits),
        "w": word(config.weight_word_bits),
        "wide_sums": word(WIDE_BITS * sums),
        "narrow_sums": word(NARROW_BITS * sums),
    }


def drive(dut, rng, stalls, config, words):
    operands, results = [], []
    pairs = range(config.lanes // 2)
    for _ in range(words):
        bits, kind = rng.choice(config.modes), rng.choice(("extreme", "random"))
        x = [random_byte(rng, bits, kind=kind) for _ in range(config.lanes)]
        w = [[random_byte(rng, bits, packed_range(config, bits, row), kind) for _ in x] for row in range(config.rows)]
        offset = word_offset(config, bits) // len(pairs)
        sums = [dot(x[2 * i : 2 * i + 2], row[2 * i : 2 * i + 2], bits) + offset for row in w for i in pairs]
        operands.append({"mode": bits_code(bits), "x": pack(x), "w": pack(w)})
        zeros = [0] * len(sums)
        results.append(
            {
                "wide_sums": pack(sums if bits == 8 else zeros, WIDE_BITS),
                "narrow_sums": pack(zeros if bits == 8 else sums, NARROW_BITS),
            }
        )
    push(dut, rng, stalls, operands, results, latency=MAC_CELL_LATENCY)


def products_case(name, words=40, **options):
    config = HardwareConfig(**options)
    return BlockCase(
        name,
        mixed_products,
        functools.partial(ports, config),
        functools.partial(drive, config=config, words=words),
        params={"config": config},
        stalls=("both",),
        vhdl_skip=3 * MAC_CELL_LATENCY,
    )


CASES = [
    products_case("mixed_products_8x4", rows=8, lanes=4, precisions=(8, 4, 2, 1)),
    products_case("mixed_products_8x4_18x18", rows=8, lanes=4, precisions=(8, 4), multiplier="18x18"),
]


@across(CASES)
def test_sums_of_every_mode(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
