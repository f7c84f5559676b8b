"""Malformed descriptors on the whole accelerator: an error code or an end, no hang, and a core that starts again."""

import random

import numpy as np
import pytest

from accel import model_dir, reference
from accel.compile import compile_graph, fit_config
from accel.config import HardwareConfig
from accel.descriptor import (
    DESCRIPTOR_STRIDE,
    ERROR_FIELD,
    ERROR_OUTPUT_RANGE,
    ERROR_POOL,
    ERROR_PRECISION,
    ERROR_STARVED,
    ERROR_TEXT,
    FIELDS,
    MAGIC,
    NOT_ZERO,
    OP_DENSE,
    REG_IMAGES,
    REG_LAYERS,
    REGION_DESCRIPTORS,
    REGION_REGISTERS,
    WIDTH_FIELDS,
    host_address,
)
from quant.data.datasets import load
from sim.accelerator import open_accelerator
from sim.bus import STALLS
from sim.cases.awkward import NETWORKS, awkward
from sim.cases.graphs import images
from sim.driver import AcceleratorError

# Loop counts that keep a layer of garbage short, so that one that goes on for LIMIT cycles hangs.
SHORT = {
    "oh_minus1": 12,
    "ow_minus1": 12,
    "tiles_minus1": 3,
    "kwords_minus1": 5,
    "kh_minus1": 4,
    "in_words": 300,
    "row_elements_minus1": 15,
    "element_bytes_minus1": 60,
    "data_rows_minus1": 20,
    "bottom_rows": 10,
}
LIMIT = 200_000
SLICE = 10_000  # cycles, and beats of input for them


