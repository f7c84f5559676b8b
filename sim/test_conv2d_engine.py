"""The Conv2D engine: the bytes of every window of random convolutions, and what happens without enough rows."""

import functools
from collections import deque

from accel.config import HardwareConfig
from accel.descriptor import DESCRIPTOR_BITS
from accel.rtl.feed.conv2d_engine import conv2d_engine
from accel.rtl.feed.line_buffer import LINE_READ_LATENCY
from sim.bus import Source, run_until
from sim.cases.bench import BlockCase, across, run_case
from sim.cases.layers import INT8, Shape, all_widths, convolution, describe
from sim.pipeline import flag, poke, reset, word

CONFIGS = {
    "4x4": HardwareConfig(rows=4, lanes=4, weight_depth=256, line_depth=64),
    "4x8_mixed": HardwareConfig(rows=4, lanes=8, weight_depth=64, line_depth=64, precisions=(8, 4, 2, 1)),
}
NAMES = ("m_address", "m_first", "m_last", "m_tag")
MIXED_NAMES = ("m_part", "m_tail")
SHAPES = (
    Shape(5, 6, 3, (3, 3), 5, pads=(1, 1, 1, 1)),
    Shape(6, 7, 1, (5, 3), 4, stride=(2, 1), pads=(0, 1, 2, 0)),
    Shape(4, 3, 5, (1, 1), 9, stride=(1, 2)),
    Shape(6, 6, 2, (3, 3), 4, stride=(2, 2), pads=(0, 1, 0, 1)),
    Shape(1, 1, 13, (1, 1), 3),
    Shape(6, 5, 1, (3, 3), 4, pads=(1, 1, 1, 1), strip=True),
    Shape(7, 5, 2, (3, 2), 6, stride=(2, 1), pads=(1, 0, 0, 1), strip=True),
)


def ports(config):
    mixed = config.mixed
    return {
        "clk": flag(),
        "rst": reset(),
        "start": flag(),
        "enable": flag(),
        "s_data": word(config.word_bits),
        "s_valid": flag(),
        "s_ready": flag(),
        "direct_select": flag(),
        "direct_data": word(config.word_bits),
        "layer": word(DESCRIPTOR_BITS),
        "operand": word(config.word_bits),
        "m_address": word(config.weight_addr_bits),
        "m_valid": flag(),
        "m_first": flag(),
        "m_last": flag(),
        "m_tag": word(2),
        "starved": flag(),
        "busy": flag(),
        "last_word": flag(),
        "hungry": flag(),
        "direct_offset": word(config.lane_bits) if mixed else None,
        "m_part": word(config.unpack_bits) if mixed else None,
        "m_tail": flag() if mixed else None,
        "weight_shift": word(2) if mixed else None,
        "byte_step": word(config.lane_bits + 1) if mixed else None,
    }


class Pipeline:
    """The consumer: compares addresses at once and bytes LINE_READ_LATENCY enabled cycles later."""

    name = "pipeline"

    def __init__(self, dut, layer, held):
        self.dut, self.expected, self.held, self.config = dut, layer.operands, held, layer.config
        self.names = NAMES + MIXED_NAMES * layer.config.mixed
        self.taken, self.starved, self.enabled, self.cycles = 0, 0, False, []
        self.waiting = deque([None] * LINE_READ_LATENCY)

    def drive(self):
        self.enabled = not next(self.held)
        poke(self.dut, enable=self.enabled)

    def sample(self):
        dut = self.dut
        self.starved += dut.peek("starved")
        if not self.enabled:
            return
        self.compare(self.waiting.popleft())
        if not dut.peek("m_valid"):
            self.waiting.append(None)
            return
        got = tuple(dut.peek(name) for name in self.names)
        assert self.taken < len(self.expected), f"operand {got} behind the end"
        assert got == self.expected[self.taken][1 : 1 + len(got)], (
            f"operand {self.taken}: expected {self.expected[self.taken]}, got {got}"
        )
        self.waiting.append(self.taken)
        self.cycles.append(dut.cycle)
        self.taken += 1

    def compare(self, index):
        if index is None:
            return
        got = self.dut.peek("operand").to_bytes(self.config.lanes, "little")
        for lane, value in enumerate(self.expected[index][0]):
            assert value is None or got[lane] == value, (
                f"operand {index}, lane {lane}: expected {value}, got {got[lane]}"
            )

    @property
    def done(self):
        return self.taken == len(self.expected) and not any(index is not None for index in self.waiting)


