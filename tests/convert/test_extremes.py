"""The smallest and the largest memories convert to clean Verilog: addresses as wide as, or wider than, the fields."""

import pytest

from accel.config import DEPTH_LIMITS, HardwareConfig
from accel.hdl.accelerator import convert_accelerator
from sim.engines.verilator_build import lint

SMALLEST = {name: low for name, (low, _) in DEPTH_LIMITS.items()}
LARGEST = {name: high for name, (_, high) in DEPTH_LIMITS.items()}
OPTIONS = {
    "smallest": {"rows": 4, "lanes": 4, **SMALLEST},
    "largest": {"rows": 4, "lanes": 4, **LARGEST},
    "wide": {"rows": 4, "lanes": 64, **LARGEST, "weight_depth": 16384},
    "tall": {"rows": 64, "lanes": 4, **SMALLEST, "acc_bits": 16},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_extreme_sizes_are_lint_clean(options, tmp_path):
    design = convert_accelerator(HardwareConfig(**options), tmp_path)
    assert lint(design.files, design.top) == ""
