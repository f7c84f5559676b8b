"""The parameter table: bias, multiplier and shifts of every output channel, req_lanes channels a word."""

from myhdl import ConcatSignal, Signal, always_comb, concat, intbv

from accel.rtl.output.requantize_lane import SHIFT1_BITS, SHIFT2_BITS, SHIFTS_BITS
from accel.rtl.parts.module import module, unused
from accel.rtl.parts.ram import RAM_LATENCY, ram

PARAM_TABLE_LATENCY = RAM_LATENCY
FIELD_BIAS, FIELD_MULTIPLIER, FIELD_SHIFTS = range(3)  # low two bits of the write address
SHIFT2_AT = 8  # bit of shift2 in the shifts word; shift1 starts at bit 0


def memory_bits(config):
    """Bits of one entry in the bias, the multiplier and the shifts memory."""
    return config.acc_bits, config.multiplier_bits, SHIFTS_BITS


def memory_words(entries, field, config):
    """The words of one of the three memories, for a preset image.

    entries: (bias, multiplier, shift1, shift2) of each channel, up to param_depth of them; the rest is 0.
    """
    bits = memory_bits(config)[field]
    words = [0] * config.param_group_depth
    for index, (bias, multiplier, shift1, shift2) in enumerate(entries):
        value = (bias & (1 << config.acc_bits) - 1, multiplier, shift1 | shift2 << SHIFT1_BITS)[field]
        words[index // config.req_lanes] |= value << bits * (index % config.req_lanes)
    return words


@module
def param_table(clk, we, waddr, wdata, raddr, rdata, *, config, preset=()):
    """Parameters of the requantizer: written a 32-bit field at a time, read a group of req_lanes channels at a time.

    we, waddr, wdata: host write port. waddr = channel entry * 4 + field; field 0 bias (its low acc_bits), 1 multiplier
    (its low multiplier_bits; ignored where bit 31 is set), 2 shifts (shift1 in bits 5:0, shift2 in bits 12:8), 3
    nothing.
    raddr, rdata: group address; req_lanes entries of {bias, multiplier, shift1, shift2}, lane 0 low, bias lowest.
    Entry i is lane i % req_lanes of group i / req_lanes.
    config: req_lanes, param_group_depth, acc_bits, multiplier_bits, param_style. preset: $readmemh files of the bias,
    the multiplier and the shifts memory, see memory_words(), or () for zeros.
    Latency PARAM_TABLE_LATENCY (1) from raddr to rdata, a read and a write every cycle, no stall.
    """
    lanes, depth = config.req_lanes, config.param_group_depth
    lane_bits, group_bits = lanes.bit_length() - 1, len(raddr)
    if len(waddr) != group_bits + lane_bits + 2:
        raise ValueError(f"param_table: waddr must have {group_bits + lane_bits + 2} bits, not {len(waddr)}")
    group_at = 2 + lane_bits
    field, group = waddr(2, 0), waddr(len(waddr), group_at)
    lane = waddr(group_at, 2) if lanes > 1 else None
    shifts = Signal(intbv(0)[SHIFTS_BITS:])
    values = wdata(config.acc_bits, 0), wdata(config.multiplier_bits, 0), shifts
    too_large = wdata(31)
    if config.acc_bits < 31 and config.hot_positions:
        unused(wdata, 31, max(config.acc_bits, config.multiplier_bits))

    @always_comb
    def pack_shifts():
        shifts.next = concat(wdata[SHIFT2_AT + SHIFT2_BITS : SHIFT2_AT], wdata[SHIFT1_BITS:])

    if lanes == 1:
        enables = [Signal(bool(0)) for _ in range(3)]
        bias_we, multiplier_we, shifts_we = enables

        @always_comb
        def decode():
            bias_we.next = we and (field == FIELD_BIAS)
            multiplier_we.next = we and (field == FIELD_MULTIPLIER) and not too_large
            shifts_we.next = we and (field == FIELD_SHIFTS)
    else:
        enables = [Signal(intbv(0)[lanes:]) for _ in range(3)]
        bias_we, multiplier_we, shifts_we = enables

        @always_comb
        def decode():
            for i in range(lanes):
                bias_we.next[i] = we and (lane == i) and (field == FIELD_BIAS)
                multiplier_we.next[i] = we and (lane == i) and (field == FIELD_MULTIPLIER) and not too_large
                shifts_we.next[i] = we and (lane == i) and (field == FIELD_SHIFTS)

    memories, read_values = [], []
    for number, (value, enable) in enumerate(zip(values, enables, strict=True)):
        bits = len(value)
        read_values.append(Signal(intbv(0)[lanes * bits :]))
        copies = ConcatSignal(*[value] * lanes) if lanes > 1 else value
        memories.append(
            ram(
                clk,
                enable,
                group,
                copies,
                None,
                raddr,
                read_values[-1],
                depth=depth,
                part_bits=bits,
                preset=preset[number] if preset else "",
                style=config.param_style,
            )
        )
    parts = [
        value((i + 1) * len(value) // lanes, i * len(value) // lanes)
        for i in reversed(range(lanes))
        for value in reversed(read_values)
    ]
    joined = ConcatSignal(*parts)

    @always_comb
    def present():
        rdata.next = joined

    return pack_shifts, decode, memories, present
