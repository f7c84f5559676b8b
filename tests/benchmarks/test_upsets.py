"""Flipped bits of descriptors: some of LeNet-5's, on the model that the tests of LeNet-5 compile."""

import pytest

from accel.descriptor import FIELDS
from benchmarks import upsets


class Silent:
    """A progress bar that shows nothing."""

    def add_task(self, name, total):
        return name

    def advance(self, task):
        pass


def test_every_flip_ends_and_lenet_is_right_afterwards(tmp_path):
    result = upsets.measure(Silent(), tmp_path, True, None, count=40, seed=1)
    assert result.met and result.details["networks"] == ["lenet5-int8"]
    assert sum(result.details["outcomes"].values()) == 40


@pytest.fixture(scope="module")
def bench():
    made = upsets.Bench(upsets.ZOO[:1], (8,))
    yield made
    made.accelerator.close()


def test_a_flip_into_endless_loops_is_found(bench):
    """The top bits of a layer's rows, columns and words: a limit or the watchdog; without them it does not end."""
    lenet = bench.programs[0]
    field = FIELDS["oh_minus1"]
    for bit in (field.low + field.bits - 1, field.low + 9):
        assert bench.outcome(lenet, 1, field.word, bit) in (upsets.STOPPED, upsets.LIMITED)
    assert bench.outcome(lenet, 0, FIELDS["kwords_minus1"].word, 31) == upsets.REFUSED
    assert bench.lenet_is_right(0)


def test_a_wrong_lenet_and_an_endless_program_are_noticed(bench, monkeypatch):
    wrong = bench.logits.copy()
    wrong[0] += 1
    monkeypatch.setattr(bench, "logits", wrong)
    assert not bench.lenet_is_right(0) and bench.lenet_is_right(1)
    monkeypatch.setattr(bench.accelerator, "run_to_end", lambda *arguments: False)
    assert bench.outcome(bench.programs[0], 0, 0, 0) is None


def test_flips_are_drawn_once_each(bench):
    flips = bench.flips(500, 3)
    assert flips == bench.flips(500, 3) != bench.flips(500, 4)
    assert len({(program.name, *flip) for program, *flip in flips}) == 500
