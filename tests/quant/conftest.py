"""Torch with one thread, as the tests share the machine; and the command line in the tests' own process."""

import sys

import pytest
import torch

from accel.cli import run_cli
from quant.cli.main import main


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def quant(monkeypatch, capsys):
    """Run the command line in this process: (exit code, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["quant", *map(str, arguments)])
        with pytest.raises(SystemExit) as leave:
            run_cli(main, "python -m quant")
        captured = capsys.readouterr()
        return leave.value.code, captured.out, captured.err

    return run
