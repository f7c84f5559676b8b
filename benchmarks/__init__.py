"""Measurements behind the figures that README.md quotes: `python -m benchmarks --help`."""
