"""Networks of mixed widths: compiled programs, executed by the descriptor interpreter, equal the integer reference."""

import itertools

import numpy as np
import pytest

from accel.compile import compile_graph, fit_config, precisions_for
from accel.compile.precision import layer_precision
from accel.config import HardwareConfig
from accel.errors import FitError
from accel.ir import Graph, InputEncoding, TensorType
from tests.compile.test_programs import check
from tests.core import networks

ALL = (8, 6, 4, 2, 1)
SIZES = ((4, 8), (8, 8), (4, 16), (16, 4), (8, 32))


def build(rows=4, lanes=8, **options):
    return HardwareConfig(**{"rows": rows, "lanes": lanes, "precisions": ALL} | options)


def graph_of(*layers):
    return Graph("net", layers[0].input, InputEncoding("uint8" if layers[0].input.bits == 8 else "float"), layers)


@pytest.mark.parametrize("number", range(60))
def test_random_mixed_networks(number):
    rng = np.random.default_rng(number)
    rows, lanes = SIZES[number % len(SIZES)]
    widths = (8, 4, 2) if lanes == 4 else (8, 4, 2, 1)
    graph = networks.random_mixed_graph(rng, layers=int(rng.integers(1, 5)), max_side=7, max_channels=9, widths=widths)
    precisions = ALL if number % 2 else precisions_for(graph)
    config = fit_config(graph, build(rows, lanes, precisions=precisions))
    policy = ("feeder", "window", "random")[number % 3]
    check(graph, compile_graph(graph, config), networks.images(rng, graph, 2), policy)


@pytest.mark.parametrize("lanes", [4, 8, 16, 32])
@pytest.mark.parametrize("bits", list(itertools.product(ALL, (8, 4, 2, 1), (8, 4, 2, 1))))
def test_every_combination_of_widths(bits, lanes):
    """Weights, input, output: a convolution, from the stream, and one from the activation memory, all remainders."""
    weight_bits, input_bits, output_bits = bits
    rng = np.random.default_rng(sum(bits) * lanes)
    for channels in rng.choice(np.arange(1, 19), 2, replace=False):
        source = networks.tensor(rng, 3, 4, int(channels), input_bits)
        first = networks.conv(rng, "a", "input", source, 5, (2, 3), (1, 1), (1, 0, 1, 1), weight_bits=weight_bits,
                              output_bits=output_bits, spread=True)
        graph = graph_of(first)
        if layer_precision(first, build()).input_spread > lanes:
            with pytest.raises(FitError, match=r"a: 1-bit input computed in 8 bits needs 8 lanes but the build has 4"):
                compile_graph(graph, build(lanes=lanes))
            continue
        program = compile_graph(graph, fit_config(graph, build(lanes=lanes)))
        check(graph, program, networks.images(rng, graph, 1))
        assert program.layers[0].precision.output_bits == output_bits
