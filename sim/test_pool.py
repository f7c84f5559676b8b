"""Max pooling against numpy: window sizes, pads, floor and ceil, few and many groups, and the bypass."""

import numpy as np
from myhdl import ResetSignal, Signal, intbv

from accel.config import HardwareConfig
from accel.rtl.pool import POOL_LATENCY, pool
from sim.bench import BlockCase, across, run_case
from sim.bus import Monitor, Source, transfer

# in rows, in columns, channels, kh, kw, pad_top, pad_left, oh, ow
SHAPES = (
    (4, 4, 3, 2, 2, 0, 0, 2, 2),
    (5, 7, 2, 2, 2, 0, 0, 2, 3),  # floor: the last row and column are dropped
    (5, 7, 5, 2, 2, 0, 0, 3, 4),  # ceil: the last windows are cut off
    (4, 5, 1, 3, 2, 1, 1, 2, 3),  # pads on all sides
    (3, 6, 2, 1, 3, 0, 0, 3, 2),
    (4, 6, 1, 4, 6, 0, 0, 1, 1),
    (2, 3, 4, 1, 1, 0, 0, 2, 3),
)


def ports_of(config):
    def ports():
        def word(bits):
            return Signal(intbv(0)[bits:])

        def flag():
            return Signal(bool(0))

        return {
            "clk": flag(), "rst": ResetSignal(0, active=1, isasync=False), "start": flag(),
            "s_data": word(8 * config.group_bytes), "s_count": word(config.group_count_bits), "s_valid": flag(),
            "s_pixel_last": flag(), "s_last": flag(), "enabled": flag(), "in_oh_minus1": word(16),
            "in_ow_minus1": word(16), "kh_minus1": word(4), "kw_minus1": word(4), "pad_top": word(4),
            "pad_left": word(4), "oh_minus1": word(16), "ow_minus1": word(16), "m_data": word(8 * config.group_bytes),
            "m_count": word(config.group_count_bits), "m_valid": flag(), "m_last": flag(),
        }

    return ports


def to_groups(tensor, config):
    """Groups (data, count, pixel_last) of an int8 tensor [H, W, C]."""
    groups = []
    for pixel in tensor.reshape(-1, tensor.shape[-1]):
        for at in range(0, len(pixel), config.req_lanes):
            part = pixel[at:at + config.req_lanes]
            data = sum((int(value) & 0xFF) << 8 * i for i, value in enumerate(part))
            groups.append((data, len(part), int(at + config.req_lanes >= len(pixel))))
    return groups


def pooled(tensor, kh, kw, pad_top, pad_left, oh, ow):
    result = np.full((oh, ow, tensor.shape[2]), -128)
    for y, x in np.ndindex(*tensor.shape[:2]):
        row, column = (y + pad_top) // kh, (x + pad_left) // kw
        if row < oh and column < ow:
            result[row, column] = np.maximum(result[row, column], tensor[y, x])
    return result


class GroupMonitor(Monitor):
    """Ignores the bytes that m_count leaves out."""

    def _item(self):
        data, count, last = super()._item()
        return data & 2 ** (8 * count) - 1, count, last


def drive_of(config):
    def drive(dut, rng, stalls):
        for height, width, channels, kh, kw, pad_top, pad_left, oh, ow in SHAPES:
            for enabled in (1, 0):
                tensor = np.random.default_rng(rng.getrandbits(32)).integers(-128, 128, (height, width, channels))
                fields = {"in_oh_minus1": height - 1, "in_ow_minus1": width - 1, "kh_minus1": kh - 1,
                          "kw_minus1": kw - 1, "pad_top": pad_top, "pad_left": pad_left, "oh_minus1": oh - 1,
                          "ow_minus1": ow - 1, "enabled": enabled, "start": 1}
                for name, value in fields.items():
                    dut.poke(name, value)
                dut.step()
                dut.poke("start", 0)
                source = Source(dut, "s", fields=("data", "count", "pixel_last", "last"), ready=None, rng=rng,
                                pauses=stalls.source_pauses(rng))
                monitor = GroupMonitor(dut, "m", fields=("data", "count", "last"), ready=None)
                sent = to_groups(tensor, config)
                source.send(*[(*group, int(i == len(sent) - 1)) for i, group in enumerate(sent)])
                result = pooled(tensor, kh, kw, pad_top, pad_left, oh, ow) if enabled else tensor
                wanted = to_groups(result, config)
                monitor.expect(*[(data, count, int(i == len(wanted) - 1))
                                 for i, (data, count, _) in enumerate(wanted)])
                transfer(dut, source, monitor)
                if not enabled:
                    assert [m - s for m, s in zip(monitor.cycles, source.cycles, strict=True)] == (
                        [POOL_LATENCY] * len(sent))

    return drive


CONFIGS = (HardwareConfig(rows=4, lanes=4, pool_depth=32), HardwareConfig(rows=8, lanes=8, req_lanes=4, pool_depth=32))
CASES = [
    BlockCase(f"pool_{config.req_lanes}", pool, ports_of(config), drive_of(config), params={"config": config},
              stalls=("none", "source"), vhdl_compare={"m_data": "m_valid", "m_count": "m_valid", "m_last": "m_valid"})
    for config in CONFIGS
]


@across(CASES)
def test_pool(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