def begin(dut, rng, stalls, layer):
    source = Source(dut, "s", rng=rng, pauses=stalls.source_pauses(rng))
    source.send(*layer.words)
    poke(dut, layer=layer.descriptor, start=1)
    dut.step()
    poke(dut, start=0)
    return source, Pipeline(dut, layer, stalls.sink_pauses(rng))


def set_widths(dut, config, widths):
    if config.mixed:
        poke(dut, weight_shift=widths.weight_shift, byte_step=config.lanes >> widths.input_shift)


def run_layer(dut, rng, stalls, config, shape, widths=INT8):
    set_widths(dut, config, widths)
    layer = convolution(rng, config, shape, widths=widths)
    source, pipeline = begin(dut, rng, stalls, layer)
    run_until(dut, [source, pipeline], lambda: pipeline.done and source.done and not dut.peek("busy"))
    assert not pipeline.starved


def starve(dut, rng, stalls, config):
    """One output row more than the rows allow: all real rows are read, `starved` comes, the source is still drained."""
    set_widths(dut, config, INT8)
    layer = convolution(rng, config, SHAPES[0])
    layer.operands = [(*operand[:4], operand[4] & 1, *operand[5:]) for operand in layer.operands]
    layer.fields["oh_minus1"] += 1
    source, pipeline = begin(dut, rng, stalls, layer)
    run_until(dut, [source, pipeline], lambda: pipeline.starved and not dut.peek("busy"))
    assert pipeline.taken == len(layer.operands) and pipeline.starved == 1 and source.done


def bypass(dut, rng, config):
    """Dense words pass by the buffer, in a mixed build from the byte on that came with their address."""
    lanes = config.lanes
    words, offsets = [rng.randbytes(lanes) for _ in range(12)], [0] * 12
    poke(dut, layer=describe(config), enable=1, direct_select=1)
    dut.step(LINE_READ_LATENCY)
    for cycle in range(len(words)):
        if config.mixed:
            offsets[cycle] = rng.randrange(lanes)
            poke(dut, direct_offset=offsets[cycle])
        poke(dut, direct_data=int.from_bytes(words[cycle - 2], "little"))
        dut.step()
        late = cycle + 1 - LINE_READ_LATENCY
        got = dut.peek("operand").to_bytes(lanes, "little")
        assert late < 0 or got == words[late][offsets[late] :] + words[late][: offsets[late]]
    poke(dut, direct_select=0)


def drive(dut, rng, stalls, config):
    for shape in SHAPES:
        run_layer(dut, rng, stalls, config, shape)
    for widths in rng.sample(all_widths(config), 8) if config.mixed else ():
        strips = 0 if widths.weight == 1 else 2  # an unused slot needs a weight of 0
        run_layer(dut, rng, stalls, config, rng.choice(SHAPES[: len(SHAPES) - 2 + strips]), widths)
    bypass(dut, rng, config)
    starve(dut, rng, stalls, config)
    dut.reset()
    run_layer(dut, rng, stalls, config, SHAPES[1])


CASES = [
    BlockCase(
        f"conv2d_engine_{name}",
        conv2d_engine,
        functools.partial(ports, config),
        functools.partial(drive, config=config),
        params={"config": config},
        vhdl_compare=dict.fromkeys(("operand", *NAMES, *MIXED_NAMES * config.mixed), "m_valid"),
    )
    for name, config in CONFIGS.items()
]


@across(CASES)
def test_windows(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
