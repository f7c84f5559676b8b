"""The requantizer: tiles of accumulators in, groups out, against accel.fixedpoint."""

import functools
import random

import numpy as np
import pytest
from myhdl import ResetSignal, Signal, intbv

from accel import fixedpoint
from accel.config import HardwareConfig
from accel.names import RULES
from accel.rtl.output.param_table import memory_bits, memory_words
from accel.rtl.output.requantize import REQUANTIZE_LATENCY, REQUANTIZE_LAUNCH_LATENCY, requantize
from accel.rtl.output.shift_multiplier import khot_word
from sim.bus import STALLS, Monitor, Source, pauses, transfer
from sim.cases.bench import BlockCase, across, run_case
from sim.engines import open_dut

RESULT_FIELDS = ("data", "count", "pixel_last", "last")


def ports(config):
    def word(bits):
        return Signal(intbv(0)[bits:])

    return {
        "clk": Signal(bool(0)),
        "rst": ResetSignal(0, active=1, isasync=False),
        "s_data": word(config.result_bits),
        "s_valid": Signal(bool(0)),
        "s_ready": Signal(bool(0)),
        "s_tile_last": Signal(bool(0)),
        "s_last": Signal(bool(0)),
        "launch_ok": Signal(bool(0)),
        "param_addr": word(config.param_addr_bits),
        "param_data": word(config.param_word_bits),
        "raw": Signal(bool(0)),
        "round_away": Signal(bool(0)),
        "zero_point": word(8),
        "qmin": word(8),
        "qmax": word(8),
        "groups_minus1": word(8),
        "last_groups_minus1": word(8),
        "last_count": word(config.group_count_bits),
        "param_base": word(config.param_addr_bits),
        "m_data": word(8 * config.group_bytes),
        "m_count": word(config.group_count_bits),
        "m_valid": Signal(bool(0)),
        "m_pixel_last": Signal(bool(0)),
        "m_last": Signal(bool(0)),
        "sign": Signal(bool(0)) if 1 in config.precisions else None,
    }


class Table:
    """The parameter memory: answers param_addr in the next cycle, garbage before the first address."""

    def __init__(self, dut, config, entries):
        self.dut, self.address = dut, 0
        widths = memory_bits(config)
        memories = [memory_words(entries, field, config) for field in range(3)]
        self.words = []
        for group in range(config.param_group_depth):
            word, at = 0, 0
            for lane in range(config.req_lanes):
                for bits, memory in zip(widths, memories, strict=True):
                    word |= (memory[group] >> bits * lane & (1 << bits) - 1) << at
                    at += bits
            self.words.append(word)

    done = True

    def drive(self):
        self.dut.poke("param_data", self.words[self.address])

    def sample(self):
        self.address = self.dut.peek("param_addr")

    def finish(self):
        pass


class Gate:
    """Drives launch_ok and checks that groups come from cycles behind those in which it was high."""

    def __init__(self, dut, pattern):
        self.dut, self.pattern, self.open = dut, pattern, {}

    done = True

    def drive(self):
        self.open[self.dut.cycle + 1] = not next(self.pattern)
        self.dut.poke("launch_ok", self.open[self.dut.cycle + 1])

    def sample(self):
        if self.dut.peek("m_valid"):
            assert self.open[self.dut.cycle - REQUANTIZE_LAUNCH_LATENCY], f"cycle {self.dut.cycle}: launched unasked"

    def finish(self):
        pass


