"""Entry point of `python -m sim`."""

from accel.start import run

if __name__ == "__main__":
    run("sim.cli", "python -m sim")