class Bench:
    """LeNet-5 at 8x8, and the programs that are spoilt on its hardware.

    makers: functions that make a network of a random generator. options go to the configuration.
    """

    def __init__(self, makers=NETWORKS, **options):
        self.makers = makers
        self.lenet = model_dir.load("lenet5-int8")
        # The noise that it streams in has no images, so nothing of it would reach the layers past a check of tlast.
        self.config = fit_config(self.lenet, HardwareConfig(rows=8, lanes=8, input_tlast=False, **options))
        self.right = compile_graph(self.lenet, self.config)
        self.digits = reference.encode_input(self.lenet, load("digits")[0])
        self.logits = reference.run(self.lenet, self.digits)[self.lenet.layers[-1].name]
        self.accelerator = open_accelerator(self.config)

    def limit(self, name):
        return min(FIELDS[name].limit(self.config), 2 ** FIELDS[name].bits - 1)

    def start(self, descriptors):
        """Write descriptors over those of the loaded program and start."""
        self.accelerator.stop()
        base = host_address(REGION_DESCRIPTORS, 0)
        self.accelerator.write_many(enumerate(np.ravel(descriptors).tolist(), base))
        self.accelerator.write(host_address(REGION_REGISTERS, REG_LAYERS), len(descriptors) - 1)
        self.accelerator.start()

    def run(self, data, seed, limit=SLICE):
        """Stream bytes in until an output, an error or the limit; returns (error code, whether an output came)."""
        stalls = STALLS[random.Random(seed).choice(list(STALLS))]
        try:
            self.accelerator.run([data], stalls, seed, isolated=False, image_limit=limit)
        except AcceleratorError as error:
            assert "m_axis" not in str(error), f"a broken output beat: {error}"
            return self.accelerator.error()[0], False
        return self.accelerator.error()[0], True

    def ends(self, rng):
        """Stream noise in until the program ends; returns its error code, None where it goes on for LIMIT cycles."""
        for _ in range(LIMIT // SLICE):
            code, came_out = self.run(rng.randbytes(SLICE * self.config.lanes), rng.randrange(1000))
            if code or came_out or self.accelerator.read(host_address(REGION_REGISTERS, REG_IMAGES)):
                return code
        return None

    def check_lenet(self, number):
        """A reload runs LeNet-5 as if nothing had happened."""
        index = number % len(self.digits)
        self.accelerator.load(self.right)
        run = self.accelerator.run([self.right.encode_input(self.digits[index])])
        assert np.array_equal(self.right.decode_output(run.outputs[0]), self.logits[index])
        assert run.cycles_per_image == [self.right.predicted_cycles]


@pytest.fixture(scope="module")
def bench():
    made = Bench()
    yield made
    made.accelerator.close()


@pytest.fixture(autouse=True)
def look_often(monkeypatch):
    monkeypatch.setattr("sim.batch.STATUS_INTERVAL", 64)


def spoil(descriptors, layer, name, value):
    """Put a value into a field, whatever its limit."""
    field = FIELDS[name]
    mask = (2**field.bits - 1) << field.low
    descriptors[layer][field.word] = int(descriptors[layer][field.word]) & ~mask | value << field.low & mask


def test_every_field_beyond_its_limit(bench, seed):
    rng = random.Random(seed)
    graph = awkward(np.random.default_rng(seed))
    program = compile_graph(graph, bench.config)
    data = program.encode_input(images(np.random.default_rng(seed), graph, 1)[0])
    wrong = [(name, bench.limit(name) + 1) for name in FIELDS if bench.limit(name) < 2 ** FIELDS[name].bits - 1]
    wrong += [(name, 0) for name in NOT_ZERO] + [("magic", MAGIC ^ 1 << bit) for bit in range(8)]
    assert len(wrong) > 25 and ("op", OP_DENSE + 1) in wrong
    for name, value in wrong:
        layer = rng.randrange(len(program.layers))
        descriptors = program.descriptors.copy()
        spoil(descriptors, layer, name, value)
        bench.accelerator.load(program)
        bench.start(descriptors)
        bench.run(data, rng.randrange(1000))
        code = ERROR_PRECISION if name in WIDTH_FIELDS else ERROR_FIELD + FIELDS[name].word
        assert bench.accelerator.error() == (code, layer), f"{name}={value}"
    bench.check_lenet(seed)


@pytest.mark.parametrize(
    "layer,changes,code",
    [
        (0, {"need_rows": 200}, ERROR_STARVED),
        (1, {"ring_slots_minus1": 0}, ERROR_STARVED),
        (0, {"in_words": 0}, ERROR_STARVED),
        (0, {"in_words": 97}, ERROR_STARVED),
        (1, {"in_words": 146}, ERROR_STARVED),
        (0, {"data_rows_minus1": 20, "in_words": 98}, ERROR_STARVED),
        (1, {"row_step": 255}, ERROR_STARVED),
        (0, {"oh_minus1": 2**16 - 1}, ERROR_STARVED),
        (0, {"pool_oh_minus1": 14}, ERROR_POOL),
        (1, {"pool_ow_minus1": 5}, ERROR_POOL),
        (1, {"pool_kh_minus1": 15}, ERROR_POOL),
        (0, {"out_base": 255}, ERROR_OUTPUT_RANGE),
        (1, {"out_base": 207}, ERROR_OUTPUT_RANGE),
        (2, {"out_base": 242}, ERROR_OUTPUT_RANGE),
    ],
)
def test_damage_to_lenet_has_its_code(bench, layer, changes, code, seed):
    descriptors = bench.right.descriptors.copy()
    for change in changes.items():
        spoil(descriptors, layer, *change)
    bench.accelerator.load(bench.right)
    bench.start(descriptors)
    bench.run(bench.right.encode_input(bench.digits[seed % len(bench.digits)]), seed, limit=40_000)
    assert bench.accelerator.error() == (code, layer)
    bench.check_lenet(seed)


@pytest.mark.parametrize("kind", ["few", "all"])
def test_garbage_within_the_limits_ends(bench, kind, seed):
    check_garbage(bench, kind, range(1000 * seed, 1000 * seed + 60))


@pytest.mark.long
@pytest.mark.parametrize("kind", ["few", "all"])
def test_much_garbage_within_the_limits_ends(bench, kind, seed):
    check_garbage(bench, kind, range(10_000 * seed, 10_000 * seed + 3000))


def check_garbage(bench, kind, numbers):
    """Each number gives a network with a few or all fields random: it ends with an error or runs through."""
    codes = set()
    for number in numbers:
        rng = random.Random(number)
        program = compile_graph(rng.choice(bench.makers)(np.random.default_rng(number)), bench.config)
        descriptors = program.descriptors.copy()
        count = len(program.layers)
        fields = [name for name in FIELDS if name not in ("magic", "op")]
        if kind == "few":
            chosen = [(rng.randrange(count), rng.choice(fields)) for _ in range(rng.randint(1, 3))]
        else:
            chosen = [(layer, name) for layer in range(count) for name in fields]
        chosen = [(layer, name, legal_value(rng, bench, name)) for layer, name in chosen]
        for change in chosen:
            spoil(descriptors, *change)
        bench.accelerator.load(program)
        bench.start(descriptors)
        code = bench.ends(rng)
        assert code is not None, f"number {number} hangs, {kind} fields changed: {chosen[:3]}"
        codes.add(code)
        if number % 8 == 0:
            bench.check_lenet(number)
    assert codes > {0}, "no error was provoked"
    assert codes <= set(ERROR_TEXT)


def legal_value(rng, bench, name):
    low = int(name in NOT_ZERO)
    high = min(bench.limit(name), SHORT.get(name, 2**16))
    return rng.choice([low, high, rng.randint(low, high), rng.randint(low, min(high, 8))])


def test_endless_layers_and_halves_of_images_are_aborted(bench, seed):
    rng = random.Random(seed)
    for number in range(24):
        if number % 2:
            bench.accelerator.load(bench.right)
        else:
            bench.start([descriptor_of_noise(rng, bench) for _ in range(len(bench.right.layers))])
        data = bench.right.encode_input(bench.digits[number])
        bench.run(data[: 8 * rng.randint(1, len(data) // 8)], number, limit=rng.randint(1, 9000))
        bench.check_lenet(number)


def descriptor_of_noise(rng, bench):
    """The words of a descriptor that passes the check, its loops as long as they can be."""
    words = [[0] * DESCRIPTOR_STRIDE]
    for name in FIELDS:
        spoil(words, 0, name, rng.randint(int(name in NOT_ZERO), bench.limit(name)))
    spoil(words, 0, "magic", MAGIC)
    return words[0]
