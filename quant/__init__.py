"""From a trained PyTorch network to an integer graph: front end, folding, calibration, quantization, export.

This package is the only place of the project that imports torch, and it does so only where torch is needed:
`quant.data.datasets` and the command line's help start without it.
"""
