"""The feeder: every byte that it writes for random layers, in order, against the loop nest of accel/descriptor.py."""

from accel.config import HardwareConfig
from accel.descriptor import FIELDS
from accel.rtl.feed.feeder import feeder
from sim.bus import Source, pauses, run_cycles, run_until
from sim.cases.bench import BlockCase, across, run_case
from sim.pipeline import flag, poke, reset, word

CONFIG = HardwareConfig(rows=4, lanes=4, line_depth=64)
LANES, SIZE = CONFIG.lanes, CONFIG.lanes * CONFIG.line_depth
LAYER_FIELDS = (
    "pad_value",
    "in_words",
    "prefill_words",
    "ring_slots_minus1",
    "top_rows",
    "data_rows_minus1",
    "bottom_rows",
    "row_elements_minus1",
    "element_bytes_minus1",
    "element_gap",
    "slot_step",
    "data_offset",
    "row_step",
)


def ports():
    fields = {
        name: word(
            min(FIELDS[name].bits, CONFIG.line_byte_bits)
            if name in ("element_gap", "slot_step", "data_offset")
            else FIELDS[name].bits
        )
        for name in LAYER_FIELDS
    }
    return {
        "clk": flag(),
        "rst": reset(),
        "start": flag(),
        "row_released": flag(),
        "s_data": word(CONFIG.word_bits),
        "s_valid": flag(),
        "s_ready": flag(),
        "w_enable": flag(),
        "w_address": word(CONFIG.line_byte_bits),
        "w_rotate": word(CONFIG.lane_bits),
        "w_data": word(CONFIG.word_bits),
        "w_end": word(CONFIG.lane_bits + 1),
        "row_filled": flag(),
        "row_stuck": flag(),
        "busy": flag(),
        "last_word": flag(),
        "hungry": flag(),
        "row_finished": flag(),
        **fields,
    }


class Ring:
    """Watches the write port and plays the window: counts filled rows and releases them."""

    name = "ring"

    def __init__(self, dut, layer, pauses, hold=False):
        self.dut, self.layer, self.pauses, self.hold = dut, layer, pauses, hold
        self.writes, self.cycles, self.filled, self.released, self.words, self.stands = [], [], 0, 0, 0, 0

    def drive(self):
        release = not next(self.pauses) and not self.hold and self.filled > self.released * self.layer["row_step"]
        poke(self.dut, row_released=release)
        self.released += release

    def sample(self):
        dut = self.dut
        assert self.stands == 0 or dut.peek("w_enable") == 0, "it says that it stands still, but writes"
        self.stands = dut.peek("hungry") and not dut.peek("s_valid")
        if dut.peek("s_ready"):
            assert dut.peek("hungry")
            assert dut.peek("last_word") == (self.words == self.layer["in_words"] - 1)
            self.words += dut.peek("s_valid")
        if dut.peek("w_enable"):
            address, rotate = dut.peek("w_address"), dut.peek("w_rotate")
            count = dut.peek("w_end") - address % LANES
            assert 1 <= count <= LANES
            data = dut.peek("w_data").to_bytes(LANES, "little")
            self.writes += [((address + i) % SIZE, data[(address + i + rotate) % LANES]) for i in range(count)]
        if dut.peek("row_filled"):
            self.filled += 1
            self.cycles.append(dut.cycle)
            room = self.layer["ring_slots_minus1"] + 1 + self.released * self.layer["row_step"]
            assert self.filled <= max(room, self.layer["top_rows"]), "a row was written into a slot that is not free"


