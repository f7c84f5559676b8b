"""Bad option values: a command line from a seed, with one or two values of a kind that nobody should give."""

import contextlib
import importlib
import io
import os
import shutil

import click
import numpy as np

from accel import model_dir
from accel.cli import run_cli
from accel.errors import BitloomError
from benchmarks.hostile_files import NETWORK
from benchmarks.hostile_models import small_graph

FLOAT = ["--model", "net.py:net"]
DATA = ["--data", "data.npz"]
# Command -> what a run needs that ends in a moment.
COMMANDS = {
    ("accel.convert", ()): ["--model", "model", "--out", "out", "--golden", "1"],
    ("sim.cli", ("run",)): ["--model", "model", "--engine", "reference", "--count", "1"],
    ("quant.cli.main", ("train",)): [*FLOAT, *DATA, "--epochs", "1", "--out", "out.npz"],
    ("quant.cli.main", ("ptq",)): [*FLOAT, *DATA, "--out", "out"],
    ("quant.cli.main", ("qat",)): [
        *FLOAT,
        *DATA,
        "--epochs",
        "1",
        "--weight-bits",
        "8",
        "--activation-bits",
        "8",
        "--out",
        "out",
    ],
    ("quant.cli.main", ("evaluate",)): ["--model", "model", *DATA],
    ("quant.cli.main", ("compare",)): ["--model", "model", *DATA],
    ("quant.cli.main", ("check",)): [*FLOAT, *DATA],
    ("quant.cli.main", ("export",)): ["--model", "model", "--out", "out"],
    ("quant.cli.main", ("search",)): [
        *FLOAT,
        *DATA,
        "--cycles",
        "90%",
        "--build",
        "4x4",
        "--candidates",
        "1",
        "--points",
        "2",
        "--out",
        "out",
    ],
    ("quant.cli.main", ("report",)): [*FLOAT, *DATA, "--widths", "int8", "--out", "out"],
}
SLOW = (("accel.convert", ()), ("quant.cli.main", ("report",)))  # nearly every name is a good --out
# Values of these are work that somebody asked for: only small ones are tried.
WORK = ("--epochs", "--qat-epochs", "--copies", "--points", "--candidates", "--layer-images")
SMALL = ("0", "-1", "2", "1.5", "", "x", "1e0", "1,1", "nan", "-0", "+1", "0x1", "１")
VALUES = (
    "",
    " ",
    "0",
    "-1",
    "1",
    "2",
    "3",
    "5",
    "7",
    "8",
    "16",
    "17",
    "64",
    "65",
    "128",
    "1000000000",
    "1000000000000",
    "-9" * 9,
    "9" * 30,
    "9" * 5000,
    "0.5",
    "1.5",
    "-0.0",
    "1e9",
    "1e400",
    "-1e400",
    "1e-400",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "0x10",
    "1_0",
    "٣",
    "１６",
    "8,",
    ",8",
    "8,,4",
    "8,8",
    "8,8,8,,",
    "8,4,2,1",
    "8,6,4,2,1",
    "1,2",
    "8;4",
    "[8]",
    "8 4",
    "8,x",
    "0,8",
    ",",
    "8," * 500,
    "None",
    "null",
    "true",
    "x",
    "é",
    "☃",
    "\udcff",
    "\ud800",
    "a\nb",
    "a\tb",
    "\x1b[2J",
    "a\0b",
    "../..",
    "..",
    ".",
    "/",
    "/dev/null",
    "/dev/zero",
    "/proc/self/mem",
    "~",
    "no/such/file",
    "folder",
    "file.txt",
    "net.py",
    "net.py:",
    ":net",
    "net.py:missing",
    "net.py:torch",
    "no.module:f",
    "a" * 300,
    "a" * 5000,
    "a/" * 300,
    "-",
    "--",
    "--out",
    "-x",
    "=",
    "a=b",
    "=1",
    "rows=4",
    "weight_depth=",
    "weight_depth=-1",
    "weight_depth=3",
    "weight_depth=64",
    "weight_depth=1e3",
    "act_depth=0",
    "line_depth=16",
    "param_depth=99999999999999999999",
    "pool_depth=nan",
    "max_layers=1",
    "max_layers=2",
    "acc_bits=16",
    "acc_bits=0",
    "req_lanes=3",
    "req_lanes=-1",
    "req_lanes=64",
    "multiplier=x",
    "multiplier=shift_add",
    "requantizer=khot2",
    "requantizer=",
    "weight_style=ultra",
    "act_style=\n",
    "float_input=1",
    "float_input=2",
    "float_output=1",
    "precisions=8",
    "unknown=1",
    "__class__=1",
    "weight_depth=" + "9" * 5000,
    "4x4",
    "4x",
    "x4",
    "8x8",
    "0x0",
    "4x4x4",
    "-4x4",
    "3x5",
    "999999x999999",
    "1,1,1",
    "4,4,1",
    "-1,4,1",
    "99999,99999,9",
    "100%",
    "0%",
    "-5%",
    "1e3%",
    "%",
    "nan%",
    "minmax",
    "kl",
    "mse",
    "percentile",
    "int8",
    "int3",
    "int8,int8",
    "binary",
    "mixed",
    "mixed,mixed",
    "lenet5",
    "lenet5-int8",
    "random",
    "digits",
    "mnist",
    "model",
    "model/model.json",
    "data.npz",
    "pow2",
    "khot9",
    "full",
    "default",
    "w8",
    "small",
    "name=model",
    "a=model",
)


