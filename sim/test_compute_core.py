"""The compute core on layers described by hand and on garbage: every tile of accumulators against a direct sum."""

import functools

from accel.config import HardwareConfig
from accel.descriptor import DESCRIPTOR_BITS, FIELDS, OP_CONV, OP_DENSE
from accel.rtl.compute_core import compute_core
from accel.rtl.line_buffer import LINE_READ_LATENCY
from accel.rtl.mac_array import mac_array_latency
from sim.bench import BlockCase, across, run_case
from sim.bus import STALLS, Sink, Source, run_cycles, run_until
from sim.layers import Shape, convolution, dense, describe, to_words
from sim.pipeline import flag, poke, reset, word

CONFIG = HardwareConfig(rows=4, lanes=4, weight_depth=256, act_depth=64, line_depth=64, param_depth=16, pool_depth=16)
SHAPES = (
    Shape(5, 6, 3, (3, 3), 5, pads=(1, 1, 1, 1)),
    Shape(6, 7, 1, (5, 3), 4, stride=(2, 1), pads=(0, 1, 2, 0)),
    Shape(4, 3, 5, (1, 1), 9, stride=(1, 2)),
    Shape(6, 5, 1, (3, 3), 4, pads=(1, 1, 1, 1), strip=True),
    Shape(7, 5, 2, (3, 2), 3, stride=(2, 1), pads=(1, 0, 0, 1), strip=True),
)
DENSE = ((4, 4), (1, 1), (37, 9), (40, 4))  # inputs, outputs


def ports():
    config = CONFIG
    return {
        "clk": flag(),
        "rst": reset(),
        "start": flag(),
        "s_data": word(config.word_bits),
        "s_valid": flag(),
        "s_ready": flag(),
        "act_enable": flag(),
        "act_address": word(config.act_addr_bits),
        "act_data": word(config.word_bits),
        "weight_we": flag(),
        "weight_waddr": word(config.weight_addr_bits),
        "weight_wrow": word(2),
        "weight_wpart": None,
        "weight_wdata": word(32),
        "layer": word(DESCRIPTOR_BITS),
        "result_data": word(config.result_bits),
        "result_valid": flag(),
        "result_ready": flag(),
        "result_tag": word(2),
        "issuing": flag(),
        "starved": flag(),
        "busy": flag(),
    }


class Memory:
    """The activation memory: registered data, held while act_enable is low."""

    name = "memory"

    def __init__(self, dut, rng):
        self.dut, self.cycles, self.data = dut, [], 0
        self.words = [rng.getrandbits(CONFIG.word_bits) for _ in range(CONFIG.act_depth)]

    def store(self, base, words):
        for at, value in enumerate(words):
            self.words[(base + at) % CONFIG.act_depth] = value

    def drive(self):
        poke(self.dut, act_data=self.data)

    def sample(self):
        if self.dut.peek("act_enable"):
            self.data = self.words[self.dut.peek("act_address")]


class Observer:
    """Counts the words that enter the array and notes `starved` and the layer's last tile."""

    name = "observer"

    def __init__(self, dut):
        self.dut, self.cycles, self.starved, self.last_tile = dut, [], 0, False

    def drive(self):
        pass

    def sample(self):
        dut = self.dut
        if dut.peek("issuing"):
            self.cycles.append(dut.cycle)
        self.starved += dut.peek("starved")
        self.last_tile |= bool(dut.peek("result_valid") and dut.peek("result_ready") and dut.peek("result_tag") & 2)


def load_weights(dut, base, words):
    for at, rows in enumerate(words):
        for row, data in enumerate(rows):
            poke(dut, weight_we=1, weight_waddr=base + at, weight_wrow=row, weight_wdata=to_words(data, 4)[0])
            dut.step()
    poke(dut, weight_we=0)
    dut.step(2)


def start_layer(dut, descriptor):
    poke(dut, layer=descriptor, start=1)
    dut.step()
    poke(dut, start=0)


def run_layer(dut, rng, stalls, memory, layer):
    """Load, run, compare every tile; the words that entered the array are as many as the loop nest has."""
    load_weights(dut, layer.fields["weight_base"], layer.weights)
    source = Source(dut, "s", rng=rng, pauses=stalls.source_pauses(rng))
    sink = Sink(dut, "result", fields=("data", "tag"), pauses=stalls.sink_pauses(rng))
    if layer.fields.get("from_stream"):
        source.send(*layer.words)
    else:
        memory.store(layer.fields["in_base"], layer.words)
    sink.expect(*layer.results)
    observer = Observer(dut)
    models = [memory, source, sink, observer]
    start_layer(dut, layer.descriptor)
    run_until(dut, models, lambda: source.done and sink.done and not dut.peek("busy"))
    run_cycles(dut, models, 3)
    sink.finish()
    blocks = (layer.fields.get("kh_minus1", 0) + 1) * (layer.fields["kwords_minus1"] + 1)
    assert len(observer.cycles) == len(layer.results) * blocks and not observer.starved
    if stalls.name == "none":
        latency = LINE_READ_LATENCY + mac_array_latency(CONFIG) + blocks - 1
        assert sink.cycles[0] - observer.cycles[0] == latency


