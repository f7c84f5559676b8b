"""Builds with several modes: one and the same hardware runs layers of every width, switched by their descriptors."""

from dataclasses import replace

import numpy as np
import pytest

from accel.compile import compile_graph
from accel.config import HardwareConfig
from accel.descriptor import REGION_SHIFT, REGION_WEIGHTS, REGION_WEIGHTS6
from accel.errors import FitError, RangeError, UnsupportedError
from accel.hdl.accelerator import preset_images, presets
from accel.reference import run as run_reference
from sim.accelerator import open_accelerator
from sim.cases import graphs as networks
from sim.cases.awkward import NETWORKS
from sim.cases.graphs import images, tensor
from sim.cases.mixed import NAMED, chain, every_mode, layer, random_mixed, remainder, small_mixed, switch
from sim.comparison import compare_on, run_network
from sim.test_many_networks import PATTERNS, check_network
from sim.test_top import MIXED

MEMORIES = {
    "weight_depth": 4096,
    "act_depth": 1024,
    "line_depth": 512,
    "param_depth": 512,
    "pool_depth": 256,
    "max_layers": 8,
}
# All widths; and a build without the row packing of multipliers, with other modes and wide groups.
CONFIG = HardwareConfig(rows=8, lanes=8, precisions=(8, 6, 4, 2, 1), **MEMORIES)
OTHER = HardwareConfig(rows=4, lanes=4, req_lanes=4, multiplier="18x18", precisions=(8, 4, 1), **MEMORIES)
REFUSED = (FitError, UnsupportedError, RangeError)


@pytest.fixture(scope="module")
def accelerator():
    with open_accelerator(CONFIG) as opened:
        yield opened


def check(accelerator, graph, rng, seed, count=2):
    stalls = str(rng.choice(list(PATTERNS)))
    check_network(accelerator, graph, images(rng, graph, count), seed, stalls)


def check_random(config, seed, count, **options):
    """`count` random networks; those that the configuration cannot hold are left out. Returns what ran."""
    ran = []
    with open_accelerator(config) as accelerator:
        for number in range(count):
            rng = np.random.default_rng([seed, number])
            graph = random_mixed(rng, widths=config.modes, **options)
            try:
                program = compile_graph(graph, config)
            except REFUSED:
                continue
            check(accelerator, graph, rng, seed)
            ran.append(program)
    assert len(ran) > count / 6  # four lanes refuse 1-bit inputs that are computed at 8 bits
    return ran


@pytest.mark.parametrize("make", NAMED)
def test_named_networks(accelerator, make, seed):
    rng = np.random.default_rng(seed)
    check(accelerator, make(rng), rng, seed, count=3)


@pytest.mark.parametrize("make", NETWORKS)
def test_int8_networks_run_on_a_mixed_build(accelerator, make, seed):
    rng = np.random.default_rng(seed)
    check(accelerator, make(rng), rng, seed)


def test_random_networks(seed):
    ran = check_random(CONFIG, seed, 24)
    widths = {plan.precision.compute_bits for program in ran for plan in program.layers}
    assert widths == set(CONFIG.modes) or seed != 1


def test_random_networks_on_another_build(seed):
    check_random(OTHER, seed, 12)


