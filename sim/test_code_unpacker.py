"""The code unpacker: every element of the kept bytes once, in order, while launch_ok comes and goes."""

import functools

from myhdl import ResetSignal, Signal, intbv

from accel.config import bits_code
from accel.rtl.floats.code_unpacker import CODE_UNPACKER_LATENCY, code_unpacker
from sim.bus import Source, run_cycles
from sim.cases.bench import BlockCase, across, run_case
from sim.test_dequantizer import FIELDS, beats_of, tensor


def ports(lanes):
    return {
        "clk": Signal(bool(0)),
        "rst": ResetSignal(0, active=1, isasync=False),
        "raw": Signal(bool(0)),
        "code": Signal(intbv(0)[2:]),
        "launch_ok": Signal(bool(0)),
        "s_data": Signal(intbv(0)[32 * lanes :]),
        "s_keep": Signal(intbv(0)[4 * lanes :]),
        "s_last": Signal(bool(0)),
        "s_valid": Signal(bool(0)),
        "s_ready": Signal(bool(0)),
        "m_data": Signal(intbv(0)[32 * lanes :]),
        "m_keep": Signal(intbv(0)[lanes:]),
        "m_last": Signal(bool(0)),
        "m_valid": Signal(bool(0)),
    }


class Collector:
    """Gathers the values that count, and pulls launch_ok at random."""

    done = True

    def __init__(self, dut, pauses):
        self.dut, self.pauses, self.values, self.cycles = dut, pauses, [], []

    def drive(self):
        self.dut.poke("launch_ok", not next(self.pauses))

    def sample(self):
        if self.dut.peek("m_valid"):
            kept, data = self.dut.peek("m_keep"), self.dut.peek("m_data")
            beat = [data >> 32 * i & 2**32 - 1 for i in range(kept.bit_length())]
            assert kept == 2 ** len(beat) - 1
            self.values.append((beat, self.dut.peek("m_last")))
            self.cycles.append(self.dut.cycle)

    def finish(self):
        pass


def drive(dut, rng, stalls):
    lanes = dut.ports["s_data"].bits // 32
    for batch in range(10):
        raw, bits = batch % 5 == 4, (8, 4, 2, 1)[batch % 4]
        dut.poke("raw", raw)
        dut.poke("code", bits_code(bits))
        source = Source(dut, "s", rng=rng, pauses=stalls.source_pauses(rng), fields=FIELDS)
        collector = Collector(dut, stalls.sink_pauses(rng))
        wanted = []
        for _ in range(3):
            data, values = tensor(rng, raw, bits, rng.choice((1, rng.randint(1, 9 * lanes), 8 * lanes)))
            values = [int(value) & 2**32 - 1 for value in values]
            beats = [values[at : at + lanes] for at in range(0, len(values), lanes)]
            wanted += [(beat, beat is beats[-1]) for beat in beats]
            source.send(*beats_of(data, lanes))
        run_cycles(dut, [source, collector], 20 + 6 * len(wanted))
        source.finish()
        assert collector.values == wanted
        if stalls.name == "none":
            assert collector.cycles[0] - source.cycles[0] == CODE_UNPACKER_LATENCY
            assert collector.cycles[-1] - collector.cycles[0] == len(wanted) - 1


CASES = [
    BlockCase(
        "code_unpacker_l2",
        code_unpacker,
        functools.partial(ports, 2),
        drive,
        params={"lanes": 2},
        stalls=("none", "both"),
        vhdl_compare=dict.fromkeys(("m_data", "m_keep", "m_last"), "m_valid"),
    )
]


@across(CASES)
def test_every_element_comes_out_once(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
