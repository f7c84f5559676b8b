"""Weights as two signed powers of two: what the shift-add array reads in place of numbers.

A code is a byte, a nibble for each power: bits 2:0 the exponent, bit 3 the sign (1 is minus). The weight is their sum,
so 0 is 2^0 - 2^0 and 127 is 2^7 - 2^0.
"""

import numpy as np

MINUS = 8


def decode_shift_add(codes):
    """int64 weights of uint8 codes."""
    codes = np.asarray(codes, dtype=np.int64)
    low, high = codes & 15, codes >> 4
    return sum(np.where(term & MINUS, -1, 1) * (1 << (term & 7)) for term in (low, high))


def _table():
    """{weight: its smallest code} of all int8 weights that are a sum of two signed powers of two."""
    codes = np.arange(256)
    table = {}
    for code, weight in zip(codes.tolist(), decode_shift_add(codes).tolist(), strict=True):
        if -128 <= weight <= 127:
            table.setdefault(weight, code)
    return table


CODES = _table()


def encode_shift_add(weights):
    """uint8 codes of int8 weights. Raises ValueError for a weight that is no sum of two signed powers of two."""
    weights = np.asarray(weights, dtype=np.int64)
    lookup = np.full(256, -1, dtype=np.int64)
    for weight, code in CODES.items():
        lookup[weight + 128] = code
    codes = lookup[weights + 128]
    if np.any(codes < 0):
        raise ValueError(f"weight {int(weights[codes < 0].ravel()[0])} is no sum of two signed powers of two")
    return codes.astype(np.uint8)
