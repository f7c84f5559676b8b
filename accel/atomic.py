"""Output that is complete or absent: write beside the goal under a temporary name, rename at the end.

Whatever fails in between, nothing half-written is left and what was there before stays as it was.
"""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

from accel.errors import OutputError


def _reason(error):
    return error.strerror or type(error).__name__


@contextmanager
def atomic_directory(path, marker=None):
    """Yield a temporary directory that becomes `path` when the block ends without an exception.

    An existing empty directory is replaced. A non-empty one is replaced only where it holds the file
    `marker`, which shows that it is an earlier output; else OutputError. Raises OutputError where the
    directory cannot be written.
    """
    path = Path(path).absolute()
    _check_replaceable(path, marker)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise OutputError(f"{path}: cannot write here ({_reason(error)}); choose another output "
                          "folder") from None
    try:
        temporary.chmod(0o777 & ~_umask())
        try:
            yield temporary
            _exchange(temporary, path)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({_reason(error)}); check space and "
                              "permissions") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_replaceable(path, marker):
    try:
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise OutputError(f"{path}: exists and is not a folder; choose another output folder")
        if path.is_dir() and any(path.iterdir()) and not (marker and (path / marker).is_file()):
            raise OutputError(f"{path}: exists and holds no {marker or 'earlier output'}, so it is not "
                              "replaced; "
                              "remove it or choose another output folder")
    except OSError as error:
        raise OutputError(f"{path}: cannot be read ({_reason(error)}); choose another output "
                          "folder") from None


def _exchange(temporary, path):
    """Put `temporary` in the place of `path`; the old content goes only when the new one is in place."""
    if not path.exists():
        os.rename(temporary, path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
    os.rename(path, old / path.name)
    try:
        os.rename(temporary, path)
    except OSError:
        os.rename(old / path.name, path)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def write_file(path, data):
    """Write bytes or text (UTF-8) to `path` in one step. Raises OutputError where it cannot be written."""
    path = Path(path).absolute()
    data = data.encode() if isinstance(data, str) else data
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written ({_reason(error)}); choose another output "
                          "file") from None


def _umask():
    """The process's umask; it can only be read by setting it."""
    value = os.umask(0)
    os.umask(value)
    return value
