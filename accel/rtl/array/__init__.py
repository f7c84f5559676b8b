"""Weights and the MAC array: weight bank, unpackers, multipliers of every mode, cells."""
