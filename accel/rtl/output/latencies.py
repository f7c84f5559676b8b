"""How long the output path takes from the requantizer to the output FIFO."""

from accel.rtl.output.bit_packer import bit_packer_latency
from accel.rtl.output.output_writer import OUTPUT_LATENCY
from accel.rtl.output.packer import PACKER_LAST_LATENCY, PACKER_LATENCY
from accel.rtl.output.pool import POOL_LATENCY
from accel.rtl.output.requantize import REQUANTIZE_LATENCY


def groups_in_flight(config):
    """Groups from the launch to the FIFO's level.

    The 5 are launch_ok's register, the requantizer's behind it, the FIFO's counter, a last group that straddles two
    words and one to spare.
    """
    return REQUANTIZE_LATENCY + _pooled_to_packer(config) + PACKER_LATENCY + OUTPUT_LATENCY + 5


def end_delay(config):
    """Cycles from the last group at the requantizer's output to the packer's last word, which may straddle two."""
    return _pooled_to_packer(config) + PACKER_LAST_LATENCY


def _pooled_to_packer(config):
    return POOL_LATENCY + (bit_packer_latency(config) if config.mixed else 0)
