"""Choices of a training: gradients of the estimators against their formulas, exports that compute what was trained."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from accel.errors import UnsupportedError
from quant.data import datasets
from quant.frontend.prepare import prepare
from quant.frontend.read import read_module
from quant.models.train import to_float
from quant.qat import ablation
from quant.qat.method import Method
from quant.qat.norm import PositiveNorm
from quant.qat.qat_network import QatNetwork, Widths
from quant.qat.ste import ActivationQuantizer, LearnedScale, WeightQuantizer, quantize_through, sign_through
from quant.qat.train import QatOptions, train_qat
from tests.quant import nets
from tests.quant.test_qat import MIXED, SHAPE, SIGNS, assert_equal_execution, force_norms, module, task

FOURS = ((4,), (4,))
METHODS = {
    "pool before norm": (SIGNS, Method(norm_order="pool", clip_latent=True)),
    "XNOR": (SIGNS, Method(norm_order="pool", sign_scales="mean", sign_estimator="clipped")),
    "BinaryNet": (SIGNS, Method(norm_order="pool", sign_scales="none", sign_estimator="clipped", clip_latent=True)),
    "identity": (MIXED, Method(estimator="identity", sign_estimator="identity", sign_weights="identity")),
    "LSQ": (FOURS, Method(scales="lsq")),
    "LSQ at 8 bits": (((8,), (8,)), Method(scales="lsq")),
    "learned steps": (MIXED, Method(scales="step")),
    "PACT": (FOURS, Method(scales="pact")),
    "batch norm": (FOURS, Method(batch_norm=True)),
    "batch norm, mixed, pool first": (MIXED, Method(batch_norm=True, norm_order="pool")),
    "batch norm, 8 bits, LSQ": (((8,), (8,)), Method(batch_norm=True, scales="lsq")),
}


def network(widths, method, requantizer="full", own=None):
    prepared = prepare(read_module(own or module(), SHAPE, "net"))
    result = QatNetwork(prepared, Widths.of(5, *widths, requantizer=requantizer), method)
    with torch.no_grad():
        result.eval()(to_float(nets.random_images(40, SHAPE)))
    return result


def trained_network(name, requantizer="full", **options):
    images, labels = task(128)
    widths, method = METHODS[name]
    values = {"epochs": 2, "batch": 32, "learning_rate": 5e-3, "augment": 0.1, "distill": 0.0, **options}
    losses = []
    result = train_qat(
        network(widths, method, requantizer),
        None,
        to_float(images),
        labels,
        QatOptions(**values),
        lambda epoch, loss: losses.append(loss),
    )
    return result, losses


@pytest.mark.parametrize("name", METHODS)
def test_what_was_trained_is_what_the_export_computes(name):
    trained, losses = trained_network(name)
    fresh = network(*METHODS[name])
    assert all((own.weight != start.weight).any() for own, start in zip(trained.layers, fresh.layers, strict=True))
    assert np.isfinite(losses).all()
    assert_equal_execution(trained, nets.random_images(60, SHAPE, 3))
    assert_equal_execution(force_norms(trained) if "batch norm" not in name else trained, task(60)[0])


@pytest.mark.parametrize("requantizer", ["pow2", "khot2"])
def test_batch_norms_fold_into_few_powers_of_two(requantizer):
    trained, _ = trained_network("batch norm", requantizer)
    assert_equal_execution(trained, nets.random_images(60, SHAPE, 3))


def rounding(kind, scale=0.5, low=-2, high=1):
    """Gradients by x and by the scale for x = -1.6, -0.9, 0.1, 0.4, 0.7 and output gradients 1, 2, 4, 8, 16."""
    x = torch.tensor([-1.6, -0.9, 0.1, 0.4, 0.7], requires_grad=True)
    step = torch.tensor(scale, requires_grad=True)
    y = quantize_through(x, step, low, high, False, kind)
    assert y.tolist() == [-1.0, -1.0, 0.0, 0.5, 0.5]
    y.backward(torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0]))
    return x.grad.tolist(), step.grad.item()


def test_gradients_of_the_estimators():
    inside = 2 * (-2 + 1.8) + 4 * (0 - 0.2) + 8 * (1 - 0.8)  # LSQ, equation 3: rounding error inside, limit outside
    assert rounding("clipped") == ([0, 2, 4, 8, 0], pytest.approx(inside + 1 * -2 + 16 * 1))
    assert rounding("pact") == ([0, 2, 4, 8, 0], pytest.approx(16 * 1))
    assert rounding("identity") == ([1, 2, 4, 8, 16], pytest.approx(inside + 1 * (-2 + 3.2) + 16 * (1 - 1.4)))


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    bits=st.sampled_from([8, 6, 4, 2]),
    unsigned=st.booleans(),
    scale=st.floats(1e-3, 2.0),
    spread=st.floats(0.01, 20.0),
)
def test_lsq_equals_torchs_learnable_fake_quantize(seed, bits, unsigned, scale, spread):
    """PyTorch's own operator for learned steps is the oracle: values, gradients of x and of the step with its factor.

    It tests the limits after rounding, the paper (equations 3 and 5) before: the half step between is left out.
    """
    generator = torch.Generator().manual_seed(seed)
    low, high = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    values = torch.randn(500, generator=generator) * spread
    steps = values / scale
    beyond = (steps - steps.clamp(low, high)).abs()
    tie = (steps - steps.floor() - 0.5).abs() < 1e-3  # decided by the last bit of a division
    values = values[((beyond == 0) | (beyond > 0.5)) & ~tie]
    gradient = torch.randn(len(values), generator=generator)
    factor = 1 / math.sqrt(len(values) * high)
    results = []
    for own in (True, False):
        x = values.clone().requires_grad_()
        learned = LearnedScale(torch.tensor(scale), "lsq", high)
        if own:
            y = quantize_through(x, learned(len(values)), low, high)
        else:
            step = learned.value.detach().reshape(1).requires_grad_()
            y = torch._fake_quantize_learnable_per_tensor_affine(x, step, torch.zeros(1), low, high, factor)
        y.backward(gradient)
        results.append((y.detach(), x.grad, (learned.value.grad if own else step.grad).reshape(())))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4 * (1 + spread))


def test_gradients_of_signs():
    for kind, wanted in {"identity": [1, 1, 1, 1, 1], "clipped": [0, 1, 1, 1, 0], "parabola": [0, 1, 2, 1, 0]}.items():
        x = torch.tensor([-1.5, -0.5, 0.0, 0.5, 1.01], requires_grad=True)
        y = sign_through(x, kind)
        y.sum().backward()
        assert y.tolist() == [-1, -1, 1, 1, 1] and x.grad.tolist() == wanted


def test_identity_still_has_the_relu():
    quantizer = ActivationQuantizer(2, unsigned=True, method=Method(estimator="identity"))
    quantizer.learned.set(torch.tensor(1.0))
    x = torch.tensor([[-1.0, 0.4, 2.6, 9.0]], requires_grad=True)
    y = quantizer(x)
    y.sum().backward()
    assert y.tolist() == [[0, 0, 3, 3]] and x.grad.tolist() == [[0, 1, 1, 1]]


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_lsq_scales_its_gradient(bits):
    """Section 2.2 of the paper: the factor is 1 / sqrt(numbers that share the step * largest integer)."""
    torch.manual_seed(bits)
    weight, x = torch.randn(3, 4, 2, 2), torch.rand(5, 3, 4, 4)
    gradients = []
    for scales in ("step", "lsq"):
        weights = WeightQuantizer(weight, bits, per_tensor=False, method=Method(scales=scales))
        weights(weight, weights.scale(weight)).square().sum().backward()
        activations = ActivationQuantizer(bits, unsigned=True, method=Method(scales=scales))
        activations(x).square().sum().backward()
        gradients.append((weights.learned.value.grad, activations.learned.value.grad))
    (by_weight, by_activation), (by_weight_lsq, by_activation_lsq) = gradients
    largest = 2 ** (bits - 1) - 1
    torch.testing.assert_close(by_weight_lsq, by_weight / math.sqrt(16 * largest))
    torch.testing.assert_close(by_activation_lsq, by_activation / math.sqrt(48 * (2**bits - 1)))


def test_pact_learns_the_clip_and_decays_it():
    quantizer = ActivationQuantizer(4, unsigned=True, method=Method(scales="pact", pact_decay=0.5))
    quantizer.learned.set(torch.tensor(0.2))
    assert quantizer.learned.value.item() == pytest.approx(3.0)
    x = torch.tensor([[-1.0, 2.9, 3.5, 7.0]])
    (quantizer(x).sum() + quantizer.penalty()).backward()
    assert quantizer.learned.value.grad.item() == pytest.approx(2 + 0.5 * 2 * 3.0)
    signed = ActivationQuantizer(4, unsigned=False, method=Method(scales="pact"))
    assert signed.learned.kind == "log" and signed.penalty() == 0


def test_latent_weights_of_signs_stay_inside():
    for clip, largest in ((True, 1.0), (False, 2.0)):
        widths, images_labels = SIGNS, task(64)
        trained = network(widths, Method(clip_latent=clip))
        trained.layers[1].weight.data.fill_(0.99)
        train_qat(
            trained,
            None,
            to_float(images_labels[0]),
            images_labels[1],
            QatOptions(epochs=2, batch=16, learning_rate=5e-2, augment=0.0, distill=0.0),
        )
        found = trained.layers[1].weight.abs().max().item()
        assert found <= 1 if clip else 1 < found < largest
        assert trained.layers[0].weight.abs().max() < 1, "8-bit weights are not clipped here by chance"


def test_scales_of_signs():
    torch.manual_seed(3)
    weight = torch.randn(4, 5, 3, 3)
    mean = WeightQuantizer(weight, 1, per_tensor=False, method=Method(sign_scales="mean"))
    torch.testing.assert_close(mean.scale(weight).flatten(), weight.abs().mean((1, 2, 3)))
    none = WeightQuantizer(weight, 1, per_tensor=False, method=Method(sign_scales="none"))
    assert none.scale(weight).flatten().tolist() == [1.0] * 4


def test_a_positive_norm_lets_the_pool_stand_on_either_side():
    torch.manual_seed(1)
    norm = PositiveNorm(3).eval()
    norm.weight.data.copy_(torch.tensor([-2.0, 0.5, 1.0]))
    norm.running_mean.copy_(torch.randn(3))
    x = torch.randn(4, 3, 6, 6)
    before, behind = norm(nn.functional.max_pool2d(x, 2)), nn.functional.max_pool2d(norm(x), 2)
    assert torch.equal(before, behind)
    torch.testing.assert_close(norm.plain()(x), norm(x))


def test_a_batch_norm_starts_from_the_same_function_and_learns():
    images = to_float(nets.random_images(200, SHAPE, 2))
    plain, normed = (network(((8,), (8,)), Method(batch_norm=flag)) for flag in (False, True))
    with torch.no_grad():
        torch.testing.assert_close(plain(images), normed(images), atol=0.05, rtol=0.05)
    trained, _ = trained_network("batch norm")
    moved = [layer.norm.running_mean for layer in trained.layers[:-1]]
    held, _ = trained_network("batch norm", freeze_norm=1)
    assert all((layer.norm.running_mean != mean).any() for layer, mean in zip(held.layers[:-1], moved, strict=True))


def test_a_channel_whose_gamma_is_zero_becomes_its_bias():
    trained = network(*METHODS["batch norm"])
    for layer in trained.layers[:-1]:
        layer.norm.weight.data[:2] = 0.0
        layer.norm.bias.data[:2] = torch.tensor([0.3, -0.3])
    assert_equal_execution(trained, nets.random_images(60, SHAPE, 3))


def test_frozen_norms_keep_their_statistics():
    trained = network(*METHODS["batch norm"])
    seen, (images, labels) = [], task(64)
    train_qat(
        trained,
        None,
        to_float(images),
        labels,
        QatOptions(epochs=3, batch=32, augment=0.0, distill=0.0, freeze_norm=1),
        lambda epoch, loss: seen.append([layer.norm.running_var.clone() for layer in trained.layers[:-1]]),
    )
    assert all(torch.equal(second, third) for second, third in zip(seen[0], seen[2], strict=True))
    fresh = network(*METHODS["batch norm"])
    assert any(
        not torch.equal(layer.norm.running_var, value) for layer, value in zip(fresh.layers[:-1], seen[0], strict=True)
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("estimator", "parabola"),
        ("sign_estimator", "tanh"),
        ("sign_weights", "parabola"),
        ("scales", "lsq+"),
        ("sign_scales", "max"),
        ("norm_order", "last"),
    ],
)
def test_unknown_choices_are_refused(field, value):
    with pytest.raises(UnsupportedError, match=f"'{value.replace('+', '.')}' is unknown; choose one of"):
        Method(**{field: value})


def test_a_norm_of_a_negative_gamma_is_monotone_in_the_export():
    trained = force_norms(network(*METHODS["pool before norm"]), 2)
    graph = assert_equal_execution(trained, nets.random_images(60, SHAPE, 3))
    rules = [layer.requantize for layer in graph.layers if layer.op != "maxpool" and layer.output.bits == 1]
    assert rules and not np.any([rule.invert.any() for rule in rules])


def test_the_ablation_compares_estimators_and_nothing_else():
    split = datasets.load("digits")
    done = []
    found = ablation.estimators(
        "lenet5",
        split,
        split,
        bits=(8, 2),
        names=("clipped", "identity"),
        seeds=(1, 2),
        epochs=2,
        learning_rate=2e-3,
        advance=lambda: done.append(1),
    )
    assert len(done) == 8 and list(found) == [8, 2]
    again = ablation.estimators(
        "lenet5", split, split, bits=(2,), names=("clipped",), seeds=(1, 2), epochs=2, learning_rate=2e-3
    )
    assert found[2]["clipped"] == again[2]["clipped"] != found[2]["identity"]
    assert all(share > 0.9 for _, share in found[8]["clipped"] + found[8]["identity"])
    assert found[2]["clipped"][0] != found[2]["clipped"][1], "seeds differ"
