"""Damaged files from a seed."""

import numpy as np

from benchmarks.hostile_files import FORMATS, damaged_file


def test_a_seed_gives_the_same_file_and_another_one_another(tmp_path):
    files = []
    for seed in (1, 1, 2):
        path, kind = damaged_file(np.random.default_rng(seed), tmp_path)
        files.append((path.name, kind, path.read_bytes()))
    assert files[0] == files[1] != files[2]


def test_every_format_comes(tmp_path):
    seen = {damaged_file(np.random.default_rng(seed), tmp_path)[1] for seed in range(40)}
    assert seen == {kind for kind, _ in FORMATS}
