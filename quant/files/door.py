"""The one door for files of strangers.

Every reader of this package opens its file here: a regular file of bounded size, and whatever the reader or a
library beneath it raises becomes one DataError of one sentence. Readers check what a file declares before they take
memory for it, and nothing in a file is executed.
"""

from __future__ import annotations

import os
import stat
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from accel.checks import plain, shown
from accel.errors import BitloomError, DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from accel.types import StrPath

MAX_BYTES = 1 << 30  # of a file, and of the arrays in it
_LEAVING = KeyboardInterrupt, SystemExit, GeneratorExit
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # a pipe must not block the opening


def check_regular(path: StrPath) -> None:
    """Raise DataError for a folder, a pipe or a device, whatever its name ends in."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise DataError(f"{shown(path)}: is not a regular file; give a file")


@contextmanager
def guarded(path: StrPath, what: str, remedy: str) -> Iterator[None]:
    """Any failure inside becomes DataError: `path` cannot be read as `what`, because of ...; `remedy`.

    Errors that say it themselves (BitloomError) pass. Warnings of the libraries are not for the user and stay silent.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (BitloomError, *_LEAVING):
        raise
    except BaseException as error:  # libraries raise anything here, one in Rust not even an Exception
        raise DataError(f"{shown(path)}: cannot be read as {what} ({_reason(error)}); {remedy}") from error


@contextmanager
def opened(path: StrPath, what: str, remedy: str) -> Iterator[tuple[BinaryIO, int]]:
    """Yield (binary stream, its size in bytes) of a regular file, guarded. Raises DataError."""
    check_regular(path)
    with guarded(path, what, remedy):
        handle = os.open(path, _FLAGS)
        with os.fdopen(handle, "rb") as stream:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise DataError(f"{shown(path)}: is not a regular file; give {what}")
            check_size(path, "is", status.st_size)
            if not status.st_size:
                raise ValueError("the file is empty")
            yield stream, status.st_size


def check_size(path: object, verb: str, size: int) -> None:
    """Raise DataError where something of a file takes more than MAX_BYTES."""
    if size > MAX_BYTES:
        raise DataError(
            f"{shown(path)}: {verb} {plain(size, 30)} bytes, at most {MAX_BYTES} are allowed; split the "
            "file, or save narrower numbers"
        )


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split())
    if isinstance(error, ValueError) and text:
        return plain(text, 100)
    return plain(f"{type(error).__name__}: {text}" if text else type(error).__name__, 100)
