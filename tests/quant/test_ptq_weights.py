"""Scales, levels and granularity of weights after training."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from accel.errors import DataError, RangeError, UnsupportedError
from quant.arithmetic import khot, scales
from quant.frontend.floatnet import FloatDense
from quant.frontend.prepare import prepare
from quant.frontend.read import read_module
from quant.names import CALIBRATIONS, WEIGHT_LEVELS
from quant.ptq.options import PtqOptions
from quant.ptq.pipeline import quantize_module
from quant.ptq.quantize import quantize
from quant.ptq.weights import weight_integers, weight_scales
from tests.quant import nets

BITS = (8, 6, 4, 2)


def dense(seed, rows=3, columns=40):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    return FloatDense("fc", weight * torch.logspace(-2, 1, rows)[:, None], torch.zeros(rows, dtype=torch.float64))


def squared_error(layer, scale, bits, options):
    real = weight_integers(layer, scale, bits, options) * scale[:, None]
    return (layer.weight - real).square().sum(1).numpy()


@pytest.mark.parametrize("levels", WEIGHT_LEVELS)
@pytest.mark.parametrize("full_range", [False, True])
@given(seed=st.integers(0, 1000), bits=st.sampled_from(BITS))
@settings(max_examples=12)
def test_least_squares_scales_beat_every_hundredth_of_the_largest(levels, full_range, seed, bits):
    layer = dense(seed)
    plain = PtqOptions(weight_levels=levels, full_range=full_range)
    largest = weight_scales(layer, 1.0, bits, plain, per_tensor=False)
    chosen = PtqOptions(weight_levels=levels, full_range=full_range, weight_calibration="mse")
    best = squared_error(layer, weight_scales(layer, 1.0, bits, chosen, per_tensor=False), bits, chosen)
    for share in np.linspace(0.05, 1, 20):
        assert (best <= squared_error(layer, largest * share, bits, plain) * (1 + 1e-6)).all()


@pytest.mark.parametrize("method", ["percentile", "kl", "mse"])
def test_every_weight_calibration_cuts_an_outlier_off(method):
    layer = dense(1, rows=2, columns=2000)
    layer.weight[0, 7] = 50.0 * layer.weight[0].std()
    options = PtqOptions(weight_calibration=method, percentile=99.9)
    scale = weight_scales(layer, 1.0, 4, options, per_tensor=False)
    largest = weight_scales(layer, 1.0, 4, PtqOptions(), per_tensor=False)
    assert scale[0] < 0.3 * largest[0] and (scale <= largest).all()
    assert squared_error(layer, scale, 4, options)[1] <= squared_error(layer, largest, 4, options)[1] * 1.05
    # per tensor one scale serves both channels
    assert len(set(weight_scales(layer, 1.0, 4, options, per_tensor=True).tolist())) == 1


def test_a_percentile_of_weights_is_numpys():
    layer = dense(2, columns=500)
    scale = weight_scales(layer, 1.0, 8, PtqOptions(weight_calibration="percentile", percentile=95.0), per_tensor=False)
    wanted = np.percentile(np.abs(layer.weight.numpy()), 95.0, axis=1) / 127
    np.testing.assert_allclose(scale.numpy(), wanted, rtol=1e-6)


@pytest.mark.parametrize("bits", [*BITS, 1])
@pytest.mark.parametrize("method", CALIBRATIONS)
def test_powers_of_two_stay_powers_of_two(bits, method):
    layer = dense(3)
    options = PtqOptions(scales="pow2", weight_calibration=method)
    scale = weight_scales(layer, 1.0, bits, options, per_tensor=False)
    assert (torch.log2(scale) % 1 == 0).all()
    if bits == 1:
        means = layer.weight.abs().mean(1)
        assert ((scale - means).abs() <= (scale * 2 - means).abs()).all()
        assert ((scale - means).abs() <= (scale / 2 - means).abs()).all()
    elif method == "minmax":
        assert (scale * (2 ** (bits - 1) - 1) >= layer.weight.abs().amax(1) * (1 - 1e-6)).all()
    elif method == "mse":
        errors = [squared_error(layer, scale * factor, bits, options) for factor in (0.5, 1, 2)]
        assert (errors[1] <= errors[0]).all() and (errors[1] <= errors[2]).all()


@pytest.mark.parametrize("value", [2.0**-100, 0.24999, 0.25, 0.25001, 1.0, 3.0, 2.0**60])
def test_the_next_power_of_two(value):
    wanted = 2.0 ** np.ceil(np.log2(value))
    assert scales.power_of_two(value) == wanted == scales.power_of_two(torch.tensor([value]).double()).item()


@pytest.mark.parametrize(
    "kind, bits, allowed",
    [
        ("pow2", 4, [-4, -2, -1, 0, 1, 2, 4]),
        ("pow2", 2, [-1, 0, 1]),
        ("uniform", 2, [-1, 0, 1]),
        ("khot2", 4, [-7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_levels(kind, bits, allowed):
    assert khot.levels(kind, *scales.weight_limits(bits, False)) == allowed


@pytest.mark.parametrize("kind", ["pow2", "khot2"])
@pytest.mark.parametrize("rounding", ["nearest", "gptq"])
@pytest.mark.parametrize("bits", [8, 4])
def test_exported_weights_are_of_the_levels(kind, rounding, bits):
    images = nets.random_images(12, nets.CHAIN_SHAPE)
    options = PtqOptions(weight_levels=kind, weight_rounding=rounding, weight_bits=bits, weight_calibration="mse")
    graph = quantize_module(nets.chain(), images, options=options)
    allowed = khot.levels(kind, *scales.weight_limits(bits, False))
    for layer in graph.layers:
        assert layer.op == "maxpool" or np.isin(layer.weights, allowed).all(), layer.name
    assert graph.notes["weight_levels"] == kind


def test_uneven_levels_fit_the_largest_weight_and_lie_beside_it():
    layer = dense(4)
    for kind in ("pow2", "khot2"):
        options = PtqOptions(weight_levels=kind)
        scale = weight_scales(layer, 1.0, 8, options, per_tensor=False)
        integers = weight_integers(layer, scale, 8, options)
        top = 64 if kind == "pow2" else 127
        assert integers.abs().amax(1).tolist() == [top] * 3
        allowed = np.array(khot.levels(kind, -127, 127))
        steps = (layer.weight / scale[:, None]).numpy()
        nearest = np.abs(steps[..., None] - allowed).min(-1)
        np.testing.assert_allclose(np.abs(steps - integers.numpy()), nearest, atol=1e-9)


def test_one_scale_per_tensor():
    images = nets.random_images(12, nets.CHAIN_SHAPE)
    graph = quantize_module(nets.chain(), images, options=PtqOptions(granularity="tensor"))
    for layer in graph.layers:
        assert layer.op == "maxpool" or (len(set(layer.weight_scale)) == 1 and np.abs(layer.weights).max() == 127)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"weight_scheme": "affine"}, "weight_scheme=affine cannot be exported: weights have no zero point"),
        (
            {"activation_granularity": "channel"},
            "activation_granularity=channel cannot be exported: an activation tensor",
        ),
        (
            {"weight_calibration": "max"},
            "weight_calibration 'max' is unknown; choose one of minmax, percentile, kl, mse",
        ),
        ({"granularity": "group"}, "granularity 'group' is unknown; choose one of channel, tensor"),
        (
            {"weight_rounding": "stochastic"},
            "weight rounding 'stochastic' is unknown; choose one of nearest, adaround, gptq, awq",
        ),
        (
            {"weight_rounding": "gptq", "weight_bits": (8, 1)},
            "weight_rounding=gptq chooses between integers, but 1-bit weights",
        ),
        ({"scales": "pow3"}, "scales 'pow3' is unknown"),
        ({"weight_levels": "log"}, "weight_levels 'log' is unknown"),
    ],
)
def test_refuses_by_name(options, message):
    with pytest.raises(UnsupportedError, match=message):
        PtqOptions(**options)


@pytest.mark.parametrize(
    "options", [{"percentile": 50.0}, {"percentile": 100.1}, {"layer_images": 0}, {"percentile": float("nan")}]
)
def test_refuses_numbers_outside_their_range(options):
    with pytest.raises(RangeError, match="must be"):
        PtqOptions(**options)


@pytest.mark.parametrize("options", [{"bias_correction": True}, {"weight_rounding": "adaround"}])
def test_methods_that_look_at_images_ask_for_them(options):
    prepared = prepare(read_module(nn.Conv2d(1, 2, 3), (5, 5, 1)))
    with pytest.raises(DataError, match="needs images to correct biases or learn a rounding"):
        quantize(prepared, {}, PtqOptions(**options))
