"""Damaged models, files and option values: each ends in a result or one sentence, in time and within memory."""

import collections
import functools
import shutil
import tempfile
from pathlib import Path

import numpy as np

from accel.errors import ModelError
from benchmarks import hostile_files, hostile_models, hostile_options
from benchmarks.forked import BAD, MEMORY, SECONDS, outcomes
from benchmarks.report import Result, Row

COUNT, SEED, QUICK = 20_000, 1, 200
SHOWN = 50  # failing cases that the result lists


def _model(seed, folder, index):
    rng = np.random.default_rng([seed, 0, index])
    hostile_models.damaged_model(rng, folder / "model")
    hostile_models.try_model(rng, folder / "model")


def _file(seed, folder, index):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    hostile_files.open_it(*hostile_files.damaged_file(np.random.default_rng([seed, 1, index]), folder))


def _option(seed, folder, index):
    hostile_options.try_arguments(np.random.default_rng([seed, 2, index]), folder)


KINDS = {  # name -> (case, cases of COUNT, what it is)
    "models": (_model, 1, "damaged or extreme models"),
    "files": (_file, 10, "weight, image and checkpoint files"),
    "options": (_option, 4, "command lines with bad option values"),
}


def measure(progress, folder, quick, data_dir, count=None, seed=None):
    """COUNT damaged models, a tenth as many files, a quarter as many command lines (quick: QUICK)."""
    count, seed = count or (QUICK if quick else COUNT), SEED if seed is None else seed
    rows, details = [], {"seed": seed, "count": count}
    with tempfile.TemporaryDirectory() as scratch:
        for name, (_, share, text) in KINDS.items():
            cases = max(1, count // share)
            task = progress.add_task(name, total=cases)
            advance = functools.partial(progress.advance, task)
            figures = run_kind(name, range(cases), seed, Path(scratch) / name, advance)
            details[name] = figures
            counts = figures["counts"]
            bad = sum(counts.get(kind, 0) for kind in BAD)
            rows.append(
                Row(
                    f"{cases:,} {text}",
                    f"no traceback, no hang ({SECONDS} s), {MEMORY >> 30} GB at most",
                    "",
                    f"{counts.get('refused', 0):,} refused in one sentence, {counts.get('accepted', 0):,} "
                    f"accepted, {bad} fail",
                    bad == 0,
                )
            )
    return Result("hostile", tuple(rows), details)


def run_kind(name, indices, seed, folder, advance=lambda: None):
    """{counts: outcomes by kind, failing: the first of them} of cases of one of KINDS; a case depends on seed and
    index."""
    if name not in KINDS:
        raise ModelError(f"kind {name!r}: must be one of {', '.join(KINDS)}")
    warm_up = None
    if name == "options":
        hostile_options.prepare(folder)
        warm_up = functools.partial(hostile_options.warm_up, folder)
    elif name == "files":
        warm_up = functools.partial(hostile_files.warm_up, folder)
    counts, failing = collections.Counter(), []
    case = functools.partial(KINDS[name][0], seed, folder)
    for outcome in outcomes(case, indices, warm_up=warm_up or (lambda: None)):
        counts[outcome.kind] += 1
        if outcome.kind in BAD and len(failing) < SHOWN:
            failing.append({"index": outcome.index, "kind": outcome.kind, "text": outcome.text})
        advance()
    return {"counts": dict(sorted(counts.items())), "failing": failing}
