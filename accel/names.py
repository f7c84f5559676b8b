"""Names and widths that users give and several packages take: each stated here and nowhere else."""

RULES = ("half_up", "half_away", "gemmlowp")  # rounding of the requantization, docs/numerics.md
ENCODINGS = ("uint8", "float")  # of a network's input
WEIGHT_BITS = (8, 6, 4, 2, 1)  # widths of weights
ACTIVATION_BITS = (8, 4, 2, 1)  # widths of stored activations; 6 is a width of weights only
PRECISIONS = WEIGHT_BITS  # that a build is made for: what it can load and compute
# Multipliers that a build's requantizer holds: how many powers of two one is the sum of, 0 for any number of them.
REQUANTIZERS = {"full": 0, "pow2": 1, "khot2": 2, "khot3": 3}
INT6_MULTIPLIERS = ("exact", "approximate")  # of the array, for layers of 6-bit weights
LANGUAGES = ("verilog", "vhdl")
