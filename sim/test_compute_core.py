"""The compute core on layers described by hand and on garbage: every tile of accumulators against a direct sum."""

import functools
from dataclasses import asdict

import pytest

from accel.config import HardwareConfig
from accel.descriptor import DESCRIPTOR_BITS, FIELDS, OP_CONV, OP_DENSE
from accel.fixedpoint import pack
from accel.rtl.array.mac_array import mac_array_latency
from accel.rtl.compute_core import compute_core, operand_latency
from sim.bus import STALLS, Sink, Source, run_cycles, run_until
from sim.cases.bench import BlockCase, across, run_case
from sim.cases.layers import Shape, Widths, all_widths, convolution, dense, describe
from sim.pipeline import flag, poke, reset, word

CONFIG = HardwareConfig(rows=4, lanes=4, weight_depth=256, act_depth=64, line_depth=64, param_depth=16, pool_depth=16)
MIXED = HardwareConfig(
    rows=4,
    lanes=8,
    weight_depth=64,
    act_depth=64,
    line_depth=64,
    param_depth=16,
    pool_depth=16,
    precisions=(8, 6, 4, 2, 1),
)
SHAPES = (
    Shape(5, 6, 3, (3, 3), 5, pads=(1, 1, 1, 1)),
    Shape(6, 7, 1, (5, 3), 4, stride=(2, 1), pads=(0, 1, 2, 0)),
    Shape(4, 3, 5, (1, 1), 9, stride=(1, 2)),
    Shape(6, 5, 1, (3, 3), 4, pads=(1, 1, 1, 1), strip=True),
    Shape(7, 5, 2, (3, 2), 3, stride=(2, 1), pads=(1, 0, 0, 1), strip=True),
)
MIXED_SHAPES = (  # a kernel row that ends inside a word at every width, odd channels, a strip
    Shape(2, 2, 5, (2, 2), 5, pads=(1, 0, 0, 1)),
    Shape(1, 3, 9, (1, 3), 3, pads=(0, 0, 1, 1)),
    Shape(4, 2, 2, (3, 2), 3, stride=(2, 1), pads=(1, 0, 0, 1), strip=True),
)
DENSE = ((4, 4), (1, 1), (37, 9), (40, 4))  # inputs, outputs


def ports(config):
    parts = config.lanes // 4
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
        "weight_wpart": word((parts - 1).bit_length()) if parts > 1 else None,
        "weight_wdata": word(32),
        "layer": word(DESCRIPTOR_BITS),
        "result_data": word(config.result_bits),
        "result_valid": flag(),
        "result_ready": flag(),
        "result_tag": word(2),
        "issuing": flag(),
        "starved": flag(),
        "busy": flag(),
        "last_word": flag(),
        "waiting": flag(),
        "weight_packed_we": flag() if 6 in config.precisions else None,
    }


class Memory:
    """The activation memory: registered data, held while act_enable is low."""

    name, done = "memory", True

    def __init__(self, dut, rng, config):
        self.dut, self.cycles, self.data = dut, [], 0
        self.words = [rng.getrandbits(config.word_bits) for _ in range(config.act_depth)]

    def store(self, base, words):
        for at, value in enumerate(words):
            self.words[(base + at) % len(self.words)] = value

    def drive(self):
        poke(self.dut, act_data=self.data)

    def sample(self):
        if self.dut.peek("act_enable"):
            self.data = self.words[self.dut.peek("act_address")]


class Observer:
    """Counts the words that enter the array and notes `starved` and the layer's last tile.

    words: of s_*, that the layer takes: no more, the last one marked.
    """

    name = "observer"

    def __init__(self, dut, words):
        self.dut, self.cycles, self.starved, self.last_tile, self.words = dut, [], 0, False, words
        self.granted = True

    def drive(self):
        pass

    def sample(self):
        dut = self.dut
        if dut.peek("issuing"):
            self.cycles.append(dut.cycle)
        self.starved += dut.peek("starved")
        ready, valid = dut.peek("s_ready"), dut.peek("s_valid")
        assert not ready or self.words, "a word too many is taken from the stream"
        assert dut.peek("waiting") if ready and not valid else not (valid and dut.peek("waiting"))
        if ready:
            assert dut.peek("last_word") == (self.words == 1)
            self.words -= valid
        self.last_tile |= bool(dut.peek("result_valid") and self.granted and dut.peek("result_tag") & 2)
        self.granted = dut.peek("result_ready")


