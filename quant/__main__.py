"""Entry point of `python -m quant`."""

from accel.cli import run_cli
from quant.cli.main import main

if __name__ == "__main__":
    run_cli(main, "python -m quant")
