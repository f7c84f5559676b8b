"""Hidden folders in which an output is made beside its goal, and what is left of those whose run was killed.

A work folder `.bitloom-XXXXXXXX` holds the file `owner`, which its run keeps locked: the lock ends with the process,
however that ends. A folder whose owner file has our text and no lock is of a dead run.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from accel.signals import unbroken

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = ".bitloom-"
OWNER, NEW, OLD = "owner", "new", "old"
_TEXT = "Bitloom: output of a run that is not finished; a later run removes this folder.\ngoal: "


@contextmanager
def work_folder(goal: Path) -> Iterator[Path]:
    """Yield a Path to a new folder beside `goal`, on its file system; it is gone when the block ends.

    First removes those of dead runs. Raises OSError where no folder can be made.
    """
    parent = existing_parent(goal)
    _sweep(parent)
    made = []
    try:
        with unbroken():
            made.append(_make(parent, goal.name))
        yield made[0][0]
    finally:
        with unbroken():
            for folder, lock in made:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def existing_parent(goal: Path) -> Path:
    """The nearest path above `goal` that exists; a folder, where the goal can exist at all."""
    return next(parent for parent in goal.parents if os.path.lexists(parent))


def _make(parent: Path, name: str) -> tuple[Path, int]:
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    lock = os.open(folder / OWNER, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    _lock(lock)
    os.write(lock, (_TEXT + name).encode())  # last: a folder with this text has had its lock
    return folder, lock


def _lock(handle: int) -> bool:
    """Whether the lock was free; where the file system has no locks it counts as taken."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _sweep(parent: Path) -> None:
    """Remove the work folders of dead runs in `parent`; what was moved out of its place goes back."""
    for folder in sorted(parent.glob(f"{PREFIX}*")):
        try:
            handle = os.open(folder / OWNER, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            text = os.read(handle, 4096).decode(errors="replace")
            if not folder.is_symlink() and text.startswith(_TEXT) and _lock(handle):
                _restore(folder / OLD, parent / Path(text.removeprefix(_TEXT)).name)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue
        finally:
            os.close(handle)


def _restore(old: Path, goal: Path) -> None:
    """A run killed between its two renames left the goal empty and the earlier output here."""
    if os.path.lexists(old) and not os.path.lexists(goal):
        os.rename(old, goal)
