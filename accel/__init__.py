"""Bitloom accelerator: integer graph, exact reference, compiler, hardware generator. Nothing here imports torch."""

__version__ = "0.1.0"
