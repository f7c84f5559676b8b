"""A clone and its set-up: the same bytes on every system, and one sentence where the set-up cannot go on."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from accel import folders, model_dir

ROOT = folders.PACKAGES
COPIED = ("accel", "quant", "scripts", ".ci", "build/vivado")
FILES = (".gitattributes", ".gitignore", "Makefile", "setup.cfg", "requirements.lock")
PIP = """#!/bin/sh
case "$*" in
  *--version*) exit 0 ;;
  *"config get"*) exit 1 ;;
esac
echo "{output}" >&2
exit 1
"""
OFFLINE = """WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(...)': /simple/click/
ERROR: Could not find a version that satisfies the requirement click==8.5.1 (from versions: none)
ERROR: No matching distribution found for click==8.5.1"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone with core.autocrlf=true of a repository of the same files."""
    origin = tmp_path_factory.mktemp("origin")
    for name in COPIED:
        shutil.copytree(ROOT / name, origin / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, origin)
    target = tmp_path_factory.mktemp("clone") / "bitloom"
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        [*identity, "commit", "-q", "-m", "all"],
        ["clone", "-q", "-c", "core.autocrlf=true", str(origin), str(target)],
    ):
        subprocess.run(["git", *command], cwd=origin, check=True)
    return target


def files_of(folder):
    return {
        path.relative_to(folder)
        for name in COPIED
        for path in (folder / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    } | {Path(name) for name in FILES}


def test_a_clone_with_autocrlf_has_the_same_bytes(clone):
    assert files_of(clone) == files_of(ROOT)
    assert not [str(name) for name in files_of(ROOT) if (clone / name).read_bytes() != (ROOT / name).read_bytes()]
    text = subprocess.run(["git", "config", "core.autocrlf"], cwd=clone, capture_output=True, text=True).stdout
    assert text.strip() == "true"


def test_a_clone_with_autocrlf_works(clone):
    subprocess.run(["bash", "-n", "scripts/setup.sh", ".ci/run"], cwd=clone, check=True)
    assert model_dir.load(str(clone / "quant" / "zoo" / "lenet5-int8")).name
    assert subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True).stdout == ""


def setup(tmp_path, *arguments, pip="", path=None):
    """Exit code and what scripts/setup.sh says, with an environment whose pip fails with the given output."""
    program = tmp_path / "venv" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text(PIP.format(output=pip))
    program.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment["PATH"] = path or environment["PATH"]
    done = subprocess.run(
        [shutil.which("bash"), ROOT / "scripts" / "setup.sh", *arguments],
        env=environment,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("step", ("convert", "python"))
def test_a_set_up_without_network_says_so(step, tmp_path):
    code, said = setup(tmp_path, step, sys.executable, tmp_path / "venv", pip=OFFLINE)
    assert code == 1 and said.count("\n") == 1
    assert said.startswith("setup: cannot reach the package index https://")
    assert "click==8.5.1" in said and "https_proxy" in said and "PIP_FIND_LINKS=FOLDER" in said


def test_any_other_failure_of_pip_is_shortened(tmp_path):
    output = "pages of text\n  ERROR: No space left on device\nmore text"
    code, said = setup(tmp_path, "convert", sys.executable, tmp_path / "venv", pip=output)
    assert code == 1 and said.count("\n") == 1
    assert said.startswith("setup: pip could not install the packages (ERROR: No space left on device). To see all")


def test_a_python_that_is_too_old_or_missing(tmp_path):
    code, said = setup(tmp_path, "convert", tmp_path / "no-python", tmp_path / "venv")
    assert (code, said) == (
        1,
        f"setup: {tmp_path}/no-python is not Python 3.11 or newer. Name one: make PYTHON=/path/to/python3.11\n",
    )


def test_a_debian_without_venv_and_without_root(tmp_path):
    """A Python without ensurepip; apt-get cannot be used."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("dirname", "sed", "cut", "grep", "head"):
        (tools / name).symlink_to(shutil.which(name))
    answers = {"apt-get": "exit 100", "id": "echo 1000", "python": 'case "$2" in *ensurepip*) exit 1 ;; esac'}
    for name, answer in answers.items():
        (tools / name).write_text(f"#!/bin/sh\n{answer}\n")
        (tools / name).chmod(0o755)
    (tools / "sh").symlink_to("/bin/sh")
    code, said = setup(tmp_path, "convert", tools / "python", tmp_path / "venv", path=str(tools))
    assert code == 1
    assert said == (
        "setup: missing: python3-venv. Without root this script cannot install it. "
        "Run: sudo apt-get install python3-venv\n"
    )
    (tools / "id").write_text("#!/bin/sh\necho 0\n")
    code, said = setup(tmp_path / "again", "convert", tools / "python", tmp_path / "venv", path=str(tools))
    assert code == 1
    assert said.endswith("Without network access, install these packages by hand.\n")
