"""Names and widths that the quantizer's options take: each stated here and nowhere else. Imports no torch.

What learns during a training has its names in quant/qat/method.py, casts of fixed point in quant/qfx/format.py, costs
of the accelerator in quant/search/budget.py.
"""

from accel.names import ACTIVATION_BITS, WEIGHT_BITS

CALIBRATIONS = ("minmax", "percentile", "kl", "mse")  # ways to find a range
PERCENTILE = 99.99  # of the values inside the range, by default
WEIGHT_ROUNDINGS = ("nearest", "adaround", "gptq", "awq")
WEIGHT_LEVELS = ("uniform", "pow2", "khot2")  # integers that weights may be
WEIGHT_RANGES = ("symmetric", "full")  # from -(2^(b-1) - 1), or from -2^(b-1)
GRANULARITIES = ("channel", "tensor")
SCHEMES = ("symmetric", "affine")  # without and with a zero point
SCALES = ("float", "pow2")
SENSITIVITIES = ("kl", "loss", "hessian")  # measures of what a width harms
CLIPS = ("best", "minmax")  # ranges of a check
# Without 1 bit, which is a sign and needs training.
MULTI_BIT_WEIGHTS = WEIGHT_BITS[:-1]
MULTI_BIT_ACTIVATIONS = ACTIVATION_BITS[:-1]
