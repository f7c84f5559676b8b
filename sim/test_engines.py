"""The engines behave alike; also the worked example of a block test."""

import functools

from sim.bus import Sink, Source, transfer
from sim.cases.bench import BlockCase, across, run_case
from sim.stand_ins.running_sum import running_sum, running_sum_ports


def wrap(value, bits):
    return (value + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)


def drive(dut, rng, stalls):
    bits = dut.ports["m_data"].bits
    items = [rng.randint(-128, 127) for _ in range(80)] + [127] * 40 + [-128] * 40
    sums = [wrap(sum(items[: count + 1]), bits) for count in range(len(items))]
    source = Source(dut, "s", rng=rng, pauses=stalls.source_pauses(rng))
    sink = Sink(dut, "m", pauses=stalls.sink_pauses(rng))
    source.send(*items)
    sink.expect(*sums)
    transfer(dut, source, sink)
    if stalls.name == "none":
        assert sink.cycles[0] - source.cycles[0] == 1
        assert sink.cycles[-1] - sink.cycles[0] == len(items) - 1


CASES = [
    BlockCase("running_sum_w16", running_sum, running_sum_ports, drive),
    BlockCase("running_sum_w10", running_sum, functools.partial(running_sum_ports, bits=10), drive),
]


@across(CASES)
def test_running_sum(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
