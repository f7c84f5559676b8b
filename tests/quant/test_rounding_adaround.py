"""AdaRound against every combination of up and down, and its parts against the paper's formulas."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from quant.frontend.floatnet import NO_CLAMP, FloatConv, FloatDense
from quant.ptq import adaround
from quant.ptq.layer_data import LayerData, output_error
from quant.ptq.levels import default_levels, neighbours

RELU = (0.0, math.inf)


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def dense(outputs=1, width=8, clamp=RELU, bias=0.0, seed=0):
    """A layer, its data with correlated inputs, and scales of 4 bits."""
    layer = FloatDense("dense", draw(seed, outputs, width), torch.full((outputs,), bias).double(), clamp)
    x = (0.4 * draw(seed + 1, 200, width) + draw(seed + 2, 200, 1)).reshape(200, width, 1, 1)
    data = LayerData(x, replace(layer, clamp=NO_CLAMP).forward(x))
    return layer, data, layer.weight.abs().amax(1) / 3


def plain(layer, scale):
    return torch.round(layer.weight / scale.reshape(-1, *(1,) * (layer.weight.dim() - 1))).long()


def test_comes_near_the_best_of_all_combinations():
    reached, best, nearest = 0.0, 0.0, 0.0
    combinations = torch.tensor(list(itertools.product((0, 1), repeat=8)))
    for seed in (0, 10):
        layer, data, scale = dense(seed=seed)
        below, above = neighbours(layer.weight / scale[:, None], default_levels(-3, 3))
        sums = data.inputs.flatten(1) @ (torch.where(combinations.bool(), above, below) * scale).T
        errors = (sums.clamp(min=0) - data.targets[:, :, 0, 0].clamp(min=0)).square().mean(0)
        found = adaround.round_weights(layer, scale, -3, 3, data, iterations=400, rate=0.02)
        reached += output_error(layer, found, scale, data)
        best += float(errors.min())
        nearest += output_error(layer, plain(layer, scale), scale, data)
    assert best <= reached < 2.5 * best and reached < 0.4 * nearest


def test_every_weight_stays_beside_its_real_value():
    layer, data, scale = dense(outputs=6, width=30)
    found = adaround.round_weights(layer, scale, -3, 3, data, iterations=200)
    assert found.dtype == torch.int64 and found.shape == layer.weight.shape
    assert (found - layer.weight / scale[:, None]).abs().max() < 1
    assert not torch.equal(found, plain(layer, scale))
    levels = [-3, -2, -1, 1, 2, 3]  # without 0
    found = adaround.round_weights(layer, scale, -3, 3, data, iterations=20, levels=levels)
    assert set(found.flatten().tolist()) <= set(levels)


def test_a_convolutions_output_comes_nearer():
    layer = FloatConv("conv", draw(0, 5, 3, 3, 3), draw(1, 5), (1, 2), (1, 1, 0, 1), RELU)
    x = draw(2, 24, 3, 8, 7).abs() + draw(3, 24, 1, 1, 1)
    data = LayerData(x, replace(layer, clamp=NO_CLAMP).forward(x))
    scale = layer.weight.flatten(1).abs().amax(1) / 3
    found = adaround.round_weights(layer, scale, -3, 3, data, iterations=300)
    assert output_error(layer, found, scale, data) < 0.3 * output_error(layer, plain(layer, scale), scale, data)


def test_positions_that_the_relu_cuts_off_do_not_count():
    layer = FloatDense("dense", draw(1, 6, 12).abs(), torch.zeros(6).double(), RELU)
    positive, negative = draw(2, 100, 12).abs(), torch.zeros(100, 12).double()
    positive[:, ::2] += 2 * draw(6, 100, 1).abs()
    negative[:, ::2] = -30 * draw(3, 100, 6).abs()  # large, and every output is below zero
    x = torch.cat([positive, negative]).reshape(200, 12, 1, 1)
    data = LayerData(x, replace(layer, clamp=NO_CLAMP).forward(x))
    scale = layer.weight.amax(1) / 3
    found, blind = [
        adaround.round_weights(replace(layer, clamp=clamp), scale, -3, 3, data, iterations=300, rate=0.02)
        for clamp in (RELU, NO_CLAMP)
    ]
    assert output_error(layer, found, scale, data) < 0.7 * output_error(layer, blind, scale, data)


def test_outputs_that_the_relu_cuts_off_are_free():
    layer, data, scale = dense(outputs=4, bias=-1000.0)
    assert torch.equal(adaround.round_weights(layer, scale, -3, 3, data, iterations=50), plain(layer, scale))


def test_a_seed_repeats_the_batches():
    layer, data, scale = dense(outputs=6, width=30)
    runs = [adaround.round_weights(layer, scale, -3, 3, data, iterations=60, batch=16, seed=seed) for seed in (1, 1, 2)]
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])


def test_progress_counts_the_iterations():
    counts = []
    layer, data, scale = dense()
    adaround.round_weights(layer, scale, -3, 3, data, iterations=7, advance=counts.append)
    assert sum(counts) == 7


def test_integers_of_the_grid_stay_as_they_are():
    layer, data, scale = dense(width=8)
    exact = replace(layer, weight=torch.arange(-4, 4).double().reshape(1, 8) * scale)
    data = LayerData(data.inputs, replace(exact, clamp=NO_CLAMP).forward(data.inputs))
    found = adaround.round_weights(exact, scale, -7, 7, data, iterations=200)
    assert found.tolist() == [[-4, -3, -2, -1, 0, 1, 2, 3]]


def test_the_parts_are_the_papers():
    h = adaround.rectified_sigmoid(torch.tensor([-20.0, 0.0, 20.0]))
    assert h.tolist() == [0.0, 0.5, 1.0]
    saturated = torch.tensor([math.log(0.09), math.log(1 / 0.09)])
    assert adaround.rectified_sigmoid(saturated).tolist() == [0.0, 1.0]
    penalty = adaround.rounding_penalty(torch.tensor([0.0, 0.25, 0.5, 1.0]), 2.0)
    torch.testing.assert_close(penalty, torch.tensor([0.0, 0.75, 1.0, 0.0]))
    exponents = [adaround.annealed(progress / 10, 0.2, (20.0, 2.0)) for progress in range(11)]
    assert exponents[:2] == [None, None] and exponents[2] == 20.0 and exponents[-1] == pytest.approx(2.0)
    assert exponents[6] == pytest.approx(11.0) and sorted(exponents[2:], reverse=True) == exponents[2:]