def load_weights(dut, config, base, words, bits=8):
    """Host writes of the bank; 6-bit weights go packed, three host words for four of the bank."""
    parts = config.lanes // 4
    data = [value for bank_word in words for row in bank_word for value in row]
    if bits == 6:
        packed = bytes(pack([value - 256 * (value > 127) for value in data], 6))
        writes = [(4 * (at // 12) + at % 12 // 4, packed[at : at + 4]) for at in range(0, len(packed), 4)]
    else:
        writes = [(at // 4, bytes(data[at : at + 4])) for at in range(0, len(data), 4)]
    enable = "weight_packed_we" if bits == 6 else "weight_we"
    poke(dut, **{enable: 1})
    for number, value in writes:
        poke(dut, weight_waddr=base + number // parts // config.rows, weight_wrow=number // parts % config.rows)
        poke(dut, weight_wdata=int.from_bytes(value, "little"))
        if parts > 1:
            poke(dut, weight_wpart=number % parts)
        dut.step()
    poke(dut, **{enable: 0})
    dut.step(3)


def start_layer(dut, descriptor):
    poke(dut, layer=descriptor, start=1)
    dut.step()
    poke(dut, start=0)


def run_layer(dut, rng, stalls, memory, layer, weight_bits=8):
    """Load, run, compare every tile; the words that entered the array are as many as the loop nest has."""
    config = layer.config
    load_weights(dut, config, layer.fields["weight_base"], layer.weights, weight_bits)
    source = Source(dut, "s", rng=rng, pauses=stalls.source_pauses(rng))
    sink = Sink(dut, "result", fields=("data", "tag"), early=True, pauses=stalls.sink_pauses(rng))
    from_stream = bool(layer.fields.get("from_stream"))
    if from_stream:
        source.send(*layer.words)
    else:
        memory.store(layer.fields["in_base"], layer.words)
        poke(dut, s_valid=1)  # the word behind the image: nobody may take it
        source = memory
    sink.expect(*layer.results)
    observer = Observer(dut, len(layer.words) * from_stream)
    models = [memory, *([source] if from_stream else []), sink, observer]
    start_layer(dut, layer.descriptor)
    run_until(dut, models, lambda: source.done and sink.done and not dut.peek("busy"))
    poke(dut, s_valid=0)
    run_cycles(dut, models, 3)
    sink.finish()
    blocks = (layer.fields.get("kh_minus1", 0) + 1) * (layer.fields["kwords_minus1"] + 1)
    assert len(observer.cycles) == len(layer.results) * blocks and not observer.starved
    if stalls.name == "none":
        latency = operand_latency(config) + mac_array_latency(config) + blocks - 1
        assert sink.cycles[0] - observer.cycles[0] == latency


def drive(dut, rng, stalls):
    memory = Memory(dut, rng, CONFIG)
    for number, shape in enumerate(SHAPES):
        in_base = rng.randrange(CONFIG.act_depth) if number % 2 else None
        run_layer(dut, rng, stalls, memory, convolution(rng, CONFIG, shape, in_base))
        if number < len(DENSE):
            run_layer(
                dut, rng, stalls, memory, dense(rng, CONFIG, *DENSE[number], in_base=rng.randrange(CONFIG.act_depth))
            )


def covering(combinations):
    """A few of the combinations that hold every value of each field: what MyHDL, which takes 13 ms a cycle, runs."""
    chosen, seen = [], set()
    for combination in combinations:
        values = set(asdict(combination).items())
        if values - seen:
            chosen.append(combination)
            seen |= values
    return chosen


def drive_mixed(dut, rng, stalls):
    """Every combination of widths, convolution and dense by turns, switched from layer to layer."""
    memory = Memory(dut, rng, MIXED)
    combinations = [*all_widths(MIXED), Widths(8, 6, 8), Widths(8, 6, 2)]
    rng.shuffle(combinations)
    if dut.engine == "myhdl":
        combinations = covering(combinations)
    for number, widths in enumerate(combinations):
        in_base = rng.randrange(MIXED.act_depth)
        shapes = MIXED_SHAPES[: 2 if widths.weight == 1 else 3]  # an unused slot of a strip needs a weight of 0
        if number % 2:
            shape = rng.choice(shapes)
            layer = convolution(rng, MIXED, shape, in_base if rng.getrandbits(1) else None, widths)
        else:
            layer = dense(rng, MIXED, rng.randint(1, 50), rng.randint(1, 5), in_base, widths)
        run_layer(dut, rng, stalls, memory, layer, widths.weight)


def garbage(rng, config):
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
        limit = min(position.limit(config), 2**position.bits - 1)
        if name in small and rng.random() < 0.9:
            limit = 5
        fields[name] = rng.randint(0, short.get(name, limit))
    del fields["magic"]
    return fields | {"op": rng.choice((OP_CONV, OP_CONV, OP_DENSE))}


def run_garbage(dut, rng, stalls, memory, config):
    """Run one garbage layer to its end; returns whether it starved."""
    fields = garbage(rng, config)
    source = Source(dut, "s", rng=rng, pauses=stalls.source_pauses(rng))
    source.send(*[rng.getrandbits(config.word_bits) for _ in range(fields["in_words"])])
    sink = Sink(dut, "result", fields=("data", "tag"), early=True, pauses=stalls.sink_pauses(rng))
    observer = Observer(dut, fields["in_words"])
    start_layer(dut, describe(config, **fields))
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


def drive_garbage(dut, rng, stalls, config=CONFIG, layers=16):
    """Every garbage layer ends, with its last tile or with `starved`; a good layer runs correctly behind it."""
    memory, ends = Memory(dut, rng, config), set()
    for number in range(layers):
        if dut.engine == "myhdl" and number >= 2 and len(ends) == 2:
            break
        starved = run_garbage(dut, rng, stalls, memory, config)
        ends.add(starved)
        if starved:
            dut.reset()
    assert ends == {True, False}
    dut.reset()
    run_layer(dut, rng, STALLS["none"], memory, convolution(rng, config, SHAPES[0]))


def reads_memory(dut):
    """Whether act_address counts: a dense layer reads on in all cycles, for the array only in some."""
    operation = dut.peek("layer") >> FIELDS["op"].base & 3
    return dut.peek("issuing" if operation == OP_DENSE else "act_enable")


COMPARE = {"result_data": "result_valid", "result_tag": "result_valid", "act_address": reads_memory}


def case(name, config, drive_layers, stalls, **options):
    ports_of = functools.partial(ports, config)
    return BlockCase(
        name,
        compute_core,
        ports_of,
        drive_layers,
        params={"config": config},
        stalls=stalls,
        vhdl_compare=COMPARE,
        **options,
    )


CASES = [
    case("compute_core_4x4", CONFIG, drive, ("none", "both")),
    case("compute_core_4x8_mixed", MIXED, drive_mixed, ("none", "both")),
    case("compute_core_4x4_garbage", CONFIG, drive_garbage, ("both",)),
    case("compute_core_4x8_mixed_garbage", MIXED, functools.partial(drive_garbage, config=MIXED), ("both",)),
]


@across(CASES)
def test_compute_core(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


@pytest.mark.parametrize("config", [CONFIG, MIXED], ids=["int8", "mixed"])
def test_much_garbage_always_ends(config, seed):
    drive_layers = functools.partial(drive_garbage, config=config, layers=400)
    run_case(case("compute_core_much_garbage", config, drive_layers, ("none",)), STALLS["none"], "verilator", seed)
