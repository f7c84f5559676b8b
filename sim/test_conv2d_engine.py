"""The Conv2D engine: the bytes of every window of random convolutions, and what happens without enough rows."""

from collections import deque

from accel.config import HardwareConfig
from accel.descriptor import DESCRIPTOR_BITS
from accel.rtl.conv2d_engine import conv2d_engine
from accel.rtl.line_buffer import LINE_READ_LATENCY
from sim.bench import BlockCase, across, run_case
from sim.bus import Source, run_until
from sim.layers import Shape, convolution, describe
from sim.pipeline import flag, poke, reset, word

CONFIG = HardwareConfig(rows=4, lanes=4, weight_depth=256, line_depth=64)
SHAPES = (
    Shape(5, 6, 3, (3, 3), 5, pads=(1, 1, 1, 1)),
    Shape(6, 7, 1, (5, 3), 4, stride=(2, 1), pads=(0, 1, 2, 0)),
    Shape(4, 3, 5, (1, 1), 9, stride=(1, 2)),
    Shape(6, 6, 2, (3, 3), 4, stride=(2, 2), pads=(0, 1, 0, 1)),
    Shape(1, 1, 13, (1, 1), 3),
    Shape(6, 5, 1, (3, 3), 4, pads=(1, 1, 1, 1), strip=True),
    Shape(7, 5, 2, (3, 2), 6, stride=(2, 1), pads=(1, 0, 0, 1), strip=True),
)


def ports():
    config = CONFIG
    return {
        "clk": flag(),
        "rst": reset(),
        "start": flag(),
        "enable": flag(),
        "s_data": word(config.word_bits),
        "s_valid": flag(),
        "s_ready": flag(),
        "direct": flag(),
        "direct_data": word(config.word_bits),
        "layer": word(DESCRIPTOR_BITS),
        "operand": word(config.word_bits),
        "w_address": word(config.weight_addr_bits),
        "m_valid": flag(),
        "m_first": flag(),
        "m_last": flag(),
        "m_tag": word(2),
        "starved": flag(),
        "busy": flag(),
    }


class Pipeline:
    """The consumer: compares addresses at once and bytes LINE_READ_LATENCY enabled cycles later."""

    name = "pipeline"

    def __init__(self, dut, layer, held):
        self.dut, self.expected, self.held = dut, layer.operands, held
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
        got = tuple(dut.peek(name) for name in ("w_address", "m_first", "m_last", "m_tag"))
        assert self.taken < len(self.expected), f"operand {got} behind the end"
        assert got == self.expected[self.taken][1:], (
            f"operand {self.taken}: expected {self.expected[self.taken]}, got {got}"
        )
        self.waiting.append(self.taken)
        self.cycles.append(dut.cycle)
        self.taken += 1

    def compare(self, index):
        if index is None:
            return
        got = self.dut.peek("operand").to_bytes(CONFIG.lanes, "little")
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


def run_layer(dut, rng, stalls, shape):
    layer = convolution(rng, CONFIG, shape)
    source, pipeline = begin(dut, rng, stalls, layer)
    run_until(dut, [source, pipeline], lambda: pipeline.done and source.done and not dut.peek("busy"))
    assert not pipeline.starved


def starve(dut, rng, stalls):
    """One output row more than the rows allow: all real rows are read, `starved` comes, the source is still drained."""
    layer = convolution(rng, CONFIG, SHAPES[0])
    layer.operands = [(lanes, address, first, last, tag & 1) for lanes, address, first, last, tag in layer.operands]
    layer.fields["oh_minus1"] += 1
    source, pipeline = begin(dut, rng, stalls, layer)
    run_until(dut, [source, pipeline], lambda: pipeline.starved and not dut.peek("busy"))
    assert pipeline.taken == len(layer.operands) and pipeline.starved == 1 and source.done


def bypass(dut, rng):
    """Dense words pass by the buffer unrotated."""
    words = [rng.getrandbits(CONFIG.word_bits) for _ in range(12)]
    poke(dut, layer=describe(CONFIG), enable=1, direct=1)
    dut.step(LINE_READ_LATENCY)
    for cycle, value in enumerate(words):
        poke(dut, direct_data=value)
        dut.step()
        late = cycle + 2 - LINE_READ_LATENCY
        assert late < 0 or dut.peek("operand") == words[late]
    poke(dut, direct=0)


def drive(dut, rng, stalls):
    for shape in SHAPES:
        run_layer(dut, rng, stalls, shape)
    bypass(dut, rng)
    starve(dut, rng, stalls)
    dut.reset()
    run_layer(dut, rng, stalls, SHAPES[1])


CASES = [
    BlockCase(
        "conv2d_engine_4x4",
        conv2d_engine,
        ports,
        drive,
        params={"config": CONFIG},
        vhdl_compare={
            "operand": "m_valid",
            "w_address": "m_valid",
            "m_first": "m_valid",
            "m_last": "m_valid",
            "m_tag": "m_valid",
        },
    )
]


@across(CASES)
def test_windows(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
