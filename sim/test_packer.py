"""The packer: any sequence of groups comes out as the same bytes in whole words."""

from myhdl import ResetSignal, Signal, intbv

from accel.config import HardwareConfig
from accel.rtl.packer import PACKER_LATENCY, packer
from sim.bench import BlockCase, across, run_case
from sim.bus import Monitor, Source, transfer


def ports_of(config):
    def ports():
        return {
            "clk": Signal(bool(0)), "rst": ResetSignal(0, active=1, isasync=False), "start": Signal(bool(0)),
            "s_data": Signal(intbv(0)[8 * config.group_bytes:]), "s_count": Signal(intbv(0)[config.group_count_bits:]),
            "s_valid": Signal(bool(0)), "s_last": Signal(bool(0)), "m_data": Signal(intbv(0)[config.word_bits:]),
            "m_keep": Signal(intbv(0)[config.lanes:]), "m_valid": Signal(bool(0)), "m_last": Signal(bool(0)),
        }

    return ports


def word(data):
    return sum(byte << 8 * i for i, byte in enumerate(data))


def layer(rng, config, count):
    """Groups (data, count, last) of one layer and the bytes that they hold."""
    groups, stream = [], []
    for at in range(count):
        data = [rng.randrange(256) for _ in range(config.group_bytes)]
        valid = rng.choice((1, config.group_bytes, rng.randint(1, config.group_bytes)))
        groups.append((word(data), valid, int(at == count - 1)))
        stream += data[:valid]
    return groups, stream


class MaskedMonitor(Monitor):
    """Ignores the bytes that m_keep leaves out."""

    def _item(self):
        data, keep, last = super()._item()
        return tuple(data >> 8 * i & 0xFF for i in range(keep.bit_length())), keep, last


def drive_of(config):
    def drive(dut, rng, stalls):
        for count in [*range(1, 12), 40]:
            dut.poke("start", 1)
            dut.step()
            dut.poke("start", 0)
            source = Source(dut, "s", fields=("data", "count", "last"), ready=None, rng=rng,
                            pauses=stalls.source_pauses(rng))
            monitor = MaskedMonitor(dut, "m", fields=("data", "keep", "last"), ready=None)
            groups, stream = layer(rng, config, count)
            source.send(*groups)
            for at in range(0, len(stream), config.lanes):
                part = stream[at:at + config.lanes]
                monitor.expect((tuple(part), 2 ** len(part) - 1, int(at + config.lanes >= len(stream))))
            transfer(dut, source, monitor)
            straddles = len(stream) % config.lanes and len(stream) // config.lanes != (
                len(stream) - groups[-1][1]) // config.lanes
            assert monitor.cycles[-1] - source.cycles[-1] == PACKER_LATENCY + bool(straddles)

    return drive


CONFIGS = (HardwareConfig(rows=4, lanes=4), HardwareConfig(rows=16, lanes=8, req_lanes=8))
CASES = [
    BlockCase(f"packer_{config.lanes}_{config.group_bytes}", packer, ports_of(config), drive_of(config),
              params={"config": config}, stalls=("none", "source"),
              vhdl_compare={"m_data": "m_valid", "m_keep": "m_valid"})
    for config in CONFIGS
]


@across(CASES)
def test_packer(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
