"""Installed by pip: the wheel is complete, and converts and simulates from any folder."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

from accel import folders, model_dir
from accel.ir import Graph, InputEncoding
from sim.cases import graphs as networks

ROOT = folders.PACKAGES
PRODUCT = ("accel", "quant", "sim", "build/vivado")
METADATA = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "NOTICE")
SMALL = ("--build", "4x4", "--json")
IGNORED = shutil.ignore_patterns("__pycache__")


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of what the wheel is made from: building writes into its folder."""
    folder = tmp_path_factory.mktemp("source")
    for name in PRODUCT:
        shutil.copytree(ROOT / name, folder / name, ignore=IGNORED)
    for name in METADATA:
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    """The wheel that pip builds."""
    folder = tmp_path_factory.mktemp("wheel")
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "-w",
        folder,
        source,
    )
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The Python of a new environment with the wheel; the packages of this environment are visible, but not its
    editable installation."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    program = folder / "bin" / "python"
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        program,
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        "--no-compile",
        wheel,
    )
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return program


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model of one small convolution and one dense layer."""
    rng = np.random.default_rng(3)
    image = networks.tensor(rng, 4, 4, 1)
    first = networks.conv(rng, "conv1", "input", image, 4, (3, 3))
    last = networks.dense(rng, "fc1", "conv1", first.output, 3, raw=True)
    path = tmp_path_factory.mktemp("model") / "tiny"
    model_dir.save(Graph("tiny", image, InputEncoding(), (first, last)), path)
    return path


def test_the_wheel_holds_every_file_of_the_product(source, wheel):
    """build/ goes to share/bitloom."""
    with zipfile.ZipFile(wheel) as archive:
        held = {name.partition(".data/data/share/bitloom/")[2] or name for name in archive.namelist()}
    expected = {
        path.relative_to(source).as_posix().removeprefix("build/")
        for name in PRODUCT
        for path in (source / name).rglob("*")
        if path.is_file()
    }
    assert {"vivado/create_project.tcl", "sim/engines/shim.cpp", "quant/zoo/digits/digits.npz"} <= expected
    assert not sorted(expected - held)


def test_an_installation_converts_and_simulates_from_any_folder(python, model, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name not in ("BITLOOM_CACHE", "PYTHONPATH")}
    environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    place = run(python, "-c", "import sim.cli; print(sim.cli.__file__)", cwd=tmp_path, env=environment)
    assert Path(place.strip()).is_relative_to(python.parents[1])
    program = python.with_name("bitloom")
    printed = run(program, "convert", "--model", model, *SMALL, "--out", "design", cwd=tmp_path, env=environment)
    for name in json.loads(printed)["files"]:
        assert (tmp_path / "design" / name).is_file()
    kept = (ROOT / "build" / "vivado" / "create_project.tcl").read_bytes()
    assert (tmp_path / "design" / "vivado" / "create_project.tcl").read_bytes() == kept
    # Icarus: Verilator compiles for ten seconds. Its sources in the wheel are seen above.
    printed = run(
        python,
        "-m",
        "sim",
        "run",
        "--model",
        model,
        "--engine",
        "icarus",
        "--count",
        "1",
        *SMALL,
        cwd=tmp_path,
        env=environment,
    )
    figures = json.loads(printed)
    assert figures["count"] == 1 and figures["mismatches"] == 0
    assert {path.name for path in (tmp_path / "cache" / "bitloom" / "cache").iterdir()} == {"hdl", "icarus", "vpi"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "design"]
