"""Output that is complete or absent: made in a work folder beside the goal, renamed at the end.

Whatever fails in between, nothing half-written is left and what was there before stays as it was.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from accel.checks import shown
from accel.errors import OutputError
from accel.outputs import File, check_output, reason
from accel.signals import ending_tidily, unbroken
from accel.work_folder import NEW, OLD, work_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from accel.outputs import Folder, Output
    from accel.types import StrPath


@contextmanager
def atomic_directory(output: Folder) -> Iterator[Path]:
    """Yield a folder that takes the place of `output` (accel.outputs.Folder) when the block ends without an exception.

    Raises OutputError where it cannot be written, or where the place holds anything that its kind did not write: then
    all stays as it was.
    """
    with _made_at(output) as (goal, new):
        os.mkdir(new)
        yield new
        with unbroken():
            _put_folder(output, new, goal, new.with_name(OLD))


def write_file(path: StrPath, data: bytes | str, mark: bytes | Callable[[Path], bool] | None = None) -> None:
    """Write bytes or text (UTF-8) to `path` in one step. Raises OutputError where it cannot be written.

    mark: of accel.outputs.File, which says which existing file may be replaced; None: any.
    """
    data = data.encode() if isinstance(data, str) else data
    with _made_at(File(path, mark, label="file")) as (goal, new):
        new.write_bytes(data)
        goal.parent.mkdir(parents=True, exist_ok=True)
        os.replace(new, goal)


@contextmanager
def _made_at(output: Output) -> Iterator[tuple[Path, Path]]:
    """Yield (goal, a free path in a work folder beside it); every OSError becomes an OutputError."""
    goal = check_output(output)
    try:
        with ending_tidily(), work_folder(goal) as folder:
            yield goal, folder / NEW
    except OSError as error:
        raise OutputError(
            f"{output.label} {shown(goal)}: cannot be written ({reason(error)}); check space and "
            f"permissions, or choose another output {output.what}"
        ) from error


def _put_folder(output: Folder, new: Path, goal: Path, old: Path) -> None:
    """Put `new` in the place of `goal`, whose content goes to `old` and back where that fails."""
    goal.parent.mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(goal):
        os.rename(new, goal)
        return
    output.check_content(goal)  # again: the work may have taken hours
    os.rename(goal, old)
    try:
        os.rename(new, goal)
    except OSError:
        os.rename(old, goal)
        raise
