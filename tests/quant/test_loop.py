"""The shared epoch loop: resumed trainings end in the same bytes; one that diverges stops and keeps its checkpoint."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from accel.errors import DataError, ModelError, OutputError
from quant.data import datasets
from quant.models.errors import DivergedError
from quant.models.loop import Checkpoint, Training, read, run_epochs
from quant.models.networks import build
from quant.models.train import TrainingOptions, train

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
    modules = [whole, train(build(model), images, labels, OPTIONS, lambda epoch, loss: losses.append(loss),
                            checkpoint=Checkpoint(paths[1], IDENTITY, resume=True))]
    first, second = (module.state_dict() for module in modules)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert losses == read(paths[0])["losses"] and len(losses) == 4


def line(losses, **options):
    """A Training of one weight whose loss is the next of `losses` (plus 0 times the weight); the loss behind an epoch's
    last step is one of them."""
    model = torch.nn.Linear(1, 1)
    values = iter(losses)
    return Training(model, torch.optim.SGD(model.parameters(), lr=1.0), torch.Generator(),
                    lambda epoch, chosen: next(values) + 0.0 * model.weight.sum(), 4, **options)


@pytest.mark.parametrize(("bad", "message"), [
    (float("nan"), "epoch 3, step 2: the loss became nan"), (float("inf"), "epoch 3, step 2: the loss became inf"),
    (101.0, "epoch 3, step 2: the loss reached 101, above the limit of 100")])
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


def test_the_train_command_resumes(quant, tmp_path):
    def command(name, *more):
        return ("train", "--data", tmp_path / "few.npz", "--epochs", 2,
                "--checkpoint", tmp_path / f"{name}.pt", "--out", tmp_path / f"{name}.npz", *more)
    images, labels = datasets.load("digits")
    np.savez(tmp_path / "few.npz", images=images, labels=labels)
    assert quant(*command("whole"))[0] == 0
    (tmp_path / "part.pt").write_bytes((tmp_path / "whole.pt").read_bytes())
    code, _, err = quant(*command("part", "--resume"))
    assert code == 0, err
    assert (tmp_path / "whole.npz").read_bytes() == (tmp_path / "part.npz").read_bytes()
    code, _, err = quant(*command("part", "--resume", "--seed", 2))
    assert code == 2 and "with seed 1, not 2" in " ".join(err.split())
