"""GPTQ against its definition, against every possible rounding, and against rounding to nearest."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from quant.frontend.floatnet import FloatConv, FloatDense
from quant.ptq import gptq
from quant.ptq.layer_data import LayerData, linear_problem, output_error
from quant.ptq.levels import as_levels, default_levels, nearest, neighbours

INTS = default_levels(-7, 7)


def problem(rows, width, positions=40, seed=0, correlation=0.8):
    """Real values in steps [rows, width] and a Hessian of correlated inputs."""
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(positions, 1, generator=generator).double()
    inputs = correlation * shared + (1 - correlation) * torch.randn(positions, width, generator=generator).double()
    return torch.randn(rows, width, generator=generator).double() * 2.5, gptq.damped(inputs.T @ inputs, 0.01)


def loss(integers, values, hessian):
    """(q - v)^T H (q - v) of every row."""
    difference = integers.double() - values
    return torch.einsum("rk,kl,rl->r", difference, hessian, difference)


def column_by_column(values, hessian, levels):
    """Optimal brain quantization in a fixed order: fix a column, then move the rest to the minimum that is left."""
    values, fixed = values.clone(), torch.zeros_like(values)
    for column in range(values.shape[1]):
        fixed[:, column] = nearest(values[:, column], levels)
        error = values[:, column] - fixed[:, column]
        rest = slice(column + 1, None)
        if column + 1 < values.shape[1]:
            values[:, rest] += error[:, None] * torch.linalg.solve(hessian[rest, rest], hessian[rest, column])
    return fixed.long()


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 5), st.sampled_from([0.0, 0.5, 0.95]))
def test_equals_the_exact_column_by_column_solution(seed, width, block, correlation):
    values, hessian = problem(3, width, seed=seed, correlation=correlation)
    assert torch.equal(gptq.round_columns(values, hessian, INTS, block), column_by_column(values, hessian, INTS))


def test_lies_between_the_best_of_all_roundings_and_rounding_to_nearest():
    levels, width, rows = default_levels(-1, 1), 6, 40
    values, hessian = problem(rows, width, seed=4)
    values = values * 0.3
    everything = torch.tensor(list(itertools.product(levels.tolist(), repeat=width)))
    best = torch.stack([loss(everything, row.expand(len(everything), -1), hessian).min() for row in values])
    found = loss(gptq.round_columns(values, hessian, levels), values, hessian)
    plain = loss(nearest(values, levels), values, hessian)
    assert (best <= found + 1e-9).all()
    assert found.sum() < 0.5 * plain.sum()
    assert found.sum() < 3 * best.sum()


def test_uncorrelated_inputs_give_rounding_to_nearest():
    values, _ = problem(4, 12)
    assert torch.equal(gptq.round_columns(values, torch.eye(12).double() * 3, INTS), nearest(values, INTS).long())


def layers():
    generator = torch.Generator().manual_seed(2)

    def draw(*shape):
        return torch.randn(*shape, generator=generator).double()

    x = draw(24, 3, 8, 7).abs() + draw(24, 1, 1, 1)
    return [
        (FloatConv("conv", draw(5, 3, 3, 3), draw(5), (1, 2), (1, 1, 0, 1), (0.0, math.inf)), x),
        (FloatDense("dense", draw(6, 168), draw(6)), x),
    ]


@pytest.mark.parametrize("order", [True, False])
@pytest.mark.parametrize("index", [0, 1])
def test_the_layers_output_is_nearer_than_with_rounding_to_nearest(index, order):
    layer, x = layers()[index]
    scale = layer.weight.flatten(1).abs().amax(1) / 7
    data = LayerData(x, replace(layer, clamp=(-math.inf, math.inf)).forward(x))
    plain = torch.round(layer.weight.flatten(1) / scale[:, None]).long().reshape(layer.weight.shape)
    found = gptq.round_weights(layer, scale, -7, 7, data, order=order)
    assert found.dtype == torch.int64 and found.shape == layer.weight.shape and found.abs().max() <= 7
    assert output_error(layer, found, scale, data) < 0.5 * output_error(layer, plain, scale, data)


def test_errors_of_earlier_layers_are_made_good():
    layer, x = layers()[0]
    scale = layer.weight.flatten(1).abs().amax(1) / 127
    targets = replace(layer, clamp=(-math.inf, math.inf)).forward(x)
    data = LayerData(x * 0.8, targets)  # the quantized network's input is too small
    with_targets, without = [
        gptq.round_weights(layer, scale, -127, 127, data, compensate=flag) for flag in (True, False)
    ]
    assert output_error(layer, with_targets, scale, data) < 0.1 * output_error(layer, without, scale, data)


def test_channels_without_input_are_rounded_to_nearest():
    layer, x = layers()[0]
    scale = layer.weight.flatten(1).abs().amax(1) / 7
    x = x.clone()
    x[:, 1] = 0
    for inputs, dead in ((x, slice(1, 2)), (torch.zeros_like(x), slice(None))):
        found = gptq.round_weights(
            layer, scale, -7, 7, LayerData(inputs, torch.zeros_like(layer.forward(inputs))), compensate=False
        )
        plain = torch.round(layer.weight / scale.reshape(-1, 1, 1, 1)).long()
        assert torch.equal(found[:, dead], plain[:, dead])


def test_only_the_levels_given_are_used():
    layer, x = layers()[0]
    scale = layer.weight.flatten(1).abs().amax(1) / 8
    data = LayerData(x, replace(layer, clamp=(-math.inf, math.inf)).forward(x))
    levels = [-8, -4, -2, -1, 0, 1, 2, 4, 8]
    found = gptq.round_weights(layer, scale, -7, 7, data, levels=levels)
    assert set(found.flatten().tolist()) <= {-4, -2, -1, 0, 1, 2, 4}
    plain = nearest(layer.weight / scale.reshape(-1, 1, 1, 1), as_levels(levels, -7, 7)).long()
    assert output_error(layer, found, scale, data) < output_error(layer, plain, scale, data)


def test_a_larger_damping_stays_nearer_to_the_float_weights():
    layer, x = layers()[1]
    rows, _ = linear_problem(layer, LayerData(x, layer.forward(x)))
    scale = layer.weight.abs().amax(1) / 7
    distances = []
    for damping in (0.001, 1000.0):
        found = gptq.round_weights(layer, scale, -7, 7, LayerData(x, layer.forward(x)), damping=damping)
        distances.append(float((found * scale[:, None] - layer.weight).square().sum()))
    assert distances[1] < distances[0] and rows.shape == (24, 168)


@given(
    st.lists(st.integers(-20, 20), min_size=1, max_size=8, unique=True),
    st.lists(st.floats(-25, 25), min_size=1, max_size=20),
)
def test_neighbours_and_nearest_against_a_search(allowed, values):
    levels, values = as_levels(allowed, -20, 20), torch.tensor(values).double()
    below, above = neighbours(values, levels)
    chosen = nearest(values, levels)
    for value, low, high, near in zip(*(x.tolist() for x in (values, below, above, chosen)), strict=True):
        assert low == max([level for level in allowed if level <= value], default=min(allowed))
        assert high == min([level for level in allowed if level > value], default=max(allowed))
        assert abs(near - value) == min(abs(level - value) for level in allowed)
