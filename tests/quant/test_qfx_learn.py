"""Training of fixed-point networks, and the baselines that they are compared with."""

import numpy as np
import pytest
import torch
from torch import nn

from accel import reference
from quant.frontend.prepare import prepare
from quant.frontend.read import read_module
from quant.models.errors import DivergedError
from quant.models.train import accuracy, to_float
from quant.qat.train import QatOptions
from quant.qfx import study
from quant.qfx.baseline import Step, float_scale_ptq
from quant.qfx.conversion import FixedOptions
from quant.qfx.export import export
from quant.qfx.layers import binary_points
from quant.qfx.learn import fine_tune, fixed_network
from tests.quant import nets

SHAPE = (8, 8, 1)


def task(count, seed):
    """Images whose label is the quadrant that is brightest."""
    images = nets.random_images(count, SHAPE, seed).astype(np.int64)
    labels = np.arange(count) % 4
    for image, label in zip(images, labels, strict=True):
        row, column = 4 * (label // 2), 4 * (label % 2)
        image[row : row + 4, column : column + 4] += 90
    return images.clip(0, 255).astype(np.uint8), labels.astype(np.int64)


@pytest.fixture(scope="module")
def trained():
    """A float network that has learned the task."""
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 16), nn.ReLU(), nn.Linear(16, 4)
    )
    images, labels = task(300, 1)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(80):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(to_float(images)), torch.from_numpy(labels)).backward()
        optimizer.step()
    return net.eval()


OPTIONS = QatOptions(epochs=4, batch=50, learning_rate=3e-3, augment=0.0)


def test_training_makes_up_for_short_words(trained):
    images, labels = task(300, 1)
    fixed = fixed_network(trained, images, FixedOptions(2, 2, start="max"))
    before = accuracy(fixed, to_float(images), labels)
    losses = []
    fine_tune(fixed, trained, images, labels, OPTIONS, lambda epoch, loss: losses.append(loss))
    assert len(losses) == 4 and losses[-1] < losses[0]
    assert accuracy(fixed, to_float(images), labels) > before + 0.05


def test_the_trained_network_exports_its_words(trained):
    images, labels = task(200, 2)
    fixed = fine_tune(fixed_network(trained, images, FixedOptions(5, 3)), trained, images, labels, OPTIONS)
    graph = export(fixed.double(), "small", SHAPE, requantizer="pow2")
    wanted = reference.run(graph, reference.encode_input(graph, images))[graph.layers[-1].name]
    with torch.no_grad():
        logits = fixed(to_float(images).double()).numpy()
    np.testing.assert_array_equal(logits, wanted.reshape(200, -1) * graph.layers[-1].output.scale)


def test_the_same_seed_gives_the_same_words_and_another_one_others(trained):
    images, labels = task(120, 3)

    def run(seed):
        fixed = fixed_network(trained, images, FixedOptions(3, 3))
        return fine_tune(fixed, trained, images, labels, QatOptions(epochs=1, batch=40, seed=seed)).state_dict()

    first, again, other = run(1), run(1), run(2)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_binary_points_that_start_wrong_come_back(trained):
    """Three integer bits of four leave steps of 1/2; the points learn their way back, fixed ones keep the error."""
    images, labels = task(200, 4)
    losses = {}
    for learn in (True, False):
        fixed = fixed_network(trained, images, FixedOptions(4, 4, start=3, rate=100.0, learn=learn))
        first = binary_points(fixed)
        fine_tune(
            fixed,
            trained,
            images,
            labels,
            QatOptions(epochs=6, batch=40, learning_rate=3e-3, augment=0.0),
            lambda epoch, loss, learn=learn: losses.update({learn: loss}),
        )
        assert (binary_points(fixed) != first) == learn
    assert losses[True] < 0.8 * losses[False]


def test_a_training_that_explodes_says_so(trained):
    images, labels = task(100, 9)
    with pytest.raises(DivergedError):
        fine_tune(
            fixed_network(trained, images, FixedOptions(4, 4)),
            trained,
            images,
            labels,
            QatOptions(epochs=3, batch=20, learning_rate=1e4, augment=0.0),
        )


def test_a_step_has_the_least_squared_error_of_all_scales():
    samples = torch.rand(300, generator=torch.Generator().manual_seed(2)).double()
    step = Step(samples, 3)
    assert (step.low, step.high) == (0, 7)

    def error(scale):
        return float(((samples / scale).round().clamp(0, 7) * scale - samples).square().sum())

    tried = min(error(scale) for scale in np.linspace(0.02, 0.3, 400))
    assert float((step(samples) - samples).square().sum()) < 1.15 * tried
    assert (Step(samples - 0.5, 3).low, Step(samples - 0.5, 3).high) == (-4, 3)


@pytest.mark.parametrize("rounding", ["nearest", "gptq"])
def test_float_scales_of_eight_bits_lose_next_to_nothing(trained, rounding):
    images = to_float(task(100, 5)[0])
    prepared = prepare(read_module(trained, SHAPE, "small"))
    with torch.no_grad():
        wanted = trained(images)
        errors = [
            float((float_scale_ptq(prepared, images, bits, rounding)(images) - wanted).square().mean())
            for bits in (8, 4)
        ]
    assert errors[0] < 1e-3 * float(wanted.square().mean()) < errors[1]


def test_the_comparison_gives_a_figure_for_every_method(trained, monkeypatch):
    monkeypatch.setattr(study, "load_float_model", lambda source: (trained, source, SHAPE))
    done = []
    recipe = study.Recipe(120, 10.0, {"epochs": 2, "batch": 30, "augment": 0.0})
    found = study.against_ptq(
        "small",
        task(150, 6),
        task(100, 7),
        recipes={2: recipe, 5: recipe},
        seeds=(1, 2),
        advance=lambda: done.append(1),
    )
    assert set(found) == {"float", 2, 5} and len(done) == 1 + 2 * (6 + 2)
    assert set(found[2]) == {
        "per tensor, max",
        "per tensor, mse",
        "per channel, max",
        "per channel, mse",
        "float scales, nearest",
        "float scales, gptq",
        "qfx",
    }
    assert len(found[2]["qfx"]) == 2 and max(found[2]["qfx"]) > found[2]["per tensor, max"]


def test_the_ablation_tells_where_every_point_started_and_ended(trained, monkeypatch):
    monkeypatch.setattr(study, "load_float_model", lambda source: (trained, source, SHAPE))
    runs = study.ablation(
        "small",
        task(150, 8),
        task(100, 9),
        width=4,
        starts=("mse", 2),
        rates=(0, 100.0),
        options={"epochs": 3, "batch": 30, "augment": 0.0, "learning_rate": 3e-3},
    )
    assert [(run["start"], run["rate"]) for run in runs] == [("mse", 0), ("mse", 100.0), (2, 0), (2, 100.0)]
    for run in runs:
        moved = sum(abs(last - first) for first, last in run["points"].values())
        assert moved == 0 if run["rate"] == 0 else run["start"] == "mse" or moved > 0
        assert run["start"] == "mse" or all(first == 2 for first, _ in run["points"].values())
