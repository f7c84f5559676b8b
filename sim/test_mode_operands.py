"""The activations of a lane: each multiplier's channel in every mode."""

import functools

from accel.rtl.array.mode_flags import BINARY, FLAGS, FOUR, WIDE
from accel.rtl.array.mode_operands import mode_operands
from accel.rtl.array.packing import CHANNELS
from sim.cases.bench import BlockCase, across, run_case
from sim.cases.mac_model import channels, pack
from sim.pipeline import flag, push, word


def ports():
    return {"clk": flag(), "enable": flag(), "flags": word(FLAGS), "x": word(8), "b": word(32)}


def drive(dut, rng, stalls, modes):
    operands, results = [], []
    for byte in range(256):
        for bits in modes:
            values = {
                8: channels(byte, 8) * 4,
                4: channels(byte, 4) * 2,
                1: [-2] * 4,
                2: [channels(byte, 2)[channel] for channel in CHANNELS],
            }[bits]
            decoded = 1 << WIDE if bits == 8 else 1 << FOUR if bits == 4 else (bits == 1) << BINARY
            operands.append({"flags": decoded, "x": byte})
            results.append({"b": pack(values)})
    push(dut, rng, stalls, operands, results, latency=1)


CASES = [
    BlockCase(
        f"mode_operands_{'_'.join(map(str, modes))}",
        mode_operands,
        ports,
        functools.partial(drive, modes=modes),
        params={"modes": modes},
        stalls=stalls,
    )
    for modes, stalls in (((8, 4, 2, 1), ("none",)), ((8, 4), ("both",)))
]


@across(CASES)
def test_every_byte(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
