"""Cross-layer equalization and bias correction, against their definitions."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from accel import reference
from quant.frontend.floatnet import FloatConv, FloatDense
from quant.frontend.read import read_module
from quant.ptq.equalize import equalize, input_channels, pair_factors
from quant.ptq.options import LayerWidth
from quant.ptq.pipeline import Normalization, prepare_network, quantize_module
from quant.ptq.quantize import PtqOptions
from quant.reference.compare import Comparer
from tests.quant import nets

SHAPE = (10, 9, 2)


def uneven():
    """Convolutions with a pool between them and a dense layer, whose channels differ by a factor of a thousand."""
    torch.manual_seed(3)
    module = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 5, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(60, 7),
        nn.ReLU(),
        nn.Linear(7, 4),
    )
    for index, later in ((0, 3), (3, 6)):
        factors = torch.logspace(-1.5, 1.5, len(module[index].weight))
        module[index].weight.data *= factors.reshape(-1, 1, 1, 1)
        module[index].bias.data *= factors
        shape = (1, -1, 1, 1) if index == 0 else (1, -1)
        repeated = factors if index == 0 else factors.repeat_interleave(12)  # torch flattens channel by channel
        module[later].weight.data /= repeated.reshape(shape)
    return module


def test_equalization_keeps_the_function_and_makes_ranges_equal():
    network = read_module(uneven(), SHAPE)
    x = torch.randn(4, 2, 10, 9, dtype=torch.float64)
    equal = equalize(network, x, [LayerWidth(8, 8)] * 3 + [LayerWidth(8, None)], per_tensor=True)
    before, after = network.run(x), equal.run(x)
    last = network.layers[-1].name
    torch.testing.assert_close(after[last], before[last], rtol=1e-9, atol=1e-9)
    weighted = [layer for layer in equal.layers if isinstance(layer, FloatConv | FloatDense)]
    for first, second in zip(weighted, weighted[1:], strict=False):
        outgoing = first.weight.flatten(1).abs().amax(1)
        incoming = input_channels(second, len(outgoing)).abs().amax(1)
        torch.testing.assert_close(outgoing, incoming, rtol=1e-3, atol=0)


def test_input_channels_are_those_that_the_layer_reads():
    torch.manual_seed(0)
    dense = FloatDense("fc", torch.randn(3, 2 * 2 * 4, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
    for channel in range(4):
        x = torch.zeros(1, 4, 2, 2, dtype=torch.float64)
        x[0, channel] = 1.0
        sums = input_channels(dense, 4).reshape(4, 3, 4)[channel].sum(1)
        torch.testing.assert_close(dense.forward(x)[0, :, 0, 0], sums)


@given(
    first=st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=3),
    second=st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=3),
)
@settings(max_examples=40)
def test_factors_follow_the_formula(first, second):
    zero = torch.zeros(3, dtype=torch.float64)
    before = FloatDense("a", torch.diag(torch.tensor(first, dtype=torch.float64)), zero, (0.0, torch.inf))
    after = FloatDense("b", torch.diag(torch.tensor(second, dtype=torch.float64)), zero)
    s = torch.sqrt(torch.tensor(first).double() * torch.tensor(second).double()) / torch.tensor(second).double()
    torch.testing.assert_close(pair_factors(before, after), 1 / s)


def test_dead_channels_and_other_clamps_stay():
    module = nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU6(), nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 2, 1))
    module[2].weight.data[1] = 0
    network = read_module(module, (4, 4, 1))
    widths = [LayerWidth(8, 8), LayerWidth(8, 8), LayerWidth(8, None)]
    equal = equalize(network, torch.rand(8, 1, 4, 4, dtype=torch.float64), widths, per_tensor=True)
    assert torch.equal(equal.layers[0].weight, network.layers[0].weight)
    assert torch.equal(equal.layers[1].weight[1], network.layers[1].weight[1])
    assert not torch.equal(equal.layers[1].weight[0], network.layers[1].weight[0])
    x = torch.randn(2, 1, 4, 4, dtype=torch.float64)
    last = network.layers[-1].name
    torch.testing.assert_close(equal.run(x)[last], network.run(x)[last])


def test_equalization_saves_a_network_with_one_scale_per_tensor():
    images = nets.random_images(40, SHAPE)
    snr = {}
    for on in (False, True):
        options = PtqOptions(granularity="tensor", equalize=on)
        graph = quantize_module(uneven(), images, options=options)
        snr[on] = graph.layers[-1].notes["snr_db"]
        comparer = Comparer(graph)
        comparer.add(reference.encode_input(graph, images))
        assert comparer.result.ok
    assert graph.notes["equalize"] is True
    assert snr[True] > snr[False] + 6


def accumulator_errors(module, images, **options):
    """{layer: mean over images and positions of float output - real integer output, before the clamp, per channel}."""
    options = PtqOptions(**options)
    graph = quantize_module(module, images, options=options)
    prepared = prepare_network(module, images, "net", Normalization(), options)
    floats = prepared.input_values(images)
    stored = reference.encode_input(graph, images)
    result = {}
    for layer, built in zip(prepared.network.layers, graph.layers, strict=True):
        if built.op != "maxpool":
            raw = replace(built, requantize=None, output=replace(built.output, bits=32, zero_point=0))
            real = reference.run_layer(raw, stored) * (built.weight_scale * built.input.scale)
            wanted = replace(layer, clamp=(-np.inf, np.inf)).forward(floats).permute(0, 2, 3, 1).numpy()
            result[layer.name] = (wanted - real).mean((0, 1, 2)), built.weight_scale * built.input.scale
        floats, stored = layer.forward(floats), reference.run_layer(built, stored)
    return graph, result


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_corrected_biases_leave_no_mean_error(bits):
    images = nets.random_images(30, SHAPE)
    module = uneven()
    _, plain = accumulator_errors(module, images, weight_bits=bits)
    graph, corrected = accumulator_errors(module, images, weight_bits=bits, bias_correction=True, layer_images=30)
    for name, (error, step) in corrected.items():
        assert (np.abs(error) <= 0.5 * step + 1e-9).all(), name  # the bias is an integer
    assert bits == 8 or any((np.abs(error) > step).any() for error, step in plain.values())
    assert graph.notes["bias_correction"] is True


def test_bias_correction_takes_the_number_of_images_it_is_given():
    images = nets.random_images(30, SHAPE)
    _, few = accumulator_errors(uneven(), images, weight_bits=4, bias_correction=True, layer_images=3)
    graph, same = accumulator_errors(uneven(), images[:3], weight_bits=4, bias_correction=True)
    assert any((np.abs(error) > step).any() for error, step in few.values())
    assert all((np.abs(error) <= 0.5 * step + 1e-9).all() for error, step in same.values())


def test_bias_correction_raises_the_signal_to_noise_ratio_of_narrow_weights():
    images = nets.random_images(60, SHAPE)
    torch.manual_seed(1)
    module = nn.Sequential(
        nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 6 * 5, 5)
    )
    ratios = [
        quantize_module(module, images, options=PtqOptions(weight_bits=4, bias_correction=on))
        .layers[-1]
        .notes["snr_db"]
        for on in (False, True)
    ]
    assert ratios[1] > ratios[0] + 1
