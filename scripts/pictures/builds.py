"""The builds that the pictures are drawn from, elaborated once."""

import functools

from accel.config import HardwareConfig
from accel.hdl.accelerator import accelerator_ports
from accel.hdl.elaborate import clean_myhdl
from accel.names import PRECISIONS
from accel.rtl.top import bitloom

FULL = HardwareConfig(precisions=PRECISIONS, float_input=True, float_output=True)  # every block that there is
PLAIN = HardwareConfig(rows=4, lanes=4, input_tlast=False)  # no option


@functools.cache
def accelerator(config):
    """The elaborated accelerator of a configuration."""
    with clean_myhdl():
        return bitloom(**accelerator_ports(config), config=config)
