"""A missing Python package is one sentence with the command that installs it, and exit code 2."""

import configparser
import subprocess
import sys

import pytest

from accel import folders, start
from accel.cli import run_cli
from accel.errors import TargetError
from quant.cli.main import main as quant
from quant.data.images import read_images
from quant.export.tables import safetensors_bytes
from sim.cli import check_engine
from tests.test_structure import imported_modules, python_files

ROOT = folders.PACKAGES
BLOCKED = """
import runpy, sys
sys.modules[sys.argv[1]] = None
sys.argv[:] = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
NEEDED = {  # what a package that is missing stops: in the imports of a command
    "click": ("accel.convert", "quant", "sim", "benchmarks"),
    "rich": ("accel.convert",),
    "numpy": ("accel.convert",),
    "myhdl": ("accel.convert", "sim"),
    "platformdirs": ("accel.convert",),
}


@pytest.mark.parametrize(("package", "command"), [(name, one) for name, many in NEEDED.items() for one in many])
def test_a_command_without_a_package_says_so(package, command):
    done = subprocess.run([sys.executable, "-c", BLOCKED, package, command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"error: the Python package {package} is missing; run: pip install {package}\n"


@pytest.mark.parametrize("package", ("torch", "scipy", "matplotlib", "jinja2"))
def test_a_report_without_a_package_stops_before_its_work(package, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(sys, "argv", ["quant", "report", "--model", "lenet5", "--data", "digits", "--out", "report"])
    with pytest.raises(SystemExit) as left:
        run_cli(quant)
    assert left.value.code == 2
    assert capsys.readouterr().err == f"error: the Python package {package} is missing; run: pip install {package}\n"


def test_all_that_is_missing_of_a_group_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(TargetError, match="package torch is missing; run: pip install torch pillow$"):
        start.need("numpy", "torch")
    with pytest.raises(TargetError, match="package torch is missing; run: pip install torch$"):
        start.need("torch", alone=True)
    start.need("numpy")


def test_what_reads_a_picture_or_writes_a_table_asks_for_its_own_package_only(monkeypatch, tmp_path):
    for module in ("PIL", "safetensors", "torch"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(TargetError, match="package pillow is missing; run: pip install pillow$"):
        read_images(tmp_path / "digit.png")
    with pytest.raises(TargetError, match="package safetensors is missing; run: pip install safetensors$"):
        safetensors_bytes(None)


def test_a_package_that_an_import_deep_inside_a_command_misses(monkeypatch, capsys):
    def fails(**_):
        raise ModuleNotFoundError("No module named 'sympy.core'", name="sympy.core")

    monkeypatch.setattr(quant.commands["evaluate"], "callback", fails)
    monkeypatch.setattr(sys, "argv", ["quant", "evaluate", "lenet5-int8"])
    with pytest.raises(SystemExit) as left:
        run_cli(quant)
    assert left.value.code == 2
    assert capsys.readouterr().err == "error: the Python package sympy is missing; run: pip install sympy\n"


def test_what_is_no_missing_package():
    broken = ImportError("libgomp.so.1: cannot open\nshared object file", name="torch._C")
    assert start.explain(broken) == (
        "the Python package torch cannot be imported (libgomp.so.1: cannot open shared "
        "object file); install it again: pip install torch"
    )
    assert start.explain(ModuleNotFoundError("No module named 'accel.nothing'", name="accel.nothing")) is None
    assert start.explain(ImportError("cannot import name")) is None


@pytest.mark.parametrize("package", ("myhdl", "verilator"))
def test_an_engine_without_its_package(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(TargetError, match=rf"engine verilator: needs the Python package {package} \(pip install"):
        check_engine("verilator")


def test_the_groups_are_those_of_setup_cfg():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")

    def listed(text):
        return {
            line.partition(";")[0].strip() for line in text.split("\n") if line.strip() and not line.startswith("#")
        }

    base, training = listed(setup["options"]["install_requires"]), listed(setup["options.extras_require"]["train"])
    assert base == set(start.GROUPS[0]) and training == set(start.GROUPS[1])
    convert = (ROOT / "requirements.lock").read_text(encoding="utf-8").partition("\n# Everything else")[0]
    names = {line.partition("==")[0] for line in convert.splitlines() if "==" in line}
    assert names - {"markdown-it-py", "mdurl", "Pygments"} == base - {"verilator"}  # rich's own


def test_what_the_commands_import_needs_no_tests():
    """Nor pytest: from the entry points on, through imports anywhere in a file."""
    files = {
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"): path
        for path in python_files()
    }
    seen, waiting = (
        set(),
        [
            "accel.console",
            "accel.convert",
            "quant.__main__",
            "quant.cli.main",
            "sim.__main__",
            "sim.cli",
            "sim.engines.convert_job",
            "sim.engines.icarus",
            "sim.engines.verilator",
        ],
    )
    while waiting:
        name = waiting.pop()
        if name in files and name not in seen:
            seen.add(name)
            waiting += imported_modules(files[name], types=False)
        elif name not in files:
            assert name.partition(".")[0] not in ("pytest", "hypothesis", "tests", "benchmarks"), name
    assert {"sim.comparison", "accel.rtl.top", "quant.qat.train"} <= seen
    assert not [name for name in seen if name.startswith("tests")]
