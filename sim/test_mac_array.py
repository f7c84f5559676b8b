"""The MAC array and one of its rows: random tiles with gaps between words, against dot products."""

import dataclasses
import functools

import numpy as np
import pytest

from accel.config import SHIFT_ADD, HardwareConfig, bits_code
from accel.rtl.array.mac_array import mac_array, mac_array_latency, packed_range, row_accumulator, word_offset
from accel.rtl.array.mac_pair import FIELD_BITS, PAIR_OFFSET
from accel.rtl.array.shift_codes import CODES, encode_shift_add
from sim.bus import STALLS
from sim.cases.bench import BlockCase, across, run_case
from sim.cases.mac_model import dot, pack, random_byte
from sim.pipeline import flag, push, reset, word

PACKED_4X4 = HardwareConfig(rows=4, lanes=4)
MIXED_8X4 = HardwareConfig(rows=8, lanes=4, precisions=(8, 4, 2, 1))
MIXED_4X8 = HardwareConfig(rows=4, lanes=8, precisions=(8, 4, 2, 1), multiplier="18x18", acc_bits=16)
SHIFT_ADD_4X4 = HardwareConfig(rows=4, lanes=4, multiplier=SHIFT_ADD)
SINGLE_8X8 = HardwareConfig(rows=8, lanes=8, acc_bits=16, multiplier="18x18")


def row_ports(terms, acc_bits):
    return {
        "clk": flag(),
        "enable": flag(),
        "fields": word(FIELD_BITS * terms),
        "narrow": None,
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
        "mode": word(2) if config.mixed else None,
        "x": word(config.word_bits),
        "w": word(config.weight_word_bits),
        "s_valid": flag(),
        "s_first": flag(),
        "s_last": flag(),
        "s_tag": word(2),
        "result_data": word(config.result_bits),
        "result_valid": flag(),
        "result_tag": word(2),
        "result_coming": flag(),
    }


