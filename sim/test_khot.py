"""Builds without multipliers: networks with few one bits in multipliers and weights, all three rounding rules."""

from dataclasses import replace

import numpy as np
import pytest

from accel.compile import compile_graph
from accel.config import SHIFT_ADD, HardwareConfig
from accel.errors import FitError
from accel.hdl.accelerator import preset_images, presets
from accel.ir import Requantize
from accel.names import REQUANTIZERS
from accel.reference import run as run_reference
from accel.rtl.array.shift_codes import CODES
from sim.accelerator import open_accelerator
from sim.cases.awkward import random_network
from sim.cases.graphs import images
from sim.cases.mixed import every_mode, random_mixed
from sim.test_many_networks import check_network

MEMORIES = {
    "weight_depth": 4096,
    "act_depth": 1024,
    "line_depth": 512,
    "param_depth": 512,
    "pool_depth": 256,
    "max_layers": 8,
}
BUILDS = {
    "pow2": HardwareConfig(rows=4, lanes=4, requantizer="pow2", **MEMORIES),
    "khot2": HardwareConfig(rows=8, lanes=8, requantizer="khot2", precisions=(8, 4, 1), **MEMORIES),
    "khot3": HardwareConfig(rows=4, lanes=4, requantizer="khot3", acc_bits=32, req_lanes=2, **MEMORIES),
}


def few_one_bits(graph, k):
    """The network with the highest k one bits of every multiplier."""
    layers = []
    for layer in graph.layers:
        rule = getattr(layer, "requantize", None)
        if isinstance(rule, Requantize):
            numbers = [int(number) for number in rule.multiplier]
            while any(number.bit_count() > k for number in numbers):
                numbers = [number & number - 1 if number.bit_count() > k else number for number in numbers]
            layer = replace(layer, requantize=replace(rule, multiplier=np.array(numbers)))
        layers.append(layer)
    return graph.with_layers(layers)


@pytest.mark.parametrize("name", BUILDS)
def test_networks_with_few_one_bits(name, seed):
    config, rules = BUILDS[name], set()
    with open_accelerator(config) as accelerator:
        for number in range(12):
            rng = np.random.default_rng([seed, number])
            graph = random_mixed(rng, widths=config.modes) if config.mixed else random_network(rng)
            graph = few_one_bits(graph, REQUANTIZERS[config.requantizer])
            try:
                compile_graph(graph, config)
            except FitError:
                continue
            check_network(accelerator, graph, images(rng, graph, 2), seed, "none")
            rules |= {
                layer.requantize.rule
                for layer in graph.layers
                if getattr(layer, "requantize", None) and isinstance(layer.requantize, Requantize)
            }
    assert len(rules) == 3 or seed != 1


def test_networks_on_a_build_without_any_multiplier(seed):
    config, ran = HardwareConfig(rows=4, lanes=4, multiplier=SHIFT_ADD, requantizer="khot2", **MEMORIES), 0
    assert config.dsp_estimate == 0
    weights = np.array(sorted(CODES))
    with open_accelerator(config) as accelerator:
        for number in range(12):
            rng = np.random.default_rng([seed, number])
            graph = few_one_bits(random_network(rng), 2)
            graph = graph.with_layers(
                [
                    layer if layer.op == "maxpool" else replace(layer, weights=rng.choice(weights, layer.weights.shape))
                    for layer in graph.layers
                ]
            )
            try:
                compile_graph(graph, config)
            except FitError:
                continue
            check_network(accelerator, graph, images(rng, graph, 2), seed, "both")
            ran += 1
    assert ran > 6


def test_other_multipliers_are_refused_by_name(seed):
    config = BUILDS["pow2"]
    graph = few_one_bits(random_network(np.random.default_rng([seed, 1])), 3)
    with pytest.raises(FitError, match="one bits but requantizer=pow2 takes 1"):
        compile_graph(graph, config)


def test_images_hold_the_positions(seed, tmp_path):
    config, rng = BUILDS["khot2"], np.random.default_rng(seed)
    graph = few_one_bits(every_mode(rng), 2)
    config = replace(config, precisions=(8, 4, 2, 1))
    program = compile_graph(graph, config)
    for name, text in preset_images(program).items():
        (tmp_path / name).write_text(text)
    q = images(rng, graph, 2)
    options = {"params": {"presets": presets(program, tmp_path)}, "memory_dir": tmp_path}
    with open_accelerator(config, **options) as accelerator:
        run = accelerator.run([program.encode_input(image) for image in q])
        outputs = [program.decode_output(output) for output in run.outputs]
    assert np.array_equal(outputs, run_reference(graph, q)[graph.layers[-1].name])
