"""The output writer: words of random layers to memory or stream, the end of the layer, both kinds of error."""

from accel.config import HardwareConfig
from accel.rtl.output.output_writer import OUTPUT_LATENCY, output_writer
from sim.cases.bench import BlockCase, across, run_case
from sim.pipeline import flag, poke, reset, word

CONFIG = HardwareConfig(rows=4, lanes=4, act_depth=32)
STREAM_DEPTH, IN_FLIGHT, END_DELAY = 16, 10, 5
FLAGS = ("mem_we", "m_valid", "layer_end", "range_error", "pool_error")


def ports():
    config = CONFIG
    return {
        "clk": flag(),
        "rst": reset(),
        "start": flag(),
        "to_stream": flag(),
        "out_base": word(config.act_addr_bits),
        "level": word(STREAM_DEPTH.bit_length()),
        "s_data": word(config.word_bits),
        "s_keep": word(config.lanes),
        "s_valid": flag(),
        "s_last": flag(),
        "s_end": flag(),
        "launch_ok": flag(),
        "mem_we": flag(),
        "mem_address": word(config.act_addr_bits),
        "m_data": word(config.word_bits),
        "m_keep": word(config.lanes),
        "m_last": flag(),
        "m_valid": flag(),
        "layer_end": flag(),
        "range_error": flag(),
        "pool_error": flag(),
    }


def drive(dut, rng, stalls):
    """Layers of (to_stream, out_base, words, with a word marked last, s_end this many cycles before the last word)."""
    paused = stalls.source_pauses(rng)
    layers = [
        (0, 0, CONFIG.act_depth, True, 0),
        (0, 31, 1, True, 0),
        (0, 30, 6, True, 2),
        (1, 7, 50, True, END_DELAY),
        (0, 0, 3, False, 1),
        (1, 0, 0, False, 0),
        (0, 9, 2, True, -2),
    ]
    layers += [
        (rng.getrandbits(1), rng.randrange(32), rng.randint(1, 12), rng.random() < 0.8, rng.randint(0, END_DELAY))
        for _ in range(12)
    ]
    for to_stream, base, words, marked, ahead in layers:
        poke(dut, start=1, to_stream=to_stream, out_base=base, s_valid=0, s_end=0)
        dut.step()
        poke(dut, start=0, out_base=rng.randrange(32))
        valids = [False] * END_DELAY
        while sum(valids) < words:
            valids.append(not next(paused))
        run_layer(dut, rng, to_stream, base, valids, marked, len(valids) - 1 - ahead)


def run_layer(dut, rng, to_stream, base, valids, marked, end):
    """A word in each cycle of `valids` that is true, s_end in cycle `end`."""
    words, sent = sum(valids), 0
    layer_end = end + END_DELAY + OUTPUT_LATENCY
    expected, fields = dict.fromkeys(FLAGS, 0), {}
    for cycle in range(layer_end + 4):
        valid = cycle < len(valids) and valids[cycle]
        last = marked and sent == words - 1
        level = rng.randint(0, STREAM_DEPTH)
        item = {
            "s_data": rng.getrandbits(CONFIG.word_bits),
            "s_keep": rng.getrandbits(CONFIG.lanes),
            "s_last": last if valid else rng.getrandbits(1),
        }
        poke(dut, s_valid=valid, s_end=cycle == end, level=level, **item)
        expected["layer_end"] = cycle == layer_end
        expected["pool_error"] = cycle == layer_end and not marked
        for name, value in {**expected, **fields}.items():
            assert dut.peek(name) == value, f"cycle {cycle}: {name} expected {value}, got {dut.peek(name)}"
        dut.step()
        assert dut.peek("launch_ok") == (not to_stream or level < STREAM_DEPTH - IN_FLIGHT), (
            f"launch_ok at level {level}"
        )
        inside = base + sent < CONFIG.act_depth
        expected = {
            "mem_we": valid and not to_stream and inside,
            "m_valid": valid and to_stream,
            "range_error": valid and not to_stream and not inside,
        }
        fields = {}
        if valid and (to_stream or inside):
            fields = {"m_data": item["s_data"], "m_keep": item["s_keep"], "m_last": item["s_last"]}
            if not to_stream:
                fields["mem_address"] = base + sent
        sent += valid


CASES = [
    BlockCase(
        "output_writer_4x4",
        output_writer,
        ports,
        drive,
        params={"config": CONFIG, "stream_depth": STREAM_DEPTH, "in_flight": IN_FLIGHT, "end_delay": END_DELAY},
        stalls=("none", "source", "bursts"),
    )
]


@across(CASES)
def test_layers(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
