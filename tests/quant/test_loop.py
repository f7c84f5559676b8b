"""The shared epoch loop: resumed trainings end in the same bytes; one that diverges stops and keeps its checkpoint."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from accel.errors import DataError, ModelError, OutputError
from quant.data import datasets
from quant.models.errors import DivergedError
from quant.models.loop import Checkpoint, Training, read, run_epochs
from quant.models.train import TrainingOptions, train
from quant.models.zoo import build

OPTIONS = TrainingOptions(epochs=4, batch=25, average=0.5, flip=True, seed=3)
IDENTITY = {"model": "lenet5", "epochs": 4}


class Stop(Exception):
    """Something ends the process between two epochs."""


def stop_after(epoch):
    def on_epoch(done, _loss):
        if done == epoch:
            raise Stop

    return on_epoch


@pytest.mark.parametrize("model", ["lenet5", "fashion-cnn"])  # the second one draws dropout from torch's generator
@pytest.mark.parametrize("epoch", [0, 2])
def test_a_resumed_training_ends_in_the_same_bytes(tmp_path, model, epoch):
    images, labels = datasets.load("digits")
    paths, modules, losses = [tmp_path / f"{name}.pt" for name in "ab"], [], []
    whole = train(build(model), images, labels, OPTIONS, checkpoint=Checkpoint(paths[0], IDENTITY))
    with pytest.raises(Stop):
        train(build(model), images, labels, OPTIONS, stop_after(epoch), checkpoint=Checkpoint(paths[1], IDENTITY))
    torch.manual_seed(99)
    modules = [
        whole,
        train(
            build(model),
            images,
            labels,
            OPTIONS,
            lambda epoch, loss: losses.append(loss),
            checkpoint=Checkpoint(paths[1], IDENTITY, resume=True),
        ),
    ]
    first, second = (module.state_dict() for module in modules)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert losses == read(paths[0])["losses"] and len(losses) == 4


def line(losses, **options):
    """A Training of one weight whose loss is the next of `losses` (plus 0 times the weight); the loss behind an epoch's
    last step is one of them."""
    model = torch.nn.Linear(1, 1)
    values = iter(losses)
    return Training(
        model,
        torch.optim.SGD(model.parameters(), lr=1.0),
        torch.Generator(),
        lambda epoch, chosen: next(values) + 0.0 * model.weight.sum(),
        4,
        **options,
    )


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (float("nan"), "epoch 3, step 2: the loss became nan"),
        (float("inf"), "epoch 3, step 2: the loss became inf"),
        (101.0, "epoch 3, step 2: the loss reached 101, above the limit of 100"),
    ],
)
def test_a_diverging_training_stops_and_keeps_the_last_good_checkpoint(tmp_path, bad, message):
    options, path = replace(OPTIONS, batch=2), tmp_path / "state.pt"
    with pytest.raises(DivergedError, match=message) as error:
        run_epochs(line([1.0, 99.0, 1.0, 0.5, 0.5, 0.5, 0.5, bad]), options, checkpoint=Checkpoint(path, IDENTITY))
    assert "state.pt keeps epoch 2, the last good one" in str(error.value)
    assert read(path)["losses"] == [50.0, 0.5]
    rest = line([0.25, 0.25, 0.25, 0.125, 0.125, 0.125])
    run_epochs(rest, options, checkpoint=Checkpoint(path, IDENTITY, resume=True))
    assert rest.losses == [50.0, 0.5, 0.25, 0.125]


def test_what_the_last_step_of_an_epoch_spoilt_is_not_kept(tmp_path):
    options, path = replace(OPTIONS, batch=2), tmp_path / "state.pt"
    path.write_bytes(b"of another training")
    with pytest.raises(DivergedError, match="epoch 1, .*no epoch was complete, so there is no checkpoint of"):
        run_epochs(line([1.0, 1.0, 1e9]), options, checkpoint=Checkpoint(path, IDENTITY))
    with pytest.raises(DivergedError, match="epoch 2, .* keeps epoch 1, the last good one"):
        run_epochs(line([1.0, 1.0, 1.0, 0.5, 0.5, 1e9]), options, checkpoint=Checkpoint(path, IDENTITY))
    assert read(path)["losses"] == [1.0]


def test_parameters_that_turn_nan_stop_the_training():
    training = line([1.0] * 8)
    training.after_step = lambda: training.model.weight.data.fill_(float("nan"))
    with pytest.raises(DivergedError, match="epoch 1, step 4: .*weight became .*NaN; there is no checkpoint"):
        training.loss = lambda epoch, chosen: torch.ones((), requires_grad=True)
        run_epochs(training, replace(OPTIONS, batch=1))


def test_hooks_of_an_epoch_and_a_step():
    seen = []
    training = line([1.0] * 12, begin_epoch=lambda epoch: seen.append(epoch), after_step=lambda: seen.append("step"))
    run_epochs(training, replace(OPTIONS, batch=2))
    assert seen == [0, "step", "step", 1, "step", "step", 2, "step", "step", 3, "step", "step"]


def test_checkpoints_of_other_trainings_and_damaged_ones_are_refused(tmp_path):
    path = tmp_path / "state.pt"
    with pytest.raises(OutputError, match="end the name with .pt"):
        Checkpoint(tmp_path / "state.npz", IDENTITY)
    with pytest.raises(DataError, match="state.pt: checkpoint not found"):
        Checkpoint(path, IDENTITY, resume=True)
    run_epochs(line([1.0] * 12), replace(OPTIONS, batch=2), checkpoint=Checkpoint(path, IDENTITY))
    with pytest.raises(ModelError, match="was written by a training with epochs 4, not 5"):
        Checkpoint(path, {**IDENTITY, "epochs": 5}, resume=True)
    with pytest.raises(ModelError, match="with seed None, not 1"):
        Checkpoint(path, {**IDENTITY, "seed": 1}, resume=True)
    whole = path.read_bytes()
    for damaged in (b"", b"x", whole[:-500], whole[:300] + b"\0" + whole[301:200]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="cannot be read as a checkpoint"):
            Checkpoint(path, IDENTITY, resume=True)
    torch.save({"a": 1}, path)
    with pytest.raises(DataError, match="is not a checkpoint of format 1"):
        read(path)


DAMAGE = {
    "identity": 5,
    "losses": "0.5",
    "limit": "1",
    "model": [],
    "averaged": 3,
    "optimizer": None,
    "generator": [1],
    "random": None,
}


@pytest.mark.parametrize("key", DAMAGE)
def test_a_checkpoint_with_a_part_missing_or_of_another_type_is_refused(tmp_path, key):
    path = tmp_path / "state.pt"
    run_epochs(line([1.0] * 12), replace(OPTIONS, batch=2), checkpoint=Checkpoint(path, IDENTITY))
    state = torch.load(path, weights_only=True)
    torch.save({**state, key: DAMAGE[key]}, path)
    with pytest.raises(DataError, match=f"state.pt: is a checkpoint with a damaged {key}; give a file that"):
        read(path)
    torch.save({name: value for name, value in state.items() if name != key}, path)
    if key not in ("limit", "averaged"):  # these may be None
        with pytest.raises(DataError, match=f"damaged {key}"):
            read(path)


def with_other_settings(state):
    state["optimizer"]["param_groups"][0]["momentum"] = "much"


def of_other_sizes(state):
    state["model"]["weight"] = torch.ones(7)


def with_other_moments(state):
    state["optimizer"]["state"] = {0: {"momentum_buffer": torch.ones(7)}}


def with_a_short_generator(state):
    state["generator"] = torch.zeros(3, dtype=torch.uint8)


def with_tensors_in_its_identity(state):
    state["identity"]["epochs"] = torch.ones(2)


def with_a_word_as_loss(state):
    state["losses"][0] = "low"


@pytest.mark.parametrize(
    "damage",
    [
        with_other_settings,
        of_other_sizes,
        with_other_moments,
        with_a_short_generator,
        with_tensors_in_its_identity,
        with_a_word_as_loss,
    ],
)
def test_a_checkpoint_that_does_not_fit_its_training_is_refused(tmp_path, damage):
    path = tmp_path / "state.pt"
    run_epochs(line([1.0] * 12), replace(OPTIONS, batch=2), checkpoint=Checkpoint(path, IDENTITY))
    state = torch.load(path, weights_only=True)
    damage(state)
    torch.save(state, path)
    with pytest.raises(DataError, match="state.pt: .*; give a file that --checkpoint wrote"):
        run_epochs(line([1.0] * 12), replace(OPTIONS, batch=2), checkpoint=Checkpoint(path, IDENTITY, resume=True))


def test_the_train_command_resumes(quant, tmp_path):
    def command(name, *more):
        return (
            "train",
            "--data",
            tmp_path / "few.npz",
            "--epochs",
            2,
            "--checkpoint",
            tmp_path / f"{name}.pt",
            "--out",
            tmp_path / f"{name}.npz",
            *more,
        )

    images, labels = datasets.load("digits")
    np.savez(tmp_path / "few.npz", images=images, labels=labels)
    assert quant(*command("whole"))[0] == 0
    (tmp_path / "part.pt").write_bytes((tmp_path / "whole.pt").read_bytes())
    code, _, err = quant(*command("part", "--resume"))
    assert code == 0, err
    assert (tmp_path / "whole.npz").read_bytes() == (tmp_path / "part.npz").read_bytes()
    code, _, err = quant(*command("part", "--resume", "--seed", 2))
    assert code == 2 and "with seed 1, not 2" in " ".join(err.split())
