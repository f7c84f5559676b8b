"""The quantizer unit: words of packed integers, tensor after tensor, under any stalls; the NaN flag."""

import functools
import random

import numpy as np
import pytest
from myhdl import ResetSignal, Signal, intbv

from accel import fixedpoint
from accel.config import bits_code
from accel.rtl.floats.quantizer import QUANTIZER_LATENCY, quantizer
from sim.bus import STALLS, Sink, Source, run_cycles, transfer
from sim.cases.bench import BlockCase, across, run_case
from sim.cases.floats import around_ties, float_of, floats, is_nan, random_pattern
from sim.engines import open_dut
from sim.test_quantize_lane import settings


def quantizer_ports(lanes, marked=False):
    return {
        "clk": Signal(bool(0)),
        "rst": ResetSignal(0, active=1, isasync=False),
        "inv_scale": Signal(intbv(0)[32:]),
        "zero_point": Signal(intbv(0)[8:]),
        "code": Signal(intbv(0)[2:]),
        "beats_minus1": Signal(intbv(0)[16:]),
        "clear_nan": Signal(bool(0)),
        "nan_seen": Signal(bool(0)),
        "s_data": Signal(intbv(0)[32 * lanes :]),
        "s_valid": Signal(bool(0)),
        "s_ready": Signal(bool(0)),
        "m_data": Signal(intbv(0)[32 * lanes :]),
        "m_valid": Signal(bool(0)),
        "m_ready": Signal(bool(0)),
        **{name: Signal(bool(0)) if marked else None for name in ("s_last", "m_last", "m_short")},
    }


def words_of(data, lanes):
    """Little-endian words of 4 * lanes bytes, the last one filled up with 0."""
    size = 4 * lanes
    return [int.from_bytes(data[at : at + size], "little") for at in range(0, len(data), size)]


def beats_of(patterns, lanes):
    return [
        sum(bits << 32 * i for i, bits in enumerate(patterns[at : at + lanes])) for at in range(0, len(patterns), lanes)
    ]


def tensor_words(patterns, inv_scale, zero_point, bits, lanes):
    """What the unit makes of a tensor of whole beats: pack() of quantize()."""
    x = floats(patterns)
    if bits == 1:
        q = np.where(x < 0, -1, 1)
    else:
        qmin, qmax = fixedpoint.qrange(bits)
        with np.errstate(over="ignore", invalid="ignore"):
            steps = np.nan_to_num(np.clip(np.rint(x * float_of(inv_scale)), -1024, 1024))
        q = np.clip(steps.astype(np.int64) + zero_point, qmin, qmax)
    return words_of(fixedpoint.pack(q, bits).tobytes(), lanes)


def tensor_patterns(rng, inv_scale, count, nans):
    ties = around_ties(float_of(inv_scale), 40)
    patterns = [rng.choice((random_pattern(rng), rng.choice(ties))) for _ in range(count)]
    return [bits if nans or not is_nan(bits) else 0 for bits in patterns]


