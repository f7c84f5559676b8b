"""Where an output may go, checked before the work that makes it: nothing of somebody else is ever replaced.

A folder is replaced only where everything in it is what we wrote: its kind reads the list of the files with their
checksums out of the folder (`owned`). A file is replaced only where it carries the mark of its kind.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from accel.checks import shown
from accel.errors import BitloomError, OutputError
from accel.work_folder import existing_parent, work_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import NoReturn

    from accel.types import StrPath

_LONGEST_PATH = 3800  # PATH_MAX less what stands below the folder
_MARK_WINDOW = 4096  # bytes from a file's beginning and end in which its mark stands


@dataclass(frozen=True)
class Folder:
    """A folder to write. owned(folder) -> names of the files in it that we wrote, relative and with "/".

    owned raises BitloomError where the folder is none of its kind or a listed file is not as it was written.
    """

    path: StrPath | None
    owned: Callable[[Path], Iterable[str]]
    label: str = "--out"

    what = "folder"

    def check_content(self, goal: Path) -> None:
        """Raise OutputError where the existing `goal` may not be replaced."""
        if not stat.S_ISDIR(os.lstat(goal).st_mode):
            raise OutputError(f"{self.label} {shown(goal)}: exists and is not a folder; choose another output folder")
        if os.path.ismount(goal):
            raise OutputError(
                f"{self.label} {shown(goal)}: is a mount point, which cannot be replaced; choose a folder in it"
            )
        if not any(goal.iterdir()):
            raise OutputError(
                f"{self.label} {shown(goal)}: is an empty folder that Bitloom did not make; remove it or "
                "choose another output folder"
            )
        try:
            names = set(self.owned(goal))
            why = _stranger(goal, names)
        except BitloomError as error:
            why = shown(str(error).removeprefix(f"{goal}: "), 200)
        if why:
            raise OutputError(
                f"{self.label} {shown(goal)}: is not replaced, because {why}; move it away or choose "
                "another output folder"
            )


@dataclass(frozen=True)
class File:
    """A file to write. mark: bytes near its beginning or end that every file of this kind has, and no other.

    A callable mark(path) -> bool decides by itself; None replaces any regular file.
    """

    path: StrPath | None
    mark: bytes | Callable[[Path], bool] | None
    label: str = "--out"

    what = "file"

    def check_content(self, goal: Path) -> None:
        """Raise OutputError where the existing `goal` may not be replaced."""
        if not stat.S_ISREG(os.lstat(goal).st_mode):
            raise OutputError(f"{self.label} {shown(goal)}: exists and is not a file; choose another output file")
        if self.mark is None:
            return
        if not (self.mark(goal) if callable(self.mark) else has_mark(goal, self.mark)):
            raise OutputError(
                f"{self.label} {shown(goal)}: exists and is not a file that this command wrote; move it "
                "away or choose another output file"
            )


Output: TypeAlias = Folder | File


def check_outputs(*outputs: Output, **inputs: StrPath | list[StrPath] | None) -> None:
    """Raise OutputError, one sentence, where one of the outputs (Folder, File) cannot or may not be written.

    Outputs whose path is None are left out. inputs: {option without dashes: path, list of paths or None} of files and
    folders that the command reads: no output may be, hold or lie in one of them, nor in another output. Nothing stays
    behind.
    """
    wanted = [output for output in outputs if output.path is not None]
    goals = [place(output) for output in wanted]
    for index, (output, goal) in enumerate(zip(wanted, goals, strict=True)):
        for name, paths in inputs.items():
            for path in paths if isinstance(paths, list) else [paths]:
                if path is not None and os.path.lexists(path):
                    _check_apart(output, goal, f"--{name}", Path(os.path.realpath(path)))
        for other, taken in zip(wanted[:index], goals, strict=False):
            _check_apart(output, goal, other.label, taken)
            _check_apart(other, taken, output.label, goal)
    for output in wanted:
        check_output(output)


def check_output(output: Output) -> Path:
    """The place of one output as an absolute path; OutputError where it cannot or may not be written."""
    goal = place(output)
    try:
        if os.path.lexists(goal):
            output.check_content(goal)
        with work_folder(goal):  # a trial: a place that can be written
            pass
    except OSError as error:
        raise OutputError(
            f"{output.label} {shown(goal)}: cannot be written ({reason(error)}); choose another output {output.what}"
        ) from None
    return goal


def check_named(path: StrPath, label: str = "--out") -> None:
    """Raise OutputError for an empty name, which pathlib would take for the current folder."""
    if not os.fspath(path):
        raise OutputError(f"{label} '': names nothing; choose another output folder")


def place(output: Output) -> Path:
    """The absolute path of an output, links in the folders above it resolved. Raises OutputError."""
    label, what = output.label, output.what
    text = os.fspath("" if output.path is None else output.path)
    check_named(text, label)
    if not text.isprintable():
        raise OutputError(
            f"{label} {shown(text)}: holds characters that cannot be printed; choose another output {what}"
        )
    name = os.path.basename(text.rstrip("/"))
    try:
        if name in ("", ".", ".."):
            goal = Path(os.path.realpath(text))
        else:
            goal = Path(os.path.realpath(os.path.dirname(text.rstrip("/")))) / name
        for name, path in (("current", Path.cwd()), ("home", Path(os.path.realpath(os.path.expanduser("~"))))):
            if goal == path or goal in path.parents:
                raise OutputError(
                    f"{label} {shown(text)}: is the {name} folder or holds it; choose another output {what}"
                )
        if goal.is_symlink():
            raise OutputError(
                f"{label} {shown(goal)}: is a symbolic link; name what it points to, or choose another output {what}"
            )
        parent = existing_parent(goal)
        if not parent.is_dir():
            raise OutputError(f"{label} {shown(goal)}: {shown(parent)} is not a folder; choose another output {what}")
        longest = os.pathconf(parent, "PC_NAME_MAX")
        if max(len(os.fsencode(part)) for part in goal.parts) > longest or len(os.fsencode(goal)) > _LONGEST_PATH:
            raise OutputError(f"{label} {shown(goal)}: is too long a name; choose another output {what}")
    except OSError as error:
        raise OutputError(
            f"{label} {shown(text)}: cannot be read ({reason(error)}); choose another output {what}"
        ) from None
    return goal


def _check_apart(output: Output, goal: Path, label: str, other: Path) -> None:
    """No output is `other`, holds it, or lies in it where it is a folder."""
    if goal == other:
        relation = "is"
    elif goal in other.parents:
        relation = "holds"
    elif other in goal.parents:
        relation = "lies in"
    else:
        return
    raise OutputError(
        f"{output.label} {shown(goal)}: {relation} the {label} {shown(other)}; choose another output {output.what}"
    )


def _stranger(folder: Path, names: set[str]) -> str | None:
    """The first thing in the folder that is not listed, as a reason, or None."""
    folders = {parent for name in names for parent in Path(name).parents}
    for current, below, files in os.walk(folder, onerror=_raise):
        below.sort()
        for name in sorted((*below, *files)):
            path = Path(current, name)
            relative = path.relative_to(folder)
            is_folder = name in below and not path.is_symlink()
            known = relative in folders if is_folder else stat.S_ISREG(os.lstat(path).st_mode)
            if not known or (not is_folder and relative.as_posix() not in names):
                return f"it holds {shown(relative)}, which Bitloom did not write"
    return None


def _raise(error: OSError) -> NoReturn:
    raise error


def has_mark(path: Path, mark: bytes) -> bool:
    """Whether the file holds the bytes `mark` near its beginning or end."""
    with open(path, "rb") as stream:
        head = stream.read(_MARK_WINDOW)
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - _MARK_WINDOW))
        return mark in head or mark in stream.read(_MARK_WINDOW)


def reason(error: OSError) -> str:
    """What the system says about an OSError."""
    return getattr(error, "strerror", None) or type(error).__name__
