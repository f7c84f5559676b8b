"""The FIFO and the register slice: order, latency, throughput, level, no loss under any stalls."""

import functools
import random

import pytest
from myhdl import ResetSignal, Signal, intbv

from accel.rtl.parts.fifo import FIFO_LATENCY, fifo
from accel.rtl.parts.register_slice import REGISTER_SLICE_LATENCY, register_slice
from sim.bus import STALLS, Sink, Source, run_cycles, transfer
from sim.cases.bench import BlockCase, across, run_case
from sim.engines import open_dut


def stream_ports(width):
    return {
        "clk": Signal(bool(0)),
        "rst": ResetSignal(0, active=1, isasync=False),
        "s_data": Signal(intbv(0)[width:]),
        "s_valid": Signal(bool(0)),
        "s_ready": Signal(bool(0)),
        "m_data": Signal(intbv(0)[width:]),
        "m_valid": Signal(bool(0)),
        "m_ready": Signal(bool(0)),
    }


def fifo_ports(width, depth):
    return {**stream_ports(width), "level": Signal(intbv(0)[depth.bit_length() :]), "flush": None, "hold": None}


class LevelCheck:
    """Compares level with the words that are inside."""

    def __init__(self, dut, source, sink):
        self.dut, self.source, self.sink, self.highest = dut, source, sink, 0

    def drive(self):
        pass

    def sample(self):
        now = self.dut.cycle
        inside = sum(cycle < now for cycle in self.source.cycles) - sum(cycle < now for cycle in self.sink.cycles)
        level = self.dut.peek("level")
        assert level == inside, f"cycle {now}: level {level}, {inside} words inside"
        self.highest = max(self.highest, level)

    done = True

    def finish(self):
        assert self.dut.peek("level") == 0


def drive(dut, rng, stalls, latency, capacity, change=lambda words: words):
    width = dut.ports["s_data"].bits
    words = [rng.getrandbits(width) for _ in range(250)]
    source = Source(dut, "s", rng=rng, pauses=stalls.source_pauses(rng))
    sink = Sink(dut, "m", pauses=stalls.sink_pauses(rng))
    models = [source, sink]
    if "level" in dut.ports:
        models.append(LevelCheck(dut, source, sink))
    source.send(*words)
    sink.expect(*change(words))
    transfer(dut, *models)
    if stalls.name == "none":
        assert sink.cycles[0] - source.cycles[0] == latency
        assert sink.cycles[-1] - sink.cycles[0] == len(words) - 1
    # A blocked sink: exactly `capacity` words go in, and they all come out.
    source.pauses, sink.pauses = STALLS["none"].source_pauses(rng), iter([True] * (capacity + 5) + [False] * 99)
    more = [rng.getrandbits(width) for _ in range(capacity + 3)]
    source.send(*more)
    sink.expect(*more)
    run_cycles(dut, models, capacity + 5)
    assert len(source.queue) == 3
    assert not dut.peek("s_ready")
    transfer(dut, *models)


CASES = [
    BlockCase(
        "fifo_w16_d4",
        fifo,
        functools.partial(fifo_ports, 16, 4),
        functools.partial(drive, latency=FIFO_LATENCY, capacity=4),
        params={"depth": 4},
        stalls=("none", "source", "sink", "both", "bursts"),
        vhdl_compare={"m_data": "m_valid"},
    ),
    BlockCase(
        "fifo_w33_d32",
        fifo,
        functools.partial(fifo_ports, 33, 32),
        functools.partial(drive, latency=FIFO_LATENCY, capacity=32),
        params={"depth": 32},
        stalls=("none", "bursts"),
        vhdl_compare={"m_data": "m_valid"},
    ),
    BlockCase(
        "register_slice_w16",
        register_slice,
        functools.partial(stream_ports, 16),
        functools.partial(drive, latency=REGISTER_SLICE_LATENCY, capacity=2),
        stalls=("none", "source", "sink", "both", "bursts"),
        vhdl_compare={"m_data": "m_valid"},
    ),
]


@across(CASES)
def test_words_come_out_in_order(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bench_catches_swapped_words(case, seed):
    def swap(words):
        return [*words[:100], words[101], words[100], *words[102:]]

    with open_dut(case.block, case.ports(), case.params) as dut, pytest.raises(AssertionError, match="item 100"):
        dut.reset()
        case.run(dut, random.Random(seed), STALLS["both"], change=swap)


@pytest.mark.parametrize(
    ("depth", "level_depth", "message"),
    [(6, 6, "power of two"), (1, 1, "power of two"), (8, 4, "needs a level of 4 bits")],
)
def test_fifo_refuses_sizes_that_do_not_match(depth, level_depth, message):
    with pytest.raises(ValueError, match=message):
        fifo(**fifo_ports(8, level_depth), depth=depth)
