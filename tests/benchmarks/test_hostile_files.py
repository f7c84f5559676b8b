"""Damaged files of every format: the door answers each, and a seed gives the same file again."""

import time

import numpy as np

from accel.errors import BitloomError
from benchmarks.hostile_files import FORMATS, damaged_file, open_it

COUNT = 120


def test_every_damaged_file_gives_a_result_or_one_sentence(tmp_path, capsys):
    seen = set()
    for seed in range(COUNT):
        path, kind = damaged_file(np.random.default_rng(seed), tmp_path)
        seen.add(kind)
        started = time.monotonic()
        try:
            open_it(path, kind)
        except BitloomError as error:
            text = str(error)
            assert text.isprintable() and len(text) < 420, f"seed {seed}: {text}"
        assert time.monotonic() - started < 10, f"seed {seed}"
    assert seen == {kind for kind, _ in FORMATS}
    assert "Traceback" not in capsys.readouterr().err


def test_a_seed_gives_the_same_file_and_another_one_another(tmp_path):
    files = []
    for seed in (1, 1, 2):
        path, kind = damaged_file(np.random.default_rng(seed), tmp_path)
        files.append((path.name, kind, path.read_bytes()))
    assert files[0] == files[1] != files[2]
