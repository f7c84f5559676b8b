"""Entry point of `python -m quant`."""

from accel.start import run

if __name__ == "__main__":
    run("quant.cli.main", "python -m quant")
