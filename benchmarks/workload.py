"""Networks and images that the hardware benchmarks run, and how they run them."""

import numpy as np

from accel import ir
from accel.compile import compile_graph
from accel.config import HardwareConfig
from accel.fixedpoint import qrange
from accel.model_dir import load
from accel.reference import encode_input
from accel.synthetic import random_weights
from quant.data import datasets
from sim import cli, comparison
from sim.accelerator import open_accelerator

MODEL = "lenet5-int8"
SIZES = ((4, 4), (8, 8), (16, 16))
SUMS = {8: (43, 20_000), 4: (39, 500), 2: (37, 30), 1: (0, 20)}  # bits: shift that brings sums to them, largest bias


def lenet():
    return load(MODEL)


def mnist(graph, data_dir, count):
    """(input integers, labels) of the first `count` test images."""
    images, labels = datasets.load("mnist", data_dir)
    return encode_input(graph, images[:count]), labels[:count]


def digits(graph, count):
    """(input integers, labels) of the first `count` digits that ship."""
    images, labels = datasets.load("digits")
    return encode_input(graph, images[:count]), labels[:count]


def one_build(graphs, size, precisions, **options):
    """The configuration of one accelerator that holds any of the networks, one at a time; options: other fields."""
    return comparison.shared_config(graphs, HardwareConfig(*size, precisions=precisions, **options))


def accelerator(config):
    """The converted Verilog in Verilator, without a program."""
    return open_accelerator(config, "verilator")


def compare(accelerator, graph, inputs, **options):
    """(program, NetworkRun) of a network on an open accelerator; options go to compare_on."""
    program = compile_graph(graph, accelerator.config)
    return program, comparison.compare_on(accelerator, graph, program, inputs, **options)


def loaded(program):
    """The converted Verilog in Verilator, loaded with a program."""
    accelerator = open_accelerator(program.config, "verilator")
    accelerator.load(program)
    return accelerator


def convolution(channels_in, channels_out, side, bits=8, seed=1):
    """A graph of one 3x3 convolution with padding 1 on side x side pixels: random weights, everything `bits` wide."""
    rng = np.random.default_rng(seed)
    low, high = qrange(bits)
    tensor = ir.TensorType(side, side, channels_in, bits, 0.02, -3 if bits == 8 else 0)
    output = ir.TensorType(side, side, channels_out, bits, 0.05, low if bits > 1 else 0)
    shift, reach = SUMS[bits]
    if bits == 1:
        rule = ir.Threshold(rng.integers(-20, 21, channels_out), np.arange(channels_out) % 4 == 3)
    else:
        multiplier = rng.integers(2**30, 2**31, channels_out)
        rule = ir.Requantize("half_up", multiplier, np.full(channels_out, shift), low, high)
    weights = random_weights(rng, (channels_out, 3, 3, channels_in), bits)
    middle = weights.sum(axis=(1, 2, 3)) * (sum(tensor.qrange) / 2 - tensor.zero_point)
    layer = ir.Conv2D(
        "conv",
        ir.INPUT_NAME,
        tensor,
        output,
        weights=weights,
        weight_bits=bits,
        weight_scale=np.full(channels_out, 0.01),
        bias=rng.integers(-reach, reach, channels_out) - middle.astype(np.int64),
        stride=(1, 1),
        pads=(1, 1, 1, 1),
        requantize=rule,
    )
    return ir.Graph("convolution", tensor, ir.InputEncoding("float"), (layer,))


def random_inputs(graph, count, seed=2):
    """Integers over the whole range of the input tensor."""
    return cli.random_inputs(graph, count, seed)
