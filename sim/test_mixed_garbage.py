"""Damaged widths in the descriptors of a mixed build: an error code or an end, no hang, and a core that restarts."""

import itertools
import random

import numpy as np
import pytest

from accel.compile import compile_graph
from accel.config import HardwareConfig, bits_code
from accel.descriptor import (
    DESCRIPTOR_STRIDE,
    ERROR_FIELD,
    ERROR_PRECISION,
    FIELDS,
    REGION_DESCRIPTORS,
    host_address,
)
from sim.accelerator import open_accelerator
from sim.cases.awkward import small
from sim.cases.graphs import images
from sim.cases.mixed import NAMED, every_mode, small_mixed
from sim.comparison import compare_on
from sim.driver import AcceleratorError
from sim.test_garbage import Bench, check_garbage, spoil
from sim.test_mixed import MEMORIES

CODES = ("compute_code", "weight_code", "input_code", "output_code")


@pytest.fixture(scope="module")
def bench():
    made = Bench(makers=NAMED, precisions=(8, 6, 4, 2, 1))
    yield made
    made.accelerator.close()


@pytest.fixture(autouse=True)
def look_often(monkeypatch):
    monkeypatch.setattr("sim.batch.STATUS_INTERVAL", 64)


def allowed(codes, config):
    """Whether a build runs a layer of these codes: it has all widths, and nothing is wider than the computation."""
    known = {bits_code(bits) for bits in config.modes}
    compute, weight, source, _ = codes
    return set(codes) <= known and weight >= compute and source >= compute


def combinations(rng, count):
    every = list(itertools.product(range(4), repeat=4))
    return rng.sample(every, count)


def check_codes(config, seed, count):
    """Each combination of codes in one layer: refused before the layer starts, or the program ends in some way."""
    rng = random.Random(seed)
    numbers = np.random.default_rng(seed)
    refused = 0
    with open_accelerator(config) as accelerator:
        graph = small_mixed(numbers) if config.modes[-1] == 1 else small(numbers)
        program = compile_graph(graph, config)
        q = images(numbers, graph, 1)
        for codes in combinations(rng, count):
            layer = rng.randrange(len(program.layers))
            descriptors = program.descriptors.copy()
            for name, code in zip(CODES, codes, strict=True):
                spoil(descriptors, layer, name, code)
            accelerator.load(program, changed(program, descriptors))
            try:
                accelerator.run([program.encode_input(q[0])], image_limit=20_000)
                code = (0, 0)
            except AcceleratorError:
                code = accelerator.error()
            if not allowed(codes, config):
                assert code == (ERROR_PRECISION, layer), f"layer {layer}, codes {codes}: {code}"
                refused += 1
            else:
                assert code != (ERROR_PRECISION, layer), f"layer {layer}, codes {codes}: {code}"
        assert not compare_on(accelerator, graph, program, q, layers=True).mismatches
    assert refused


def changed(program, descriptors):
    """Host writes of the descriptor words that differ from the program's."""
    base = host_address(REGION_DESCRIPTORS, 0)
    for layer, word in np.argwhere(descriptors != program.descriptors).tolist():
        yield base + layer * DESCRIPTOR_STRIDE + word, int(descriptors[layer, word])


@pytest.mark.parametrize("size,precisions", [(8, (8, 6, 4, 2, 1)), (4, (8, 4))], ids=str)
def test_every_combination_of_widths(size, precisions, seed):
    check_codes(HardwareConfig(size, size, precisions=precisions, **MEMORIES), seed, 60)


@pytest.mark.long
@pytest.mark.parametrize("precisions", [(8, 6, 4, 2, 1), (8, 4), (8, 1), (8, 2), (8, 4, 2)], ids=str)
@pytest.mark.parametrize("size", [4, 8])
def test_every_combination_of_widths_on_many_builds(precisions, size, seed):
    check_codes(HardwareConfig(size, size, precisions=precisions, **MEMORIES), seed, 256)


def test_a_tail_longer_than_a_word_is_refused(bench, seed):
    rng = np.random.default_rng(seed)
    graph = every_mode(rng)
    program = compile_graph(graph, bench.config)
    descriptors = program.descriptors.copy()
    spoil(descriptors, 2, "tail_bytes_minus1", bench.config.lanes)
    bench.accelerator.load(program)
    bench.start(descriptors)
    bench.run(program.encode_input(images(rng, graph, 1)[0]), seed)
    assert bench.accelerator.error() == (ERROR_FIELD + FIELDS["tail_bytes_minus1"].word, 2)
    bench.check_lenet(seed)


@pytest.mark.parametrize("kind", ["few", "all"])
def test_garbage_on_a_mixed_build_ends(bench, kind, seed):
    check_garbage(bench, kind, range(1000 * seed, 1000 * seed + 40))


@pytest.mark.long
@pytest.mark.parametrize("kind", ["few", "all"])
def test_much_garbage_on_a_mixed_build_ends(bench, kind, seed):
    check_garbage(bench, kind, range(10_000 * seed, 10_000 * seed + 1500))
