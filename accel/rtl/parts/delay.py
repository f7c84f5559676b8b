"""Delay lines without a reset."""

from myhdl import Signal, always, always_comb, block, concat, intbv


@block
def delay(clk, x, y, *, cycles):
    """y is x as it was `cycles` cycles ago. x, y: unsigned, of the same width; cycles: 1 or more.

    One vector of shift register, so that it maps to SRLs; flattened into the module that uses it.
    """
    width = len(x)
    if cycles == 1:

        @always(clk.posedge)
        def step():
            y.next = x

        return step

    pipe = Signal(intbv(0)[width * cycles :])
    low, high = width * (cycles - 1), width * cycles

    @always(clk.posedge)
    def shift():
        pipe.next = concat(pipe[low:], x)

    if width == 1 and y._type is bool:

        @always_comb
        def present_bit():
            y.next = pipe[low]

        return shift, present_bit

    @always_comb
    def present():
        y.next = pipe[high:low]

    return shift, present


@block
def register(clk, enable, value, value_late):
    """value_late is value as it was in the enabled cycle before; it holds while enable is low."""

    @always(clk.posedge)
    def hold():
        if enable:
            value_late.next = value

    return hold