def prepare(folder):
    """The files that the command lines name, in a new folder."""
    folder.mkdir(parents=True)
    (folder / "net.py").write_text(NETWORK)
    (folder / "file.txt").write_text("text")
    (folder / "folder").mkdir()
    rng = np.random.default_rng(0)
    np.savez(folder / "data.npz", images=rng.integers(0, 256, (6, 4, 4, 1), np.uint8), labels=np.arange(6) % 3)
    model_dir.save(small_graph(np.random.default_rng(8)), folder / "model")


def command(module, path):
    """The click command of a module, or of a group in it."""
    found = importlib.import_module(module).main
    for name in path:
        found = found.commands[name]
    return found


def warm_up(folder):
    """The slow imports of a first training."""
    os.chdir(folder)
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        run_cli(command("quant.cli.main", ("train",)), "train", COMMANDS["quant.cli.main", ("train",)])
    os.unlink("out.npz")


def bad_arguments(rng):
    """((module, path), arguments): a command line with one or two values from VALUES."""
    keys = list(COMMANDS)
    key = keys[rng.integers(len(keys))]
    arguments = list(COMMANDS[key])
    options = [
        param
        for param in command(*key).params
        if isinstance(param, click.Option) and not param.is_flag and not (param.name == "out" and key in SLOW)
    ]
    for _ in range(1 if rng.random() < 0.8 else 2):
        param = options[rng.integers(len(options))]
        name = param.opts[-1]
        values = SMALL if name in WORK else VALUES
        value = values[rng.integers(len(values))]
        if name in arguments:
            arguments[arguments.index(name) + 1] = value
        else:
            arguments += [name, value]
    return key, arguments


def try_arguments(rng, folder):
    """Run a bad command line in a folder of `prepare`. Raises BitloomError where it is refused, with code 2."""
    os.chdir(folder)
    kept = set(os.listdir())
    key, arguments = bad_arguments(rng)
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            run_cli(command(*key), "command", arguments)
    except SystemExit as leave:
        if leave.code == 2:
            raise BitloomError(said.getvalue().strip().split("rror: ")[-1]) from None
        if leave.code not in (None, 0, 1):
            raise
    finally:
        for name in set(os.listdir()) - kept:
            (shutil.rmtree if os.path.isdir(name) and not os.path.islink(name) else os.unlink)(name)
