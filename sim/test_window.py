"""The window walker: every address of random layers against the loop nest of accel/descriptor.py, and starvation."""

import functools
from dataclasses import dataclass, field

from accel.config import HardwareConfig
from accel.descriptor import FIELDS
from accel.rtl.feed.window import PATIENCE_BITS, WINDOW_LATENCY, window
from sim.cases.bench import BlockCase, across, run_case
from sim.pipeline import flag, poke, reset, word

CONFIGS = {
    "4x4": HardwareConfig(rows=4, lanes=4, weight_depth=64, line_depth=32),
    "4x8_mixed": HardwareConfig(rows=4, lanes=8, weight_depth=32, line_depth=32, precisions=(8, 4, 2, 1)),
}
OPERAND = ("r_word", "r_offset", "m_address", "m_first", "m_last", "m_tag")
MIXED_OPERAND = ("m_part", "m_tail")
COUNTS = (
    "need_rows",
    "row_step",
    "oh_minus1",
    "ow_minus1",
    "tiles_minus1",
    "kh_minus1",
    "kwords_minus1",
)


def field_widths(config):
    line, weight, parts = config.line_addr_bits, config.weight_addr_bits, config.unpack_bits
    return {name: FIELDS[name].bits for name in COUNTS} | {
        "pixel_step": config.line_byte_bits,
        "line_kh_step": line + 1,
        "line_row_step": line + 1,
        "line_ring_words": line + 1,
        "weight_base": weight,
        "weight_row_step": weight + parts,
        "weight_ring_words": weight + parts + 1,
    }


def ports(config):
    mixed = config.mixed
    return {
        "clk": flag(),
        "rst": reset(),
        "start": flag(),
        "enable": flag(),
        "row_filled": flag(),
        "row_stuck": flag(),
        "row_released": flag(),
        "starved": flag(),
        "row_finished": flag(),
        "r_word": word(config.line_addr_bits),
        "r_offset": word(config.lane_bits),
        "m_address": word(config.weight_addr_bits),
        "m_valid": flag(),
        "m_first": flag(),
        "m_last": flag(),
        "m_tag": word(2),
        **{name: word(bits) for name, bits in field_widths(config).items()},
        "m_part": word(config.unpack_bits) if mixed else None,
        "m_tail": flag() if mixed else None,
        "weight_shift": word(2) if mixed else None,
        "byte_step": word(config.lane_bits + 1) if mixed else None,
    }


def random_layer(rng, config, **fixed):
    ring, weight_ring = rng.randint(1, config.line_depth), rng.randint(1, config.weight_depth << config.unpack_bits)
    widths = {"weight_shift": rng.randint(0, 3), "byte_step": config.lanes >> rng.randint(0, 3)} if config.mixed else {}
    return {
        "need_rows": rng.randint(0, 3),
        "row_step": rng.randint(0, 3),
        "oh_minus1": rng.randint(0, 3),
        "ow_minus1": rng.randint(0, 3),
        "tiles_minus1": rng.randint(0, 2),
        "kh_minus1": rng.randint(0, 2),
        "kwords_minus1": rng.randint(0, 3),
        "pixel_step": rng.choice((rng.randint(0, 9), rng.randrange(128))),
        **widths,
        "line_kh_step": rng.randrange(ring),
        "line_row_step": rng.randrange(ring),
        "line_ring_words": ring,
        "weight_base": rng.randrange(config.weight_depth),
        "weight_row_step": rng.randrange(weight_ring),
        "weight_ring_words": weight_ring,
        **fixed,
    }


def operand_rows(layer, config):
    """The operands of each output row, as the loop nest gives them."""
    count = {name: layer[f"{name}_minus1"] + 1 for name in ("oh", "ow", "tiles", "kh", "kwords")}
    lanes, line, weight_row = config.lanes, 0, 0
    step, shift = layer.get("byte_step", lanes), layer.get("weight_shift", 0)
    for oy in range(count["oh"]):
        row = []
        for ox in range(count["ow"]):
            for t in range(count["tiles"]):
                for kh in range(count["kh"]):
                    for k in range(count["kwords"]):
                        start = (line + kh * layer["line_kh_step"]) % layer["line_ring_words"]
                        at = start * lanes + ox * layer["pixel_step"] % (lanes * config.line_depth) + k * step
                        last_tile = t == count["tiles"] - 1
                        end = last_tile and ox == count["ow"] - 1 and oy == count["oh"] - 1
                        weight = weight_row + (t * count["kh"] + kh) * count["kwords"] + k
                        row.append(
                            (
                                at // lanes % config.line_depth,
                                at % lanes,
                                (layer["weight_base"] + (weight >> shift)) % config.weight_depth,
                                k == 0 and kh == 0,
                                k == count["kwords"] - 1 and kh == count["kh"] - 1,
                                last_tile + 2 * end,
                                weight % (1 << config.unpack_bits),
                                k == count["kwords"] - 1,
                            )
                        )
        yield row
        line = (line + layer["line_row_step"]) % layer["line_ring_words"]
        weight_row = (weight_row + layer["weight_row_step"]) % layer["weight_ring_words"]


