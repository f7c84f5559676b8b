"""Quantization-aware training and its export."""
