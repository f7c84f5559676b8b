"""Where files lie: in a checkout of the repository, or beside packages that pip installed."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path

import platformdirs

from accel.errors import OutputError

PACKAGES = Path(__file__).resolve().parents[1]  # the folder that holds accel/, quant/, sim/
CHECKOUT = PACKAGES if (PACKAGES / "setup.cfg").is_file() else None
DISTRIBUTION = "bitloom"


def kept_file(name: str) -> Path | None:
    """Path of a file that the repository keeps in build/, such as vivado/copy_memory.tcl; None where there is none.

    pip installs these files into share/bitloom of the environment (setup.cfg, data_files).
    """
    return CHECKOUT / "build" / name if CHECKOUT else installed_file(DISTRIBUTION, f"share/bitloom/{name}")


def installed_file(distribution: str, end: str) -> Path | None:
    """Path of the file of an installed distribution whose name ends so, wherever pip has put it; None without one."""
    try:
        files = importlib.metadata.files(distribution) or ()
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(file.locate()).resolve() for file in files if file.as_posix().endswith(f"/{end}")), None)


def user_cache() -> Path:
    """The user's cache folder of Bitloom, which need not exist: ~/.cache/bitloom on Linux."""
    folder = platformdirs.user_cache_path(DISTRIBUTION)
    if not folder.is_absolute():  # a user without a home
        raise OutputError(
            "the user's cache folder is unknown; set HOME, or BITLOOM_CACHE to a folder that can be written"
        )
    return folder


def output_dir(name: str) -> Path:
    """Folder for what simulators make: build/out/NAME of a checkout that can be written, else in the user's cache."""
    if CHECKOUT and can_write(CHECKOUT / "build" / "out" / name):
        return CHECKOUT / "build" / "out" / name
    return user_cache() / name


def can_write(folder: Path) -> bool:
    """Whether a folder can be written, or be made where it does not exist."""
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    return existing.is_dir() and os.access(existing, os.W_OK)