def random_layer(rng, **fixed):
    """Field values and the source bytes of a layer."""
    layer = {
        "pad_value": rng.getrandbits(8),
        "prefill_words": rng.randint(0, 9),
        "ring_slots_minus1": rng.randint(0, 5),
        "top_rows": rng.randint(0, 2),
        "data_rows_minus1": rng.randint(0, 5),
        "bottom_rows": rng.randint(0, 2),
        "row_elements_minus1": rng.randint(0, 4),
        "element_bytes_minus1": rng.randint(0, 11),
        "element_gap": rng.randint(0, 5),
        "slot_step": rng.randint(0, 40),
        "data_offset": rng.randrange(SIZE),
        "row_step": rng.randint(1, 3),
        **fixed,
    }
    size = (layer["data_rows_minus1"] + 1) * (layer["row_elements_minus1"] + 1) * (layer["element_bytes_minus1"] + 1)
    data = rng.randbytes(size + rng.randint(0, 3 * LANES))
    data += bytes(-len(data) % LANES)
    return {"in_words": len(data) // LANES, **layer}, data


def expected_writes(layer, data):
    """(bytes in order as (address, value), write cycles of each row)."""
    elements, size = layer["row_elements_minus1"] + 1, layer["element_bytes_minus1"] + 1
    slots, data_rows = layer["ring_slots_minus1"] + 1, layer["data_rows_minus1"] + 1
    writes = [(i % SIZE, layer["pad_value"]) for i in range(layer["prefill_words"] * LANES)]
    source, cycles = 0, []
    for row in range(data_rows + layer["bottom_rows"]):
        at = (layer["top_rows"] + row) % slots * layer["slot_step"] + layer["data_offset"]
        padding, pieces = row >= data_rows, 0
        for _ in range(elements):
            for i in range(size):
                writes.append(((at + i) % SIZE, layer["pad_value"] if padding else data[source + i]))
            pieces += -(-size // LANES) if padding else (source + size - 1) // LANES - source // LANES + 1
            source += 0 if padding else size
            at += size + layer["element_gap"]
        cycles.append(pieces)
    return writes, cycles


def begin(dut, layer):
    poke(dut, start=1, row_finished=0, row_released=0, **layer)
    dut.step()
    poke(dut, start=0)
    return dut.cycle - 1


def feed(dut, rng, stalls, data):
    source = Source(dut, "s", rng=rng, pauses=stalls.source_pauses(rng))
    source.send(*[int.from_bytes(data[at : at + LANES], "little") for at in range(0, len(data), LANES)], 0, 0)
    return source


def run_layer(dut, rng, stalls, layer, data, releases=None):
    """A whole layer: all bytes in order, all rows, exactly in_words words taken, idle and stuck at the end."""
    source = feed(dut, rng, stalls, data)
    ring = Ring(dut, layer, releases or stalls.sink_pauses(rng))
    started = begin(dut, layer)
    run_until(dut, [source, ring], lambda: not dut.peek("busy"), limit=5000)
    run_cycles(dut, [source, ring], 4)
    writes, cycles = expected_writes(layer, data)
    assert ring.filled == layer["top_rows"] + len(cycles)
    for index, (got, expected) in enumerate(zip(ring.writes, writes, strict=True)):
        assert got == expected, f"byte {index} of {layer}: expected {expected}, got {got}"
    assert len(source.cycles) == layer["in_words"] == ring.words
    assert dut.peek("row_stuck") and not dut.peek("s_ready")
    if stalls.name == "none" and layer["ring_slots_minus1"] >= ring.filled:
        first = started + 4 + layer["prefill_words"] + layer["top_rows"]
        assert layer["element_bytes_minus1"] < LANES - 1 or source.cycles[0] == first
        assert ring.cycles[-1] == first - 1 + sum(cycles) + len(cycles), f"not lanes bytes a cycle: {layer}"


def drive(dut, rng, stalls):
    for _ in range(4):
        run_layer(dut, rng, stalls, *random_layer(rng, ring_slots_minus1=15))
    for _ in range(12):
        run_layer(dut, rng, stalls, *random_layer(rng))
    for _ in range(4):  # a full ring whose slots are released in bursts, while the next rows begin
        layer, data = random_layer(
            rng,
            ring_slots_minus1=4,
            data_rows_minus1=19,
            row_step=1,
            row_elements_minus1=0,
            element_bytes_minus1=rng.randint(0, 5),
        )
        run_layer(dut, rng, stalls, layer, data, releases=pauses(rng, 0.7, burst=20))
    run_layer(dut, rng, stalls, *random_layer(rng, prefill_words=CONFIG.line_depth))
    run_layer(dut, rng, stalls, *random_layer(rng, element_bytes_minus1=299, row_elements_minus1=0, data_rows_minus1=1))
    full_ring(dut, rng, stalls)
    short_source(dut, rng, stalls)


def full_ring(dut, rng, stalls):
    """Without releases the feeder fills all slots and is stuck; when the window abandons it drops the rest."""
    layer, data = random_layer(rng, ring_slots_minus1=2, top_rows=1, data_rows_minus1=5, row_step=1)
    source, ring = feed(dut, rng, stalls, data), Ring(dut, layer, stalls.sink_pauses(rng), hold=True)
    begin(dut, layer)
    run_until(dut, [source, ring], lambda: ring.filled == 3)
    run_cycles(dut, [source, ring], 20)
    assert ring.filled == 3 and dut.peek("row_stuck") and dut.peek("busy")
    ring.hold = False
    run_until(dut, [source, ring], lambda: ring.filled == 4)
    ring.hold = True
    poke(dut, row_finished=1)
    run_until(dut, [source, ring], lambda: not dut.peek("busy"))
    assert len(source.cycles) == layer["in_words"] and ring.filled < 7


def short_source(dut, rng, stalls):
    """in_words ends within a row: the feeder takes them all, fills no further row and says so."""
    layer, data = random_layer(rng, ring_slots_minus1=9, data_rows_minus1=5, element_bytes_minus1=7)
    whole_row = (layer["row_elements_minus1"] + 1) * 8
    layer["in_words"] = (2 * whole_row + 4) // LANES
    source, ring = feed(dut, rng, stalls, data), Ring(dut, layer, stalls.sink_pauses(rng))
    begin(dut, layer)
    run_until(dut, [source, ring], lambda: not dut.peek("busy"))
    run_cycles(dut, [source, ring], 4)
    assert len(source.cycles) == layer["in_words"] and dut.peek("row_stuck")
    assert ring.filled == layer["top_rows"] + 2


CASES = [
    BlockCase(
        "feeder_4x4",
        feeder,
        ports,
        drive,
        params={"config": CONFIG},
        vhdl_compare=dict.fromkeys(("w_address", "w_rotate", "w_data", "w_end"), "w_enable"),
    )
]


@across(CASES)
def test_layers(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
