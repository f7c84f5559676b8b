"""Other networks on the same hardware, loaded at run time; errors that end in a code and a core that starts again."""

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
    ERROR_STARVED,
    FIELDS,
    REGION_DESCRIPTORS,
    host_address,
)
from accel.ir import Graph, InputEncoding
from quant.data.datasets import load
from sim.accelerator import open_accelerator
from sim.bus import STALLS
from sim.cases import graphs as networks
from sim.comparison import compare_on, run_network, run_program
from sim.driver import AcceleratorError

# One configuration for all random networks, so that their Verilog is converted and compiled once.
CONFIG = HardwareConfig(
    rows=4, lanes=4, weight_depth=4096, act_depth=1024, line_depth=512, param_depth=256, pool_depth=256, max_layers=8
)


def awkward_network(seed):
    """All that LeNet-5 lacks: IC not a multiple of the lanes, uneven pads, stride 2, a non-square input, zero points,
    OC below the rows and not a multiple of them, the other two rounding rules, shifts per channel."""
    rng = np.random.default_rng(seed)
    source = networks.tensor(rng, 9, 13, 3)
    assert source.zero_point != 0
    first = networks.conv(rng, "first", "input", source, 5, (3, 3), (2, 2), (0, 1, 1, 0), "half_away")
    second = networks.conv(rng, "second", "first", first.output, 19, (3, 2), (1, 2), (2, 0, 0, 1), "gemmlowp")
    pool = networks.maxpool("pool", "second", second.output, (2, 2))
    last = networks.dense(rng, "last", "pool", pool.output, 7, "gemmlowp", raw=True)
    assert len(set(second.requantize.shift.tolist())) > 1
    return Graph("awkward", source, InputEncoding(), (first, second, pool, last))


@pytest.mark.parametrize("stalls", ["none", "bursts"])
def test_a_second_network_runs_on_the_same_hardware(stalls, seed):
    lenet = model_dir.load("lenet5-int8")
    program = compile_graph(lenet, fit_config(lenet, HardwareConfig(rows=8, lanes=8)))
    digits = reference.encode_input(lenet, load("digits")[0][:4])
    graph = awkward_network(seed)
    other = compile_graph(graph, program.config)
    images = networks.images(np.random.default_rng(seed), graph, 6)
    with open_accelerator(program.config) as accelerator:
        for network, code, q in ((lenet, program, digits), (graph, other, images), (lenet, program, digits)):
            run = compare_on(accelerator, network, code, q, layers=True, stalls=STALLS[stalls], seed=seed)
            assert not run.mismatches, "\n".join(map(str, run.mismatches[:5]))


@pytest.mark.parametrize("engine", ["myhdl", "icarus"])
def test_the_second_network_on_the_other_engines(engine, seed):
    graph = awkward_network(seed)
    images = networks.images(np.random.default_rng(seed), graph, 1)
    run = run_network(graph, compile_graph(graph, CONFIG), images, engine)
    assert not run.mismatches, "\n".join(map(str, run.mismatches))


@pytest.fixture(scope="module")
def accelerator():
    with open_accelerator(CONFIG) as opened:
        yield opened


@pytest.mark.parametrize("number", range(24))
def test_random_networks(accelerator, number, seed):
    rng = np.random.default_rng([seed, number])
    graph = networks.random_graph(rng, layers=int(rng.integers(1, 6)), max_side=9, max_channels=9)
    program = compile_graph(graph, CONFIG)
    images = networks.images(rng, graph, 3)
    stalls = list(STALLS.values())[number % len(STALLS)]
    run = compare_on(accelerator, graph, program, images, layers=True, stalls=stalls, seed=number)
    assert not run.mismatches, f"{program.layers}\n" + "\n".join(map(str, run.mismatches[:5]))
    steady = run_program(accelerator, program, images, isolated=False, stalls=stalls, seed=number)
    assert np.array_equal(steady.outputs, run.outputs)


def damaged(program, layer, **changes):
    """Host writes that replace descriptor fields of one layer, whatever their limit."""
    words = program.descriptors[layer].tolist()
    for name, value in changes.items():
        field = FIELDS[name]
        mask = (2**field.bits - 1) << field.low
        words[field.word] = words[field.word] & ~mask | value << field.low & mask
    base = host_address(REGION_DESCRIPTORS, layer * DESCRIPTOR_STRIDE)
    return [(base + index, word) for index, word in enumerate(words)]


@pytest.mark.parametrize(
    ("layer", "changes", "code"),
    [
        (0, {"magic": 0x00}, ERROR_FIELD + FIELDS["magic"].word),
        (1, {"weight_base": 4096}, ERROR_FIELD + FIELDS["weight_base"].word),
        (1, {"op": 3}, ERROR_FIELD + FIELDS["op"].word),
        (0, {"line_ring_words": 4096}, ERROR_FIELD + FIELDS["line_ring_words"].word),
        (1, {"oh_minus1": 500}, ERROR_STARVED),
        (0, {"out_base": 1022}, ERROR_OUTPUT_RANGE),
        (1, {"pool_oh_minus1": 60}, ERROR_POOL),
    ],
)
def test_a_damaged_descriptor_ends_in_an_error_code(accelerator, layer, changes, code, seed, monkeypatch):
    monkeypatch.setattr("sim.batch.STATUS_INTERVAL", 64)
    graph = awkward_network(seed)
    program = compile_graph(graph, CONFIG)
    images = networks.images(np.random.default_rng(seed), graph, 2)
    accelerator.load(program, damaged(program, layer, **changes))
    with pytest.raises(AcceleratorError):
        accelerator.run([program.encode_input(images[0])], image_limit=50_000)
    assert accelerator.error() == (code, layer)
    run = compare_on(accelerator, graph, program, images)
    assert not run.mismatches, "\n".join(map(str, run.mismatches))