def drive(dut, rng, stalls, change=lambda words: words):
    lanes, marked = dut.ports["s_data"].bits // 32, "s_last" in dut.ports
    for batch in range(6):
        inv_scale, zero_point, bits = settings(rng)
        bits = (8, 4, 2, 1)[batch % 4]
        zero_point = 0 if bits == 1 else min(max(zero_point, -(2 ** (bits - 1))), 2 ** (bits - 1) - 1)
        beats = rng.choice((1, 2, rng.randint(3, 40), 32 // bits, 64 // bits))
        for name, value in (
            ("inv_scale", inv_scale),
            ("zero_point", zero_point & 255),
            ("code", bits_code(bits)),
            ("beats_minus1", beats - 1),
            ("clear_nan", 1),
        ):
            dut.poke(name, value)
        dut.step()
        dut.poke("clear_nan", 0)
        assert not dut.peek("nan_seen")
        fields = ("data", "last") if marked else ("data",), ("data", "last", "short") if marked else ("data",)
        source = Source(dut, "s", fields=fields[0], rng=rng, pauses=stalls.source_pauses(rng))
        sink = Sink(dut, "m", fields=fields[1], pauses=stalls.sink_pauses(rng))
        wanted = []
        some_nan = False
        for _ in range(max(2, 80 // beats)):
            count = rng.randint(1, beats) if marked and rng.getrandbits(1) else beats
            patterns = tensor_patterns(rng, inv_scale, count * lanes, nans=batch % 2)
            some_nan |= any(map(is_nan, patterns))
            sent, words = beats_of(patterns, lanes), tensor_words(patterns, inv_scale, zero_point, bits, lanes)
            if marked:
                sent = [(beat, number == count - 1) for number, beat in enumerate(sent)]
                words = [
                    (word, number == len(words) - 1, number == len(words) - 1 and count < beats)
                    for number, word in enumerate(words)
                ]
            source.send(*sent)
            wanted += words
        sink.expect(*change(wanted))
        transfer(dut, source, sink)
        assert bool(dut.peek("nan_seen")) == some_nan
        if stalls.name == "none" and not marked:
            per_word = min(beats, 32 // bits)
            assert sink.cycles[0] - source.cycles[per_word - 1] == QUANTIZER_LATENCY
            assert source.cycles[-1] - source.cycles[0] == len(source.cycles) - 1


def drive_blocked(dut, rng):
    """A sink that is closed for long: nothing is lost, and the source stands still."""
    for name, value in (("inv_scale", 0x3F800000), ("zero_point", 0), ("code", 0), ("beats_minus1", 0)):
        dut.poke(name, value)
    lanes = dut.ports["s_data"].bits // 32
    source = Source(dut, "s", rng=rng, pauses=STALLS["none"].source_pauses(rng))
    sink = Sink(dut, "m", pauses=iter([True] * 100 + [False] * 999))
    for number in range(90):
        patterns = [int(np.float32(number).view(np.uint32))] * lanes
        source.send(*beats_of(patterns, lanes))
        sink.expect(*words_of(bytes([number] * lanes) + bytes(3 * lanes), lanes))
    run_cycles(dut, [source, sink], 60)
    taken = len(source.cycles)
    run_cycles(dut, [source, sink], 30)
    assert 18 <= len(source.cycles) == taken <= 32
    transfer(dut, source, sink)


CASES = [
    *(
        BlockCase(
            f"quantizer_l{lanes}",
            quantizer,
            functools.partial(quantizer_ports, lanes),
            drive,
            params={"lanes": lanes},
            stalls=("none", "both", "bursts"),
            vhdl_compare={"m_data": "m_valid"},
        )
        for lanes in (1, 2)
    ),
    BlockCase(
        "quantizer_l2_tlast",
        quantizer,
        functools.partial(quantizer_ports, 2, marked=True),
        drive,
        params={"lanes": 2},
        stalls=("both",),
        vhdl_compare=dict.fromkeys(("m_data", "m_last", "m_short"), "m_valid"),
    ),
]


@across(CASES)
def test_tensors_come_out_packed(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


@pytest.mark.parametrize("lanes", [1, 2, 4, 8, 16])
def test_every_width_of_the_stream(lanes, seed):
    rng = random.Random(f"{seed}/{lanes}")
    with open_dut(quantizer, quantizer_ports(lanes), {"lanes": lanes}, engine="verilator") as dut:
        dut.reset()
        drive(dut, rng, STALLS["both"])


@pytest.mark.parametrize("engine", ["myhdl", "verilator"])
def test_a_blocked_sink_loses_nothing(engine, seed):
    with open_dut(quantizer, quantizer_ports(2), {"lanes": 2}, engine=engine) as dut:
        dut.reset()
        drive_blocked(dut, random.Random(seed))


def test_bench_catches_swapped_words(seed):
    case = CASES[0]
    with open_dut(case.block, case.ports(), case.params) as dut, pytest.raises(AssertionError, match="item"):
        dut.reset()
        case.run(dut, random.Random(seed), STALLS["none"], change=lambda words: [*words[1:], words[0] ^ 1])
