"""Networks and images that the hardware benchmarks run, and how they run them."""

import numpy as np

from accel import ir
from accel.compile import compile_graph
from accel.config import HardwareConfig
from accel.model_dir import load
from accel.reference import encode_input
from quant import datasets
from sim import cli, network
from sim.accelerator import open_accelerator

MODEL = "lenet5-int8"
SIZES = ((4, 4), (8, 8), (16, 16))


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


def one_build(graphs, size, precisions):
    """The configuration of one accelerator that holds any of the networks, one at a time."""
    return network.shared_config(graphs, HardwareConfig(*size, precisions=precisions))


def accelerator(config):
    """The converted Verilog in Verilator, without a program."""
    return open_accelerator(config, "verilator")


def compare(accelerator, graph, inputs, **options):
    """(program, NetworkRun) of a network on an open accelerator; options go to compare_on."""
    program = compile_graph(graph, accelerator.config)
    return program, network.compare_on(accelerator, graph, program, inputs, **options)


def loaded(program):
    """The converted Verilog in Verilator, loaded with a program."""
    accelerator = open_accelerator(program.config, "verilator")
    accelerator.load(program)
    return accelerator


def convolution(channels_in, channels_out, side, seed=1):
    """A graph of one 3x3 convolution with padding 1 on side x side pixels, random weights, ReLU."""
    rng = np.random.default_rng(seed)
    tensor = ir.TensorType(side, side, channels_in, 8, 0.02, -3)
    output = ir.TensorType(side, side, channels_out, 8, 0.05, -128)
    layer = ir.Conv2D(
        "conv", ir.INPUT_NAME, tensor, output,
        weights=rng.integers(-127, 128, (channels_out, 3, 3, channels_in)), weight_bits=8,
        weight_scale=np.full(channels_out, 0.01), bias=rng.integers(-20_000, 20_000, channels_out),
        stride=(1, 1), pads=(1, 1, 1, 1),
        requantize=ir.Requantize("half_up", rng.integers(2**30, 2**31, channels_out),
                                 np.full(channels_out, 43), -128, 127),
    )
    return ir.Graph("convolution", tensor, ir.InputEncoding("float"), (layer,))


def random_inputs(graph, count, seed=2):
    """Integers over the whole range of the input tensor."""
    return cli.random_inputs(graph, count, seed)