@pytest.mark.parametrize("bits", [8, 4, 2, 1])
def test_channels_that_leave_every_remainder(accelerator, bits, seed):
    """The rest of a word holds the neighbouring pixel's channels, or what an earlier layer left."""
    per_word = CONFIG.lanes * 8 // bits
    rng = np.random.default_rng(seed)
    counts = {*range(1, 18), per_word - 1, per_word, per_word + 1, per_word // 2 + 1, 2 * per_word - 1}
    for channels in sorted(counts):
        check(accelerator, remainder(rng, bits, channels), rng, seed)


def test_a_switch_of_the_mode_costs_nothing(accelerator, seed):
    """A layer takes as long behind a layer of its own mode as behind one of another."""
    rng = np.random.default_rng(seed)
    cycles = {}
    for before in CONFIG.modes:
        for after in CONFIG.modes:
            graph = switch(rng, before, after)
            check_network(accelerator, graph, images(rng, graph, 2), seed)
            cycles.setdefault(after, []).append(accelerator.counters(2)[1][0])
    assert all(len(set(counted)) == 1 for counted in cycles.values()), cycles


def test_weights_of_six_bits_are_written_packed(accelerator, seed):
    """Three host words hold what takes four at eight bits; memory images and wire give the same bank."""
    rng = np.random.default_rng(seed)
    source = tensor(rng, 5, 5, 4, 8)
    written = {}
    for bits in (8, 6):
        graph = chain(rng, f"w{bits}", layer(rng, "only", "input", source, 9, bits, 8, kernel=(2, 2)))
        writes = compile_graph(graph, CONFIG).host_writes()
        regions = [address >> REGION_SHIFT for address, _ in writes]
        written[bits] = regions.count(REGION_WEIGHTS), regions.count(REGION_WEIGHTS6)
        check(accelerator, graph, rng, seed)
    assert written[8][0] > 0 and written[6] == (0, written[8][0] * 3 // 4)


def test_mixed_networks_start_from_memory_images(seed, tmp_path):
    rng = np.random.default_rng(seed)
    graph = small_mixed(rng)
    program = compile_graph(graph, MIXED)
    for name, text in preset_images(program).items():
        (tmp_path / name).write_text(text)
    q = images(rng, graph, 2)
    expected = run_reference(graph, q)[graph.layers[-1].name]
    options = {"params": {"presets": presets(program, tmp_path)}, "memory_dir": tmp_path}
    with open_accelerator(MIXED, **options) as accelerator:
        run = accelerator.run([program.encode_input(image) for image in q], isolated=False, image_limit=20_000)
        assert np.array_equal([program.decode_output(output) for output in run.outputs], expected)


def test_power_up_contents_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    graph = every_mode(rng)
    with open_accelerator(CONFIG, power_up="random", seed=seed) as accelerator:
        check_network(accelerator, graph, images(rng, graph, 2), seed)


@pytest.mark.parametrize("engine", ["icarus", pytest.param("myhdl", marks=pytest.mark.long)])
def test_random_networks_on_other_engines(engine, seed):
    """Small ones, one after the other on one hardware."""
    config, modes = replace(CONFIG, rows=4, req_lanes=1), set()
    with open_accelerator(config, engine) as accelerator:
        for number in (0, 5):  # every mode for the default seed
            rng = np.random.default_rng([seed, number])
            graph = random_mixed(rng, max_channels=12, max_side=6)
            program = compile_graph(graph, config)
            run = compare_on(accelerator, graph, program, images(rng, graph, 1))
            assert not run.mismatches, "\n".join(map(str, run.mismatches))
            modes |= {plan.precision.compute_bits for plan in program.layers}
    assert modes == set(config.modes) or seed != 1


@pytest.mark.long
@pytest.mark.parametrize("engine", ["myhdl", "icarus"])
@pytest.mark.parametrize("make", NAMED)
def test_named_networks_on_other_engines(make, engine, seed):
    rng = np.random.default_rng(seed)
    graph = make(rng)
    program = compile_graph(graph, CONFIG)
    run = run_network(graph, program, images(rng, graph, 1), engine, layers=True)
    assert not run.mismatches, "\n".join(map(str, run.mismatches))


BUILDS = [(4, 4, 1), (4, 16, 4), (8, 8, 8), (16, 4, 2), (16, 16, 4), (16, 16, 16), (8, 32, 2)]


@pytest.mark.long
@pytest.mark.parametrize("size", BUILDS, ids=str)
@pytest.mark.parametrize("multiplier", ["25x18", "27x18", "18x18"])
def test_many_builds(size, multiplier, seed):
    rows, lanes, req_lanes = size
    config = HardwareConfig(
        rows, lanes, req_lanes=req_lanes, multiplier=multiplier, precisions=(8, 6, 4, 2, 1), **MEMORIES
    )
    check_named(config, seed)
    check_random(config, seed, 60, max_channels=6 * lanes)


@pytest.mark.long
@pytest.mark.parametrize("precisions", [(8, 6), (8, 4), (8, 2), (8, 1), (8, 4, 2), (8, 6, 2, 1), (8, 4, 1)], ids=str)
@pytest.mark.parametrize("size", [4, 8])
def test_subsets_of_the_modes(precisions, size, seed):
    check_random(HardwareConfig(size, size, precisions=precisions, **MEMORIES), seed, 60)


@pytest.mark.long
@pytest.mark.parametrize("size", [(4, 8), (8, 8)], ids=str)
def test_narrow_accumulators(size, seed):
    config = HardwareConfig(*size, acc_bits=16, precisions=(8, 4, 2, 1), **MEMORIES)
    check_random(config, seed, 120, weight_widths=(2, 1), max_channels=12)


def check_named(config, seed):
    rng = np.random.default_rng(seed)
    with open_accelerator(config) as accelerator:
        for make in NAMED:
            graph = make(rng)
            try:
                compile_graph(graph, config)
            except REFUSED as error:
                assert "input" in str(error) or "lanes" in str(error), error
                continue
            check(accelerator, graph, rng, seed)


@pytest.mark.parametrize("missing", [4, 2, 1])
def test_a_network_that_needs_an_absent_mode_is_refused(missing, seed):
    rng = np.random.default_rng(seed)
    graph = switch(rng, missing, missing)
    config = HardwareConfig(8, 8, precisions=[bits for bits in (8, 4, 2, 1) if bits != missing], **MEMORIES)
    with pytest.raises((FitError, UnsupportedError), match=f"(?s)first.*{missing}.*precisions"):
        compile_graph(graph, config)


def test_random_int8_networks_have_no_other_cycles_than_predicted(accelerator, seed):
    for number in range(4):
        rng = np.random.default_rng([seed, number])
        graph = networks.random_graph(rng, layers=3)
        check_network(accelerator, graph, networks.images(rng, graph, 2), seed)
