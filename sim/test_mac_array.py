"""The MAC array and one of its rows: random tiles with gaps between words, against dot products."""

import functools

import numpy as np

from accel.config import HardwareConfig
from accel.rtl.mac_array import mac_array, mac_array_latency, row_accumulator, word_offset
from accel.rtl.mac_pair import FIELD_BITS, PAIR_OFFSET
from sim.bench import BlockCase, across, run_case
from sim.pipeline import flag, push, reset, word

PACKED_4X4 = HardwareConfig(rows=4, lanes=4)
SINGLE_8X8 = HardwareConfig(rows=8, lanes=8, acc_bits=16, multiplier="18x18")


def row_ports(terms, acc_bits):
    return {
        "clk": flag(),
        "enable": flag(),
        "fields": word(FIELD_BITS * terms),
        "valid": flag(),
        "first": flag(),
        "acc": word(acc_bits),
    }


def drive_row(dut, rng, stalls, terms, wraps):
    """Random sums with gaps, then one sum of the largest fields that passes 2^acc_bits `wraps` times."""
    acc_bits, levels = dut.ports["acc"].bits, (terms - 1).bit_length()
    full = 2 ** (FIELD_BITS * terms) - 1
    total = terms * (2**FIELD_BITS - 1)
    steps = [
        (rng.choice((full, rng.getrandbits(FIELD_BITS * terms))), rng.random() < 0.8, rng.random() < 0.3)
        for _ in range(60)
    ]
    steps[0] = (full, True, True)
    steps += [(full, True, i == 0) for i in range(wraps * 2**acc_bits // total + 3)]
    results, acc = [], 0
    for fields, valid, first in steps:
        if valid:
            parts = [fields >> FIELD_BITS * i & 0xFFFF for i in range(terms)]
            acc = ((0 if first else acc) + sum(parts)) % 2**acc_bits
        results.append({"acc": acc})
    # valid and first belong to the sum: they come `levels` enabled cycles behind the fields.
    data, control = [*steps, *[(0, False, False)] * levels], [*[(0, False, False)] * levels, *steps]
    operands = [
        {"fields": fields, "valid": valid, "first": first}
        for (fields, _, _), (_, valid, first) in zip(data, control, strict=True)
    ]
    push(dut, rng, stalls, operands, results, latency=levels + 1)


def array_ports(config):
    return {
        "clk": flag(),
        "rst": reset(),
        "enable": flag(),
        "mode": None,
        "x": word(config.word_bits),
        "w": word(config.weight_word_bits),
        "s_valid": flag(),
        "s_first": flag(),
        "s_last": flag(),
        "s_tag": word(2),
        "result_data": word(config.result_bits),
        "result_valid": flag(),
        "result_tag": word(2),
    }


def random_word(rng, config, kind):
    """(x, w) arrays: int8 extremes in all lanes, or random."""
    values = np.random.default_rng(rng.getrandbits(32))
    x = values.integers(-128, 128, config.lanes)
    w = values.integers(-128, 128, (config.rows, config.lanes))
    if kind == "lowest":
        x[:], w[:] = -128, -128
    elif kind == "opposite":
        x[:], w[:] = -128, 127
    elif kind == "rows":
        x[:], w[:] = rng.choice((-128, 127)), np.array([-128, 127] * (config.rows // 2))[:, None]
    return x, w


def pack_bytes(values):
    return sum((int(value) & 0xFF) << 8 * i for i, value in enumerate(np.ravel(values)))


def pack_results(sums, config):
    return sum((int(value) % 2**config.acc_bits) << config.acc_bits * i for i, value in enumerate(sums))


def gap(rng, config):
    """A cycle with garbage and without s_valid."""
    return {
        "x": rng.getrandbits(config.word_bits),
        "w": rng.getrandbits(config.weight_word_bits),
        "s_valid": 0,
        "s_first": rng.getrandbits(1),
        "s_last": rng.getrandbits(1),
        "s_tag": 3,
    }


def drive_array(dut, rng, stalls, config, tiles):
    """Tiles of 1 to 5 words; gaps between words. The long last tile wraps 16-bit accumulators."""
    assert word_offset(config) == config.lanes // 2 * PAIR_OFFSET
    operands, results = [], []
    lengths = [1, 1, 2] + [rng.randint(1, 5) for _ in range(tiles)] + [20]
    for length in lengths:
        sums, tag = np.zeros(config.rows, int), rng.getrandbits(2)
        kind = rng.choice(("lowest", "opposite", "rows", "random", "random"))
        for at in range(length):
            while rng.random() < stalls.source / 2:
                operands.append(gap(rng, config))
                results.append({"result_valid": 0})
            x, w = random_word(rng, config, kind)
            sums = sums + w @ x + word_offset(config)
            last = at == length - 1
            operands.append(
                {
                    "x": pack_bytes(x),
                    "w": pack_bytes(w),
                    "s_valid": 1,
                    "s_first": at == 0,
                    "s_last": last,
                    "s_tag": tag if last else rng.getrandbits(2),
                }
            )
            results.append(
                {"result_valid": 1, "result_data": pack_results(sums, config), "result_tag": tag}
                if last
                else {"result_valid": 0}
            )
    operands += [gap(rng, config) for _ in range(mac_array_latency(config) + 2)]
    push(dut, rng, stalls, operands, results, latency=mac_array_latency(config))


def row_case(terms, acc_bits, wraps, stalls):
    return BlockCase(
        f"row_accumulator_t{terms}_a{acc_bits}",
        row_accumulator,
        functools.partial(row_ports, terms, acc_bits),
        functools.partial(drive_row, terms=terms, wraps=wraps),
        params={"terms": terms, "acc_bits": acc_bits},
        stalls=stalls,
    )


def array_case(name, config, tiles):
    return BlockCase(
        name,
        mac_array,
        functools.partial(array_ports, config),
        functools.partial(drive_array, config=config, tiles=tiles),
        params={"config": config},
        vhdl_compare={"result_data": "result_valid", "result_tag": "result_valid"},
    )


CASES = [
    row_case(32, 32, 1, ("none",)),
    row_case(2, 16, 3, ("none", "both")),
    array_case("mac_array_4x4", PACKED_4X4, 24),
    array_case("mac_array_8x8_18x18_a16", SINGLE_8X8, 10),
]


@across(CASES)
def test_sums_are_exact(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
