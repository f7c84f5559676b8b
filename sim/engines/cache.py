"""A content-addressed folder of built things, safe with parallel test processes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from accel import folders
from accel.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = folders.PACKAGES


def cache_dir() -> Path:
    """The cache's folder: $BITLOOM_CACHE, else build/out/cache of the checkout or the user's cache folder."""
    named = os.environ.get("BITLOOM_CACHE")
    return Path(named) if named else folders.output_dir("cache")


def content_key(*parts: object) -> str:
    """A short hash of strings, bytes and files (Path: the content, not the name)."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            part = part.read_bytes()
        data = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:20]


def cached(kind: str, key: str, build: Callable[[Path], None]) -> Path:
    """The folder cache/<kind>/<key>; build(empty folder) makes it when it is not there yet.

    One process builds while others wait (file lock). A rename makes the folder appear at once, so a process
    that is killed half-way leaves nothing that looks complete. Raises OutputError where the cache cannot be written.
    """
    final = cache_dir() / kind / key
    if final.is_dir():
        return final
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        lock = open(final.parent / f"{key}.lock", "w")
    except OSError as error:
        raise OutputError(
            f"{cache_dir()}: the cache of the simulators cannot be written ({error.strerror}); set "
            "BITLOOM_CACHE to a folder that can"
        ) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if final.is_dir():
            return final
        scratch = Path(tempfile.mkdtemp(prefix=f"{key}.", dir=final.parent))
        try:
            build(scratch)
            os.rename(scratch, final)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return final