@dataclass
class Walk:
    """One layer on the block: plays the feeder and the pipeline, compares every operand."""

    dut: object
    config: HardwareConfig
    layer: dict
    held: object
    rows: list = field(init=False)
    taken: int = 0  # operands that an enabled cycle has taken
    filled: int = 0
    released: int = 0
    starved: int = 0
    filled_at: list = field(default_factory=list)
    taken_at: list = field(default_factory=list)

    def __post_init__(self):
        self.rows = list(operand_rows(self.layer, self.config))
        self.names = OPERAND + MIXED_OPERAND * self.config.mixed
        self.operands = [(row, operand) for row, operands in enumerate(self.rows) for operand in operands]
        poke(self.dut, start=1, row_filled=0, row_stuck=0, **self.layer)
        self.dut.step()
        poke(self.dut, start=0)

    def needed(self, row):
        return self.layer["need_rows"] + row * self.layer["row_step"]

    def rows_taken(self):
        """Output rows whose last operand has been taken."""
        total, done = 0, 0
        for operands in self.rows:
            total += len(operands)
            done += total <= self.taken
        return done

    def cycle(self, fill=False, stuck=False):
        dut, enable = self.dut, not next(self.held)
        poke(dut, enable=enable, row_filled=fill, row_stuck=stuck)
        self.released += dut.peek("row_released")
        self.starved += dut.peek("starved")
        assert self.released <= self.rows_taken(), "a row was released before its last word was read"
        if enable and dut.peek("m_valid"):
            got = tuple(dut.peek(name) for name in self.names)
            assert self.taken < len(self.operands), f"operand {got} behind the end"
            row, expected = self.operands[self.taken]
            expected = expected[: len(got)]
            assert got == expected, f"{self.layer}: operand {self.taken}: expected {expected}, got {got}"
            assert self.needed(row) <= self.filled, f"row {row} was read with {self.filled} rows filled"
            self.taken += 1
            self.taken_at.append(dut.cycle)
        if fill:
            self.filled_at.append(dut.cycle)
        dut.step()
        self.filled += fill

    def run(self, limit, done, **inputs):
        for _ in range(limit):
            if done():
                return
            self.cycle(**{name: value() if callable(value) else value for name, value in inputs.items()})
        raise AssertionError(f"{self.taken} of {len(self.operands)} operands after {limit} cycles: {self.layer}")

    def finish(self):
        """Nothing more comes; every row has been released."""
        self.run(100, lambda: self.released == len(self.rows) and self.dut.peek("row_finished"))
        for _ in range(4):
            self.cycle()
        assert (self.taken, self.released, self.starved) == (len(self.operands), len(self.rows), 0)


def late_rows(dut, rng, stalls, config, layer):
    """Rows are filled one by one at random times, never more than the layer needs."""
    walk = Walk(dut, config, layer, stalls.sink_pauses(rng))
    last = walk.needed(len(walk.rows) - 1)
    walk.run(
        4000,
        lambda: walk.taken == len(walk.operands),
        fill=lambda: walk.filled < last and rng.random() < 0.15,
        stuck=lambda: walk.filled == last,
    )
    walk.finish()


def early_rows(dut, rng, stalls, config, layer):
    """All rows are filled at once: a word in every enabled cycle, no gap."""
    walk = Walk(dut, config, layer, stalls.sink_pauses(rng))
    last = walk.needed(len(walk.rows) - 1)
    walk.run(
        4000,
        lambda: walk.taken == len(walk.operands),
        fill=lambda: walk.filled < last,
        stuck=lambda: walk.filled == last,
    )
    walk.finish()
    if stalls.name == "none":
        assert walk.taken_at[-1] - walk.taken_at[0] == len(walk.operands) - 1, "a gap between operands"
        if layer["need_rows"]:
            assert walk.taken_at[0] == walk.filled_at[layer["need_rows"] - 1] + WINDOW_LATENCY


def starvation(dut, rng, stalls, config, layer):
    """The feeder stops one row short: the rows before it are read, then `starved` for one cycle."""
    walk = Walk(dut, config, layer, stalls.sink_pauses(rng))
    last = walk.needed(len(walk.rows) - 1) - 1
    walk.run(4000, lambda: walk.filled == last, fill=lambda: walk.filled < last)
    for _ in range(4 * 2**PATIENCE_BITS):
        walk.cycle()  # as long as the feeder is not stuck the walker waits
    assert not walk.starved
    walk.run(20 * 2**PATIENCE_BITS + 20 * len(walk.operands), lambda: walk.starved, stuck=True)
    readable = [row for row in range(len(walk.rows)) if walk.needed(row) <= last]
    assert walk.taken == sum(len(walk.rows[row]) for row in readable) and dut.peek("row_finished")
    for _ in range(8):
        walk.cycle(fill=True)
    assert walk.starved == 1 and not dut.peek("m_valid")


def drive(dut, rng, stalls, config):
    layer = functools.partial(random_layer, rng, config)
    for _ in range(6):
        late_rows(dut, rng, stalls, config, layer())
        early_rows(dut, rng, stalls, config, layer(row_step=rng.randint(0, 1), kwords_minus1=rng.randint(1, 4)))
    early_rows(
        dut,
        rng,
        stalls,
        config,
        layer(row_step=1, oh_minus1=5, ow_minus1=1, tiles_minus1=0, kh_minus1=0, kwords_minus1=0),
    )
    for _ in range(2):
        starvation(dut, rng, stalls, config, layer(need_rows=2, row_step=1, oh_minus1=2))
        late_rows(dut, rng, stalls, config, layer())


CASES = [
    BlockCase(
        f"window_{name}",
        window,
        functools.partial(ports, config),
        functools.partial(drive, config=config),
        params={"config": config},
        stalls=("none", "sink", "bursts"),
        vhdl_compare=dict.fromkeys(OPERAND + MIXED_OPERAND * config.mixed, "m_valid"),
    )
    for name, config in CONFIGS.items()
]


@across(CASES)
def test_layers(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
