"""Measurements behind the figures that docs/figures.md quotes: `python -m benchmarks --help`."""
