"""Scales, integers, multipliers and thresholds: the formulas of the contract, in torch."""
