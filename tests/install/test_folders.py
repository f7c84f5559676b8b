"""Where what the simulators make goes: the checkout, the user's cache folder, a folder of one's own."""

import pytest

from accel import folders
from accel.errors import OutputError, TargetError
from accel.hdl import vivado
from sim.engines import cache


@pytest.fixture
def places(tmp_path, monkeypatch):
    """(checkout, the user's cache folder), both empty."""
    monkeypatch.delenv("BITLOOM_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    monkeypatch.setattr(folders, "CHECKOUT", checkout)
    return checkout, tmp_path / "home" / "bitloom"


def test_a_checkout_keeps_what_it_builds(places):
    checkout, _ = places
    assert cache.cache_dir() == checkout / "build" / "out" / "cache"
    assert folders.output_dir("waves") == checkout / "build" / "out" / "waves"


def test_a_read_only_checkout_and_an_installation_use_the_users_cache(places, monkeypatch):
    checkout, home = places
    with monkeypatch.context() as read_only:  # mode bits do not bind root
        read_only.setattr(folders.os, "access", lambda path, mode: not path.is_relative_to(checkout))
        assert cache.cache_dir() == home / "cache" and folders.output_dir("waves") == home / "waves"
        assert (cache.cached("kind", "key", lambda folder: None)).is_relative_to(home)
    assert list(checkout.iterdir()) == []
    monkeypatch.setattr(folders, "CHECKOUT", None)
    assert cache.cache_dir() == home / "cache"


def test_the_environment_names_another_cache(places, monkeypatch, tmp_path):
    monkeypatch.setenv("BITLOOM_CACHE", str(tmp_path / "mine"))
    assert cache.cache_dir() == tmp_path / "mine"
    (tmp_path / "mine").write_text("a file, no folder")
    with pytest.raises(OutputError, match=r"mine: the cache .* cannot be written \(.*\); set BITLOOM_CACHE"):
        cache.cached("kind", "key", lambda folder: None)


def test_a_user_without_a_home(places, monkeypatch):
    monkeypatch.setattr(folders, "CHECKOUT", None)
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "~")
    monkeypatch.setattr(folders.platformdirs, "user_cache_path", lambda name: folders.Path("~/.cache") / name)
    with pytest.raises(OutputError, match="set HOME, or BITLOOM_CACHE"):
        cache.cache_dir()


def test_a_kept_file_that_is_not_installed(places, monkeypatch):
    monkeypatch.setattr(folders, "CHECKOUT", None)
    monkeypatch.setattr(folders, "DISTRIBUTION", "no-such-distribution")
    with pytest.raises(TargetError, match="build/vivado/copy_memory.tcl: cannot be read .*; install Bitloom again"):
        vivado.kept_file("copy_memory.tcl")


def test_files_of_a_distribution_are_found_by_their_end():
    found = folders.installed_file("myhdl", "cosimulation/icarus/myhdl.c")
    assert found.is_file() and folders.installed_file("myhdl", "no/such/file") is None