class Layer:
    """Random settings of one layer, its tiles and the groups that must come out."""

    def __init__(self, rng, config, raw, bias_step=1):
        rows, self.config, self.raw = config.rows, config, raw
        self.rule = rng.choice(RULES)
        channels = rng.randint(1, 3 * rows)
        self.tiles, self.pixels = -(-channels // rows), rng.randint(1, 6)
        self.per_group = 1 if raw else config.req_lanes
        last_rows = channels - (self.tiles - 1) * rows
        last_groups = -(-last_rows // self.per_group)
        groups = (self.tiles - 1) * rows // self.per_group + last_groups
        self.zero_point = rng.randint(-128, 127)
        self.qmin, self.qmax = rng.choice(((-128, 127), tuple(sorted((self.zero_point, 127)))))
        self.settings = {
            "raw": raw,
            "round_away": self.rule == "half_away",
            "zero_point": self.zero_point & 0xFF,
            "qmin": self.qmin & 0xFF,
            "qmax": self.qmax & 0xFF,
            "groups_minus1": rows // self.per_group - 1,
            "last_groups_minus1": last_groups - 1,
            "last_count": 4 if raw else last_rows - (last_groups - 1) * config.req_lanes,
            "param_base": rng.randint(0, config.param_group_depth - groups),
        }
        self.group_counts = [rows // self.per_group] * (self.tiles - 1) + [last_groups]
        self.bias_step = bias_step
        self.sign = 1 in config.precisions and not raw and rng.random() < 0.6
        if 1 in config.precisions:
            self.settings["sign"] = self.sign
        # A small product and shift keep most results inside int8.
        self.scale = config.acc_bits - 8

    def entry(self, rng):
        """(bias, multiplier word, shift1, shift2) of one channel; its shift in the layer's rule, its multiplier."""
        bias, multiplier, k = rng.getrandbits(32), rng.randint(2**30, 2**31 - 1), self.config.hot_positions
        while k and multiplier.bit_count() > k:
            multiplier &= multiplier - 1
        word = khot_word(multiplier, k) if k and not self.sign else multiplier & (1 << self.config.multiplier_bits) - 1
        if self.rule == "gemmlowp":
            exponent = -rng.randint(max(0, self.scale - 3), self.scale)
            return bias, word, 31, -exponent, exponent, multiplier
        shift = 31 + rng.randint(self.scale - 3, self.scale)
        return bias, word, shift, 0, shift, multiplier

    def items(self, rng, entries):
        """(tiles to send, groups to expect)."""
        acc_bits, rows = self.config.acc_bits, self.config.rows
        send, expect = [], []
        for pixel in range(self.pixels):
            number = 0
            for tile, group_count in enumerate(self.group_counts):
                accs = [rng.getrandbits(acc_bits) for _ in range(rows)]
                tile_last = tile == self.tiles - 1
                last = tile_last and pixel == self.pixels - 1
                send.append((sum(acc << acc_bits * row for row, acc in enumerate(accs)), int(tile_last), int(last)))
                for group in range(group_count):
                    first = (self.settings["param_base"] + number) * self.config.req_lanes
                    end = tile_last and group == group_count - 1
                    count = self.settings["last_count"] if end else (4 if self.raw else self.per_group)
                    data = self.group(accs[group * self.per_group :][: self.per_group], entries[first:])
                    expect.append((data, count, int(end), int(end and last)))
                    number += 1
        return send, expect

    def group(self, accs, entries):
        """m_data of one group as an integer."""
        chosen = entries[: len(accs)]
        biased = fixedpoint.wrap(np.array(accs) + [self.bias_step * entry[0] for entry in chosen], self.config.acc_bits)
        if self.raw:
            return int(biased[0]) & 0xFFFFFFFF
        if self.sign:
            plus = [(value >= 0) != entry[1] % 2 for value, entry in zip(biased, chosen, strict=True)]
            return sum((0x01 if up else 0xFF) << 8 * lane for lane, up in enumerate(plus))
        multiplier, shift = np.array([entry[5] for entry in chosen]), np.array([entry[4] for entry in chosen])
        q = fixedpoint.requantize(
            biased, multiplier, shift, rule=self.rule, zero_point=self.zero_point, qmin=self.qmin, qmax=self.qmax
        )
        return sum((int(value) & 0xFF) << 8 * lane for lane, value in enumerate(q))


def drive(dut, rng, stalls, config, bias_step=1, layers=6):
    for number in range(layers):
        layer = Layer(rng, config, raw=number % 3 == 2, bias_step=bias_step)
        entries = [layer.entry(rng) for _ in range(config.param_depth)]
        tiles, groups = layer.items(rng, entries)
        pattern = stalls.source_pauses(rng)
        source = Source(dut, "s", fields=("data", "tile_last", "last"), rng=rng, pauses=pattern, early=True)
        gate = Gate(dut, pauses(rng, stalls.sink, stalls.burst))
        monitor = Monitor(dut, "m", ready=None, fields=RESULT_FIELDS)
        for name, value in layer.settings.items():
            dut.poke(name, value)
        dut.step()
        source.send(*tiles)
        monitor.expect(*groups)
        transfer(
            dut, source, gate, Table(dut, config, [entry[:4] for entry in entries]), monitor, quiet=REQUANTIZE_LATENCY
        )
        if stalls.name == "none":
            assert monitor.cycles[0] - source.cycles[0] == REQUANTIZE_LATENCY
            assert monitor.cycles[-1] - monitor.cycles[0] == len(groups) - 1, "a group must come in every cycle"


def case(engine_stalls=("none", "both", "bursts"), layers=6, **size):
    config = HardwareConfig(param_depth=1024, **size)
    name = f"requantize_r{config.rows}_l{config.req_lanes}_a{config.acc_bits}"
    name += f"_k{config.hot_positions}" if config.hot_positions else ""
    return BlockCase(
        name,
        requantize,
        functools.partial(ports, config),
        functools.partial(drive, config=config, layers=layers),
        params={"config": config},
        stalls=engine_stalls,
        vhdl_compare={f"m_{field}": "m_valid" for field in RESULT_FIELDS},
    )


CASES = [
    case(rows=8, lanes=8),
    case(rows=4, lanes=4, acc_bits=16),
    case(("both",), rows=8, lanes=8, precisions=(8, 1), requantizer="khot2"),
]
OTHER_SIZES = [
    case(("both",), 3, rows=4, lanes=4, req_lanes=4),
    case(("both",), 3, rows=16, lanes=16, req_lanes=8),
    case(("both",), 3, rows=4, lanes=4, precisions=(8, 1), acc_bits=16, requantizer="pow2"),
]


@across(CASES)
def test_groups_are_exact(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


@across(OTHER_SIZES, engines=("myhdl",))
def test_groups_are_exact_at_other_sizes(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


def test_bench_catches_a_wrong_bias(seed):
    wrong = functools.partial(drive, config=CASES[0].params["config"], bias_step=-1)
    with open_dut(requantize, CASES[0].ports(), CASES[0].params) as dut, pytest.raises(AssertionError, match="item 0"):
        dut.reset()
        wrong(dut, random.Random(seed), STALLS["none"])
