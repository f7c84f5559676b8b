"""The weight unpacker: every part of every bank byte in every combination of widths that a build has."""

import functools

from accel.config import HardwareConfig, bits_code
from accel.rtl.array.weight_unpacker import UNPACK_LATENCY, weight_unpacker
from accel.rtl.control.precision_controller import FORMS
from sim.cases.bench import BlockCase, across, run_case
from sim.cases.precision import array_byte, storage_pairs
from sim.pipeline import flag, poke, random_words, word

CONFIGS = {
    "4x4_p8421": HardwareConfig(rows=4, lanes=4, precisions=(8, 4, 2, 1)),
    "4x8_p84": HardwareConfig(rows=4, lanes=8, precisions=(8, 4)),
}


def ports(config):
    return {
        "clk": flag(),
        "enable": flag(),
        "stored": word(config.weight_word_bits),
        "part": word(config.unpack_bits),
        "shift": word(2),
        "form": word(5),
        "weights": word(config.weight_word_bits),
    }


def drive(dut, rng, stalls, config):
    """All 256 bytes with every part; the bits of `part` that do not count are garbage."""
    held, size = stalls.sink_pauses(rng), config.rows * config.lanes
    for compute, stored in storage_pairs(config):
        codes = bits_code(compute), bits_code(stored)
        shift = codes[1] - codes[0]
        poke(dut, shift=shift, form=FORMS.get(codes, 0))
        values = [*range(256), *[rng.getrandbits(8) for _ in range(-256 % size + size)]]
        words = [values[at : at + size] for at in range(0, len(values), size)]
        reads = [(data, part) for data in words for part in range(1 << shift)]
        rng.shuffle(reads)
        previous, expected, count = None, None, 0
        while count <= len(reads) + UNPACK_LATENCY:
            stalled = next(held)
            part = reads[count][1] if count < len(reads) else 0
            part |= rng.getrandbits(3) << shift
            data = previous or reads[0]
            poke(dut, enable=not stalled, part=part % (1 << config.unpack_bits))
            poke(dut, stored=sum(byte << 8 * i for i, byte in enumerate(data[0])))
            if stalled:
                poke(dut, **random_words(rng, dut, ("stored", "part")))
            if expected is not None:
                got = dut.peek("weights")
                assert got == expected, f"W{stored}A{compute}: expected {expected:#x}, got {got:#x}"
            dut.step()
            if not stalled:
                if previous:
                    bytes_ = [array_byte(byte, previous[1], compute, stored) for byte in previous[0]]
                    expected = sum(byte << 8 * i for i, byte in enumerate(bytes_))
                previous = reads[count] if count < len(reads) else None
                count += 1


CASES = [
    BlockCase(
        f"weight_unpacker_{name}",
        weight_unpacker,
        functools.partial(ports, config),
        functools.partial(drive, config=config),
        params={"config": config},
        stalls=("none", "sink"),
        vhdl_skip=4,
    )
    for name, config in CONFIGS.items()
]


@across(CASES)
def test_parts_are_widened(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
