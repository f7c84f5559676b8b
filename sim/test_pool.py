"""Max pooling: windows with stride = size, pads, floor and ceil, many groups a pixel, against plain loops."""

import functools
import random

import pytest
from myhdl import ResetSignal, Signal, intbv

from accel.config import HardwareConfig
from accel.rtl.output.pool import POOL_LATENCY, pool
from sim.bus import STALLS, Monitor, Source, transfer
from sim.cases.bench import BlockCase, across, run_case
from sim.engines import open_dut

RESULT_FIELDS = ("data", "count", "last", "pixel_last")


def ports(config):
    def word(bits):
        return Signal(intbv(0)[bits:])

    return {
        "clk": Signal(bool(0)),
        "rst": ResetSignal(0, active=1, isasync=False),
        "start": Signal(bool(0)),
        "s_data": word(8 * config.group_bytes),
        "s_count": word(config.group_count_bits),
        "s_valid": Signal(bool(0)),
        "s_pixel_last": Signal(bool(0)),
        "s_last": Signal(bool(0)),
        "pool_enable": Signal(bool(0)),
        **{name: word(16) for name in ("oh_minus1", "ow_minus1")},
        **{name: word(4) for name in ("pool_kh_minus1", "pool_kw_minus1", "pool_pad_top", "pool_pad_left")},
        **{name: word(16) for name in ("pool_oh_minus1", "pool_ow_minus1")},
        "m_data": word(8 * config.group_bytes),
        "m_count": word(config.group_count_bits),
        "m_valid": Signal(bool(0)),
        "m_last": Signal(bool(0)),
        "m_pixel_last": Signal(bool(0)),
    }


