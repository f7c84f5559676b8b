"""Entry point of `python -m sim`."""

from accel.cli import run_cli
from sim.cli import main

if __name__ == "__main__":
    run_cli(main, "python -m sim")
