"""Training: learns, is repeatable, follows its schedule."""

import numpy as np
import pytest
import torch

from accel.errors import ModelError
from quant.data import datasets
from quant.data.augment import random_affine
from quant.models.loop import learning_rate_at
from quant.models.train import TrainingOptions, accuracy, to_float, train
from quant.models.zoo import build

QUICK = TrainingOptions(epochs=10, batch=20, average=0.5, seed=3)


def test_training_learns_and_is_repeatable():
    images, labels = datasets.load("digits")
    losses, states = [], []
    for _ in range(2):
        losses.append([])
        module = train(build("lenet5"), images, labels, QUICK, lambda epoch, loss: losses[-1].append(loss))
        states.append(module.state_dict())
    assert len(losses[0]) == 10 and losses[0] == losses[1]
    assert losses[0][-1] < losses[0][0] * 0.8
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert accuracy(module, to_float(images), labels) > 0.4
    other = train(build("lenet5"), images, labels, TrainingOptions(epochs=1, batch=20, seed=4))
    assert not torch.equal(other.conv1.weight, states[0]["conv1.weight"])


def test_schedule_warms_up_and_ends_at_zero():
    rates = [learning_rate_at(progress, QUICK) for progress in np.linspace(0, 1, 101)]
    assert rates[0] == 0 and rates[10] == pytest.approx(QUICK.learning_rate) and rates[-1] == pytest.approx(0)
    assert max(rates) == pytest.approx(QUICK.learning_rate)


def test_augmentation_is_small_and_seeded():
    images = to_float(datasets.load("digits")[0])
    warped = [random_affine(images, torch.Generator().manual_seed(1)) for _ in range(2)]
    assert torch.equal(*warped) and not torch.equal(warped[0], images)
    still = random_affine(images, torch.Generator(), shift=0, degrees=0, scale=0, shear=0)
    torch.testing.assert_close(still, images, atol=1e-4, rtol=0)
    assert (warped[0].mean() - images.mean()).abs() < 0.03


def test_pixels_become_floats_in_0_to_1():
    pixels = np.array([0, 51, 255], np.uint8).reshape(1, 1, 3, 1)
    assert torch.equal(to_float(pixels), torch.tensor([0, 0.2, 1]).reshape(1, 1, 1, 3))


def test_unknown_models_are_refused():
    with pytest.raises(ModelError, match="'lenet6' is unknown"):
        build("lenet6")