class Layer:
    """One pooled tensor: random sizes that fit the row memory, its groups and what must come out."""

    def __init__(self, rng, config, full_memory=False):
        self.config, depth = config, config.pool_depth
        self.kh, self.kw = rng.randint(1, 4), rng.randint(1, 4)
        self.pad_top, self.pad_left = rng.randrange(self.kh), rng.randrange(self.kw)
        self.groups = rng.choice((1, 1, 2, 3, 4))
        if full_memory:  # all entries used, and a dropped column behind the last window
            self.groups, self.kh, self.kw, self.pad_left = rng.choice((1, 2, 4)), 2, 3, 0
            self.pad_top = 0
            self.width, self.height = self.kw * (depth // self.groups) + 1, 4
        else:
            self.width = rng.randint(1, min(12, self.kw * (depth // self.groups) - self.pad_left))
            self.height = rng.randint(1, 8)
        ends = (self.height + self.pad_top, self.kh), (self.width + self.pad_left, self.kw)
        up = rng.getrandbits(1) and not full_memory
        self.oh, self.ow = [max(1, -(-size // step) if up else size // step) for size, step in ends]
        self.last_count = rng.randint(1, config.req_lanes)
        self.enabled = rng.random() < 0.8 or full_memory

    def settings(self):
        names = ("kh", "kw", "oh", "ow")
        return {
            "pool_enable": self.enabled,
            "pool_pad_top": self.pad_top,
            "pool_pad_left": self.pad_left,
            "oh_minus1": self.height - 1,
            "ow_minus1": self.width - 1,
            **{f"pool_{name}_minus1": getattr(self, name) - 1 for name in names},
        }

    def items(self, rng, order=max):
        """(groups to send, groups to expect, for each of these the number of the group that completes it)."""
        lanes, size = self.config.req_lanes, self.config.group_bytes
        pool_of_values = rng.choice((range(-128, 128), (-128, 127), range(-3, 3)))
        send, expect, causes, best = [], [], [], {}
        for y in range(self.height):
            for x in range(self.width):
                row, column = (y + self.pad_top) // self.kh, (x + self.pad_left) // self.kw
                for group in range(self.groups):
                    pixel_last = group == self.groups - 1
                    last = pixel_last and y == self.height - 1 and x == self.width - 1
                    count = self.last_count if pixel_last else lanes
                    values = [rng.choice(pool_of_values) for _ in range(size if not self.enabled else lanes)]
                    data = sum((value & 0xFF) << 8 * lane for lane, value in enumerate(values))
                    send.append((data, count, int(pixel_last), int(last)))
                    if not self.enabled:
                        expect.append((data, count, int(last), int(pixel_last)))
                        causes.append(len(send) - 1)
                        continue
                    key = row, column, group
                    best[key] = [order(pair) for pair in zip(values, best.get(key, values), strict=True)]
                    ends = (
                        (y + self.pad_top + 1) % self.kh == 0 or y == self.height - 1,
                        (x + self.pad_left + 1) % self.kw == 0 or x == self.width - 1,
                    )
                    if all(ends) and row < self.oh and column < self.ow:
                        word = sum((value & 0xFF) << 8 * lane for lane, value in enumerate(best[key]))
                        final = pixel_last and row == self.oh - 1 and column == self.ow - 1
                        expect.append((word, count, int(final), int(pixel_last)))
                        causes.append(len(send) - 1)
        return send, expect, causes


def drive(dut, rng, stalls, config, order=max, layers=14):
    for number in range(layers):
        layer = Layer(rng, config, full_memory=number % 5 == 1)
        groups, results, causes = layer.items(rng, order)
        source = Source(
            dut,
            "s",
            fields=("data", "count", "pixel_last", "last"),
            ready=None,
            rng=rng,
            pauses=stalls.source_pauses(rng),
        )
        monitor = Monitor(dut, "m", fields=RESULT_FIELDS, ready=None)
        for name, value in layer.settings().items():
            dut.poke(name, value)
        dut.poke("start", 1)
        dut.step()
        dut.poke("start", 0)
        source.send(*groups)
        monitor.expect(*results)
        transfer(dut, source, monitor, quiet=POOL_LATENCY + 1)
        assert monitor.cycles == [source.cycles[cause] + POOL_LATENCY for cause in causes]


def case(stalls=("none", "source"), **size):
    config = HardwareConfig(pool_depth=16, **size)
    return BlockCase(
        f"pool_l{config.req_lanes}",
        pool,
        functools.partial(ports, config),
        functools.partial(drive, config=config),
        params={"config": config},
        stalls=stalls,
        vhdl_compare={f"m_{field}": "m_valid" for field in RESULT_FIELDS},
    )


CASES = [case(rows=8, lanes=8), case(rows=4, lanes=4, req_lanes=4)]
OTHER_SIZES = [case(("source",), rows=4, lanes=4, req_lanes=1), case(("source",), rows=8, lanes=8, req_lanes=8)]


@across(CASES)
def test_windows_give_their_largest_value(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


@across(OTHER_SIZES, engines=("myhdl",))
def test_windows_give_their_largest_value_at_other_sizes(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


def test_bench_catches_a_pool_of_minima(seed):
    config = CASES[0].params["config"]
    with open_dut(pool, ports(config), {"config": config}) as dut, pytest.raises(AssertionError, match="item"):
        dut.reset()
        drive(dut, random.Random(seed), STALLS["none"], config, order=min)


@pytest.mark.parametrize("engine", ["myhdl", "verilator"])
def test_too_large_a_layer_stays_inside_the_memory(engine, seed):
    """Rows that need more entries than there are wrap around: wrong values, but as many groups and their end."""
    config, rng = CASES[0].params["config"], random.Random(seed)
    layer = Layer(rng, config)
    layer.kh, layer.kw, layer.pad_top, layer.pad_left, layer.groups, layer.enabled = 2, 2, 0, 0, 4, True
    layer.height, layer.width, layer.oh, layer.ow = 4, 12, 2, 6
    groups, results, _ = layer.items(rng)
    with open_dut(pool, ports(config), {"config": config}, engine) as dut:
        dut.reset()
        for name, value in layer.settings().items():
            dut.poke(name, value)
        dut.poke("start", 1)
        dut.step()
        dut.poke("start", 0)
        source = Source(dut, "s", fields=("data", "count", "pixel_last", "last"), ready=None)
        monitor = Monitor(dut, "m", fields=RESULT_FIELDS, ready=None)
        source.send(*groups)
        transfer(dut, source, monitor)
        assert [item[2] for item in monitor.received] == [result[2] for result in results]
