"""An estimate of the energy of one stage: operations and memory accesses, each with a published energy.

It ranks choices of widths; it is no power figure of an FPGA or a chip. Control, clocks, wires, idle lanes and leakage
are left out. The energies are those of a 45 nm process at 0.9 V in M. Horowitz, "Computing's energy problem (and what
we can do about it)", ISSCC 2014, figure 1.1.9: integer multiplication 0.2 pJ (8 bits) and 3.1 pJ (32 bits), addition
0.1 pJ (32 bits), 64 bits of an SRAM of 8 KB 10 pJ and of 32 KB 20 pJ. Between these widths multiplications grow with
the square of the width (8 to 32 bits: 15.5 times), additions in proportion to it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from accel.tensor import Requantize

if TYPE_CHECKING:
    from accel.compile.fuse import Stage
    from accel.compile.walks import Walk
    from accel.config import HardwareConfig

MULTIPLY_8_PJ, MULTIPLY_32_PJ, ADD_32_PJ = 0.2, 3.1, 0.1
SMALL_SRAM_PJ = 10 / 8  # a byte of a memory of 8 KB: line buffer, activations
LARGE_SRAM_PJ = 20 / 8  # a byte of a memory of 32 KB: the weight bank's blocks


def multiply_accumulate_pj(bits: int) -> float:
    """A product of two `bits`-bit numbers and its addition."""
    return MULTIPLY_8_PJ * (bits / 8) ** 2 + _add_pj(2 * bits)


def _add_pj(bits: int) -> float:
    return ADD_32_PJ * bits / 32


def stage_energy_pj(stage: Stage, walk: Walk, in_words: int, out_words: int, config: HardwareConfig) -> float:
    """Picojoules of one run of a stage.

    walk: its Walk. in_words, out_words: words of its input and output. The weight bank is read once per array word that
    it holds, the line buffer once per array word of a convolution, input and output once each; every output of the
    convolution that is needed is multiplied once (a threshold is an addition, a multiplier of few one bits that many
    additions).
    """
    layer, precision = stage.layer, walk.precision
    words = walk.rows * walk.columns * walk.tiles * walk.tile_words
    arithmetic = stage.macs * multiply_accumulate_pj(precision.compute_bits)
    weights = words / precision.array_words * config.rows * config.lanes * LARGE_SRAM_PJ
    line = words / precision.input_spread * config.lanes * SMALL_SRAM_PJ
    activations = (2 * in_words + out_words) * config.lanes * SMALL_SRAM_PJ  # read, written to the line buffer; written
    scaling = 0.0
    if layer.requantize is not None:
        multiplied = isinstance(layer.requantize, Requantize) and not config.hot_positions
        each = MULTIPLY_32_PJ if multiplied else max(1, config.hot_positions) * ADD_32_PJ
        scaling = math.prod(stage.computed_size) * layer.output.channels * each
    return arithmetic + weights + line + activations + scaling