def random_word(rng, config, bits, kind):
    """(x, w): bytes of the lanes and of each row's lanes; the extremes in all places, by rows, mixed, or random."""
    limits = [packed_range(config, bits, row) for row in range(config.rows)]
    if config.multiplier == SHIFT_ADD:
        x = [random_byte(rng, bits, kind="extreme" if kind == "extreme" else "random") for _ in range(config.lanes)]
        return x, [[rng.choice(list(CODES)) for _ in x] for _ in limits]
    if kind in ("extreme", "random"):
        x = [random_byte(rng, bits, kind=kind) for _ in range(config.lanes)]
        return x, [[random_byte(rng, bits, limit, kind) for _ in x] for limit in limits]
    copies = pack([1] * (8 // bits), bits)
    low, high = [value % 2**bits * copies for value in (limits[3] if bits > 1 else (0, 1))]
    least = 2 ** (bits - 1) * copies if bits > 1 else 0
    rows = {
        "lowest": [low] * config.rows,
        "opposite": [high] * config.rows,
        "rows": [rng.choice((low, high)) for _ in limits],
    }[kind]
    return [least] * config.lanes, [[byte] * config.lanes for byte in rows]


def pack_results(sums, config):
    return pack(sums, config.acc_bits)


def gap(rng, config):
    """A cycle with garbage and without s_valid."""
    return {
        **({"mode": rng.getrandbits(2)} if config.mixed else {}),
        "x": rng.getrandbits(config.word_bits),
        "w": rng.getrandbits(config.weight_word_bits),
        "s_valid": 0,
        "s_first": rng.getrandbits(1),
        "s_last": rng.getrandbits(1),
        "s_tag": 3,
    }


def drive_array(dut, rng, stalls, config, tiles):
    """Tiles of 1 to 5 words, each in another mode; gaps between words. The long last tile wraps 16-bit accumulators."""
    operands, results = [], []
    lengths = [1, 1, 2] + [rng.randint(1, 5) for _ in range(tiles)] + [20]
    for number, length in enumerate(lengths):
        sums, tag = np.zeros(config.rows, int), rng.getrandbits(2)
        kind = rng.choice(("lowest", "opposite", "rows", "extreme", "random", "random"))
        bits = config.modes[number % len(config.modes)]
        for at in range(length):
            while rng.random() < stalls.source / 2:
                operands.append(gap(rng, config))
                results.append({"result_valid": 0})
            x, w = random_word(rng, config, bits, kind)
            sums = sums + [dot(x, [weight & 0xFF for weight in row], bits) + word_offset(config, bits) for row in w]
            last = at == length - 1
            operands.append(
                {
                    **({"mode": bits_code(bits)} if config.mixed else {}),
                    "x": pack(x),
                    "w": pack([encode_shift_add(row) for row in w] if config.multiplier == SHIFT_ADD else w),
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


def array_case(name, config, tiles, **options):
    return BlockCase(
        name,
        mac_array,
        functools.partial(array_ports, config),
        functools.partial(drive_array, config=config, tiles=tiles),
        params={"config": config},
        vhdl_compare={"result_data": "result_valid", "result_tag": "result_valid"},
        **options,
    )


CASES = [
    row_case(32, 32, 1, ("none",)),
    row_case(2, 16, 3, ("none", "both")),
    array_case("mac_array_4x4", PACKED_4X4, 24),
    array_case("mac_array_8x8_18x18_a16", SINGLE_8X8, 10),
    array_case("mac_array_4x4_shift_add", SHIFT_ADD_4X4, 24),
    array_case("mac_array_8x4_mixed", MIXED_8X4, 20, stalls=("none", "both")),
    array_case("mac_array_4x8_mixed_18x18_a16", MIXED_4X8, 12, stalls=("none", "both")),
]


@across(CASES)
def test_sums_are_exact(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


def test_offsets():
    assert word_offset(PACKED_4X4) == 2 * PAIR_OFFSET
    assert [word_offset(MIXED_8X4, bits) for bits in (8, 4, 2, 1)] == [2 * PAIR_OFFSET, 8 * 56, 16 * 2, 16 * 2]


def test_only_the_top_int4_row_of_a_25_bit_multiplier_is_narrower_than_its_storage():
    wide = dataclasses.replace(MIXED_8X4, multiplier="27x18")
    assert [packed_range(MIXED_8X4, 4, row)[0] for row in range(8)] == [-8, -8, -8, -7] * 2
    for config, bits in ((wide, 4), (MIXED_4X8, 4), (MIXED_8X4, 8), (MIXED_8X4, 2)):
        assert {packed_range(config, bits, row) for row in range(config.rows)} == {
            (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        }


def check_modes(precisions, multiplier, seed):
    config = HardwareConfig(rows=8, lanes=4, precisions=precisions, multiplier=multiplier)
    case = array_case(f"mac_array_{'_'.join(map(str, precisions))}_{multiplier}", config, 24)
    run_case(case, STALLS["both"], "verilator", seed)


MODES = ((8, 4), (8, 2), (8, 1), (8, 4, 2), (8, 4, 1), (8, 2, 1))
MULTIPLIERS = ("25x18", "27x18", "18x18")
# Every choice of modes, and each multiplier with modes of two and of three widths; the others take a minute.
SOME = [(modes, MULTIPLIERS[number % 3]) for number, modes in enumerate(MODES)]


@pytest.mark.parametrize(("precisions", "multiplier"), SOME)
def test_every_choice_of_modes_is_exact(precisions, multiplier, seed):
    check_modes(precisions, multiplier, seed)


@pytest.mark.long
@pytest.mark.parametrize("precisions", MODES)
@pytest.mark.parametrize("multiplier", MULTIPLIERS)
def test_every_choice_of_modes_is_exact_with_every_multiplier(precisions, multiplier, seed):
    check_modes(precisions, multiplier, seed)
