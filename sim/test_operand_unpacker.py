"""The operand unpacker: every byte at every place in every combination of widths, and the tail of kernel rows."""

import functools

from accel.config import HardwareConfig, bits_code
from accel.rtl.array.operand_unpacker import operand_unpacker
from accel.rtl.array.weight_unpacker import UNPACK_LATENCY
from accel.rtl.control.precision_controller import FORMS
from sim.cases.bench import BlockCase, across, run_case
from sim.cases.precision import split, storage_pairs, widen
from sim.pipeline import flag, poke, push, word

CONFIGS = {
    "l8_p8421": HardwareConfig(rows=4, lanes=8, precisions=(8, 4, 2, 1)),
    "l4_p842": HardwareConfig(rows=4, lanes=4, precisions=(8, 4, 2)),
}


def ports(config):
    masks = 1 in config.precisions
    return {
        "clk": flag(),
        "enable": flag(),
        "stored": word(config.word_bits),
        "tail": flag() if masks else None,
        "keep": word(config.lanes) if masks else None,
        "shift": word(2),
        "form": word(5),
        "operand": word(config.word_bits),
    }


def expected_operand(data, compute, stored, keep):
    """The first bytes of a fetched word as `lanes` bytes of compute width, 0 where keep has no 1."""
    count = len(data) * stored // compute
    values = [value for byte in data[:count] for value in split(byte, stored)]
    lanes = [value * (keep >> lane & 1) for lane, value in enumerate(widen(values, compute))]
    return sum(value << 8 * lane for lane, value in enumerate(lanes))


def drive(dut, rng, stalls, config):
    lanes, masks = config.lanes, 1 in config.precisions
    for compute, stored in storage_pairs(config):
        codes = bits_code(compute), bits_code(stored)
        poke(dut, shift=codes[1] - codes[0], form=FORMS.get(codes, 0))
        values = list(range(256))
        rng.shuffle(values)
        words = [values[at : at + lanes] for at in range(0, 256, lanes)]
        words += [[rng.getrandbits(8) for _ in range(lanes)] for _ in range(20)]
        operands, results = [], []
        keep = rng.getrandbits(lanes)
        if masks:
            poke(dut, keep=keep)
        for data in words:
            tail = masks and rng.getrandbits(1)
            operands.append({"stored": int.from_bytes(bytes(data), "little")} | ({"tail": tail} if masks else {}))
            results.append({"operand": expected_operand(data, compute, stored, keep if tail else (1 << lanes) - 1)})
        push(dut, rng, stalls, operands, results, latency=UNPACK_LATENCY)


CASES = [
    BlockCase(
        f"operand_unpacker_{name}",
        operand_unpacker,
        functools.partial(ports, config),
        functools.partial(drive, config=config),
        params={"config": config},
        stalls=("none", "source"),
        vhdl_skip=2,
    )
    for name, config in CONFIGS.items()
]


@across(CASES)
def test_bytes_are_widened(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
