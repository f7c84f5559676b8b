"""The line buffer: every byte address written and read, with stalls, against a bytearray."""

import functools
from collections import deque

from accel.config import HardwareConfig
from accel.rtl.feed.line_buffer import LINE_READ_LATENCY, LINE_WRITE_LATENCY, line_buffer
from sim.cases.bench import BlockCase, across, run_case
from sim.pipeline import flag, poke, word

CONFIGS = {
    "4x4": HardwareConfig(rows=4, lanes=4, line_depth=16),
    "8x8": HardwareConfig(rows=8, lanes=8, line_depth=16),
    "8x8_mixed": HardwareConfig(rows=8, lanes=8, line_depth=16, precisions=(8, 2), line_style="distributed"),
}


def ports(config):
    return {
        "clk": flag(),
        "w_enable": flag(),
        "w_address": word(config.line_byte_bits),
        "w_rotate": word(config.lane_bits),
        "w_data": word(config.word_bits),
        "w_end": word(config.lane_bits + 1),
        "enable": flag(),
        "r_word": word(config.line_addr_bits),
        "r_offset": word(config.lane_bits),
        "direct_select": flag(),
        "direct_data": word(config.word_bits),
        "r_data": word(config.word_bits),
        "direct_offset": word(config.lane_bits) if config.mixed else None,
    }


class Model:
    """The memory as bytes; a write is seen by reads LINE_WRITE_LATENCY cycles later."""

    def __init__(self, lanes, depth):
        self.lanes = lanes
        self.bytes = bytearray(lanes * depth)
        self.writes = deque([()] * (LINE_WRITE_LATENCY - 1))

    def cycle(self, write):
        """Take this cycle's write ((address, rotate, data, count) or None), apply the one that is due."""
        if write:
            address, rotate, data, count = write
            first = address % self.lanes + rotate
            self.writes.append(
                [((address + i) % len(self.bytes), data[(first + i) % self.lanes]) for i in range(count)]
            )
        else:
            self.writes.append(())
        for address, value in self.writes.popleft():
            self.bytes[address] = value

    def read(self, address):
        return bytes(self.bytes[(address + i) % len(self.bytes)] for i in range(self.lanes))


def random_write(rng, lanes, size, near):
    """Mostly whole words close to `near`, so that reads and writes meet."""
    count = rng.choice((lanes, rng.randint(1, lanes)))
    address = rng.choice((rng.randrange(size), (near + rng.randint(-lanes, lanes)) % size))
    return address, rng.randrange(lanes), rng.randbytes(lanes), count


def drive(dut, rng, stalls, config):
    lanes = config.lanes
    size = lanes * config.line_depth
    model, held, idle = Model(lanes, config.line_depth), stalls.sink_pauses(rng), stalls.source_pauses(rng)
    fill = [(at, at % lanes, rng.randbytes(lanes), lanes) for at in range(0, size, lanes)]
    # Then every read address, in order and at random, while random writes go on.
    reads = [*range(size), *[rng.randrange(size) for _ in range(300)]]
    cycle, issued, results, before = 0, 0, deque(), deque([(False, 0)] * 2)
    while issued < len(reads) + LINE_READ_LATENCY:
        stalled, address = next(held), reads[min(issued, len(reads) - 1)]
        write = None if next(idle) else random_write(rng, lanes, size, address)
        if cycle < len(fill):
            write, stalled = fill[cycle], True
        direct, direct_data = rng.random() < 0.2, rng.randbytes(lanes)
        offset = rng.randrange(lanes) if config.mixed else 0
        if config.mixed:
            poke(dut, direct_offset=offset)
        at, rotate, data, count = write or random_write(rng, lanes, size, address)
        poke(
            dut,
            w_enable=write is not None,
            w_address=at,
            w_rotate=rotate,
            w_data=int.from_bytes(data, "little"),
            w_end=at % lanes + count,
            enable=not stalled,
            r_word=address // lanes,
            r_offset=address % lanes,
            direct_select=direct,
            direct_data=int.from_bytes(direct_data, "little"),
        )
        if len(results) == LINE_READ_LATENCY:
            got = dut.peek("r_data").to_bytes(lanes, "little")
            assert got == results[0], f"cycle {cycle}, read {issued}: expected {results[0].hex()}, got {got.hex()}"
        dut.step()
        cycle += 1
        if not stalled:
            direct_before, offset_before = before.popleft()
            if direct_before:
                # The data comes two enabled cycles after its address and offset.
                results[-2] = direct_data[offset_before:] + direct_data[:offset_before]
            results.append(model.read(address))
            before.append((direct, offset))
            if len(results) > LINE_READ_LATENCY:
                results.popleft()
            issued += 1
        model.cycle(write)


CASES = [
    BlockCase(
        f"line_buffer_{name}",
        line_buffer,
        functools.partial(ports, config),
        functools.partial(drive, config=config),
        params={"config": config},
    )
    for name, config in CONFIGS.items()
]


@across(CASES)
def test_bytes_come_back(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
