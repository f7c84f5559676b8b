"""The commands of `python -m quant`, a file each."""
