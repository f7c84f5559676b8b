"""The dequantizer unit: tensors of codes and of accumulators become floats, with keep and last, under any stalls."""

import functools
import random

import numpy as np
import pytest
from myhdl import ResetSignal, Signal, intbv

from accel import fixedpoint
from accel import scale as reference
from accel.config import bits_code
from accel.rtl.floats.dequantizer import DEQUANTIZER_LATENCY, dequantizer
from sim.bus import STALLS, Sink, Source, transfer
from sim.cases.bench import BlockCase, across, run_case
from sim.cases.floats import bits_of
from sim.engines import open_dut
from sim.test_dequantize_lane import a_scale, a_value

FIELDS = ("data", "keep", "last")


def ports(lanes):
    def stream(prefix):
        return {
            f"{prefix}_data": Signal(intbv(0)[32 * lanes :]),
            f"{prefix}_keep": Signal(intbv(0)[4 * lanes :]),
            f"{prefix}_last": Signal(bool(0)),
            f"{prefix}_valid": Signal(bool(0)),
            f"{prefix}_ready": Signal(bool(0)),
        }

    return {
        "clk": Signal(bool(0)),
        "rst": ResetSignal(0, active=1, isasync=False),
        "flush": ResetSignal(0, active=1, isasync=False),
        "closing": Signal(bool(0)),
        "scale": Signal(intbv(0)[32:]),
        "zero_point": Signal(intbv(0)[8:]),
        "raw": Signal(bool(0)),
        "code": Signal(intbv(0)[2:]),
        **stream("s"),
        **stream("m"),
    }


def beats_of(data, lanes):
    """(data, keep, last) of a tensor's bytes; bytes that are not kept are 0."""
    size = 4 * lanes
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    return [(int.from_bytes(part, "little"), 2 ** len(part) - 1, part is parts[-1]) for part in parts]


def tensor(rng, raw, bits, count):
    """(bytes, integers) of a tensor of `count` bytes or accumulators."""
    if raw:
        values = np.array([a_value(rng) for _ in range(count)])
        return values.astype("<i4").tobytes(), values
    data = rng.randbytes(count)
    return data, fixedpoint.unpack(np.frombuffer(data, dtype=np.uint8), bits, count * 8 // bits)


def wanted_beats(values, scale, zero_point, lanes):
    """(data, keep, last); the data of lanes that do not count is compared as the sink masks it."""
    floats = reference.dequantize(values, scale, zero_point).astype("<f4")
    return beats_of(floats.tobytes(), lanes)


class MaskedSink(Sink):
    """Clears the bytes that are not kept."""

    def _item(self):
        data, keep, last = super()._item()
        for i in range(keep.bit_length(), self.dut.ports["m_keep"].bits):
            data &= ~(255 << 8 * i)
        return data, keep, last


def flush(dut):
    """What is under way is dropped, all but the beat that is offered; a tensor that is cut ends where that is asked."""
    dut.poke("flush", 1)
    dut.step()
    dut.poke("flush", 0)
    for closing in (0, 1):
        for name, value in (
            ("scale", bits_of(np.float32(1))),
            ("code", 0),
            ("s_data", 1),
            ("s_keep", 1),
            ("s_last", 0),
            ("s_valid", 1),
            ("m_ready", 0),
        ):
            dut.poke(name, value)
        dut.step(DEQUANTIZER_LATENCY + 20)
        assert dut.peek("m_valid") and not dut.peek("m_last")
        dut.poke("s_valid", 0)
        dut.poke("flush", 1)
        dut.poke("closing", closing)
        dut.step()
        dut.poke("flush", 0)
        dut.step(DEQUANTIZER_LATENCY)
        assert dut.peek("m_valid") and not dut.peek("m_last") and dut.peek("m_keep") == 0xF
        dut.poke("m_ready", 1)
        dut.step()
        assert dut.peek("m_valid") == dut.peek("m_last") == closing
        dut.step()
        for _ in range(DEQUANTIZER_LATENCY):
            assert not dut.peek("m_valid")
            dut.step()


def drive(dut, rng, stalls, change=lambda beats: beats):
    lanes = dut.ports["s_data"].bits // 32
    flush(dut)
    for batch in range(8):
        raw, bits = batch % 5 == 4, (8, 4, 2, 1)[batch % 4]
        zero_point = 0 if raw or bits == 1 else rng.randint(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        scale = a_scale(rng)
        for name, value in (
            ("scale", bits_of(scale)),
            ("zero_point", zero_point & 255),
            ("raw", raw),
            ("code", bits_code(bits)),
        ):
            dut.poke(name, value)
        source = Source(dut, "s", rng=rng, pauses=stalls.source_pauses(rng), fields=FIELDS)
        sink = MaskedSink(dut, "m", pauses=stalls.sink_pauses(rng), fields=FIELDS)
        beats = 0
        for _ in range(3):
            data, values = tensor(rng, raw, bits, rng.choice((1, 2, rng.randint(1, 9 * lanes), 8 * lanes)))
            wanted = wanted_beats(values, scale, zero_point, lanes)
            beats += len(wanted)
            source.send(*beats_of(data, lanes))
            sink.expect(*change(wanted))
        transfer(dut, source, sink)
        if stalls.name == "none":
            assert sink.cycles[0] - source.cycles[0] == DEQUANTIZER_LATENCY
            assert sink.cycles[-1] - sink.cycles[0] == beats - 1


CASES = [
    BlockCase(
        f"dequantizer_l{lanes}",
        dequantizer,
        functools.partial(ports, lanes),
        drive,
        params={"lanes": lanes},
        stalls=("none", "both", "bursts"),
        vhdl_compare=dict.fromkeys(("m_data", "m_keep", "m_last"), "m_valid"),
    )
    for lanes in (1, 2)
]


@across(CASES)
def test_tensors_come_out_as_floats(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


@pytest.mark.parametrize("lanes", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("stalls", ["none", "sink"])
def test_every_width_of_the_stream(lanes, stalls, seed):
    rng = random.Random(f"{seed}/{lanes}")
    with open_dut(dequantizer, ports(lanes), {"lanes": lanes}, engine="verilator") as dut:
        dut.reset()
        for _ in range(3):
            drive(dut, rng, STALLS[stalls])


def test_bench_catches_a_missing_last(seed):
    case = CASES[1]
    with open_dut(case.block, case.ports(), case.params) as dut, pytest.raises(AssertionError, match="item"):
        dut.reset()
        case.run(
            dut,
            random.Random(seed),
            STALLS["none"],
            change=lambda beats: [(data, keep, False) for data, keep, _ in beats],
        )