def drive(dut, rng, stalls):
    memory = Memory(dut, rng)
    for number, shape in enumerate(SHAPES):
        in_base = rng.randrange(CONFIG.act_depth) if number % 2 else None
        run_layer(dut, rng, stalls, memory, convolution(rng, CONFIG, shape, in_base))
        if number < len(DENSE):
            run_layer(
                dut, rng, stalls, memory, dense(rng, CONFIG, *DENSE[number], in_base=rng.randrange(CONFIG.act_depth))
            )


def garbage(rng):
    """A descriptor within the limits, with loops short enough to wait for their end, and otherwise without sense."""
    short = {
        "in_words": 40,
        "prefill_words": 20,
        "data_rows_minus1": 12,
        "row_elements_minus1": 4,
        "element_bytes_minus1": 20,
        "oh_minus1": 4,
        "ow_minus1": 3,
        "tiles_minus1": 2,
        "kh_minus1": 2,
        "kwords_minus1": 3,
    }
    small = ("ring_slots_minus1", "top_rows", "bottom_rows", "need_rows", "row_step")
    fields = {}
    for name, position in FIELDS.items():
        limit = min(position.limit(CONFIG), 2**position.bits - 1)
        if name in small and rng.random() < 0.9:
            limit = 5
        fields[name] = rng.randint(0, short.get(name, limit))
    del fields["magic"]
    return fields | {"op": rng.choice((OP_CONV, OP_CONV, OP_DENSE))}


def run_garbage(dut, rng, stalls, memory):
    """Run one garbage layer to its end; returns whether it starved."""
    fields = garbage(rng)
    source = Source(dut, "s", rng=rng, pauses=stalls.source_pauses(rng))
    source.send(*[rng.getrandbits(CONFIG.word_bits) for _ in range(fields["in_words"])])
    sink = Sink(dut, "result", fields=("data", "tag"), pauses=stalls.sink_pauses(rng))
    observer = Observer(dut)
    start_layer(dut, describe(CONFIG, **fields))
    try:
        run_until(
            dut,
            [memory, source, sink, observer],
            lambda: (observer.last_tile or observer.starved) and not dut.peek("busy"),
            limit=6000,
        )
    except AssertionError as error:
        error.add_note(f"garbage layer {fields}")
        raise
    return bool(observer.starved)


def drive_garbage(dut, rng, stalls, layers=16):
    """Every garbage layer ends, with its last tile or with `starved`; a good layer runs correctly behind it."""
    memory, ends = Memory(dut, rng), set()
    for _ in range(layers):
        starved = run_garbage(dut, rng, stalls, memory)
        ends.add(starved)
        if starved:
            dut.reset()
    assert ends == {True, False}
    dut.reset()
    run_layer(dut, rng, STALLS["none"], memory, convolution(rng, CONFIG, SHAPES[0]))


def reads_memory(dut):
    """Whether act_address counts: a dense layer reads on in all cycles, for the array only in some."""
    operation = dut.peek("layer") >> FIELDS["op"].base & 3
    return dut.peek("issuing" if operation == OP_DENSE else "act_enable")


COMPARE = {"result_data": "result_valid", "result_tag": "result_valid", "act_address": reads_memory}
CASES = [
    BlockCase(
        "compute_core_4x4",
        compute_core,
        ports,
        drive,
        params={"config": CONFIG},
        stalls=("none", "both"),
        vhdl_compare=COMPARE,
    ),
    BlockCase(
        "compute_core_4x4_garbage",
        compute_core,
        ports,
        drive_garbage,
        params={"config": CONFIG},
        stalls=("both",),
        vhdl_compare=COMPARE,
    ),
]


@across(CASES)
def test_compute_core(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


def test_much_garbage_always_ends(seed):
    many = BlockCase(
        "compute_core_4x4_much_garbage",
        compute_core,
        ports,
        functools.partial(drive_garbage, layers=400),
        params={"config": CONFIG},
    )
    run_case(many, STALLS["none"], "verilator", seed)
