"""The range observer: smallest and largest value of a float32 stream."""

from myhdl import ConcatSignal, Signal, always, always_comb, always_seq, block, concat, intbv

from accel.rtl.parts.bundles import Bundle, Stream
from accel.rtl.parts.module import module

# Keys count upwards with the value: a positive float with its sign bit inverted, a negative one with all bits inverted.
# That of +inf is nine ones above 23 zeros, that of -inf nine zeros above 23 ones.
ONES_9, ONES_23 = 2**9 - 1, 2**23 - 1


def range_observer_latency(lanes):
    """Cycles from a beat to its effect on minimum and maximum; on abs_max one cycle more."""
    return 2 + (lanes - 1).bit_length()


@block
def _make_keys(clk, x, low_key, high_key, nan):
    """Keys of a float32 for the search of the smallest and of the largest; those of a NaN change nothing. One cycle."""
    bits, key = [Signal(intbv(0)[32:]) for _ in range(2)]
    odd = Signal(bool(0))

    @always_comb
    def take():
        bits.next = x

    @always_comb
    def order():
        odd.next = bits[31:23] == 255 and bits[23:] != 0
        if bits[31] and bits[31:] != 0:
            key.next = ~bits
        else:
            key.next = concat("1", bits[31:])

    @always(clk.posedge)
    def hold():
        nan.next = odd
        if odd:
            low_key.next[32:23] = ONES_9
            low_key.next[23:] = 0
            high_key.next[32:23] = 0
            high_key.next[23:] = ONES_23
        else:
            low_key.next = key
            high_key.next = key

    return take, order, hold


@block
def _smaller(clk, a, b, y):
    @always(clk.posedge)
    def choose():
        if a < b:
            y.next = a
        else:
            y.next = b

    return choose


@block
def _larger(clk, a, b, y):
    @always(clk.posedge)
    def choose():
        if a < b:
            y.next = b
        else:
            y.next = a

    return choose


@block
def _pick(clk, keys, key, *, pick):
    """key is what `pick` leaves of all keys, in a tree with a register a level."""
    if len(keys) == 1:
        only = keys[0]

        @always_comb
        def take():
            key.next = only

        return take

    nodes = []
    while len(keys) > 1:
        picked = [key] if len(keys) == 2 else [Signal(intbv(0)[32:]) for _ in range(len(keys) // 2)]
        for i, result in enumerate(picked):
            nodes.append(pick(clk, keys[2 * i], keys[2 * i + 1], result))
        keys = picked
    return nodes


class Observed(Bundle):
    """The range of a float32 stream.

    nan_seen: there was a NaN. minimum, maximum: float32 bits; before the first value +inf and -inf. abs_max: bits of
    max |x|, 0 at first.
    """

    members = ("nan_seen", "minimum", "maximum", "abs_max")
    prefix = False


@module
def range_observer(clk, rst, clear, s: Stream, observed: Observed, *, lanes):
    """Smallest, largest and absolutely largest float32 of a stream since the last clear.

    clear: a pulse forgets everything, beats that are under way included. s: `lanes` floats (data, valid), the first
    lowest, of which all count; it only watches. -0 counts as 0; a NaN sets nan_seen and counts for nothing else.
    Latency range_observer_latency(lanes), abs_max one cycle more; a beat a cycle, no stall.
    """
    last = (lanes - 1).bit_length()  # levels of the tree
    pipe = Signal(intbv(0)[last + 1 :])  # valid, bit 0 with the keys, bit last with the results of the tree
    low_keys, high_keys = [[Signal(intbv(0)[32:]) for _ in range(lanes)] for _ in range(2)]
    nans = [Signal(bool(0)) for _ in range(lanes)]
    low_key, high_key, lowest, highest = [Signal(intbv(0)[32:]) for _ in range(4)]
    low_part, high_part = [Signal(intbv(0)[31:]) for _ in range(2)]
    some_nan, seen = [Signal(bool(0)) for _ in range(2)]
    makers = [_make_keys(clk, s.data(32 * i + 32, 32 * i), low_keys[i], high_keys[i], nans[i]) for i in range(lanes)]
    low_tree = _pick(clk, low_keys, low_key, pick=_smaller)
    high_tree = _pick(clk, high_keys, high_key, pick=_larger)

    if lanes == 1:
        only_nan = nans[0]

        @always_comb
        def any_nan():
            some_nan.next = only_nan

        @always_seq(clk.posedge, reset=rst)
        def follow():
            pipe.next = 0
            if s.valid and not clear:
                pipe.next = 1
    else:
        all_nans = ConcatSignal(*nans)

        @always_comb
        def any_nan():
            some_nan.next = all_nans != 0

        @always_seq(clk.posedge, reset=rst)
        def follow():
            pipe.next = concat(pipe[last:], s.valid)
            if clear:
                pipe.next = 0

    @always_seq(clk.posedge, reset=rst)
    def flag():
        if clear:
            seen.next = False
        elif pipe[0] and some_nan:
            seen.next = True

    @always(clk.posedge)
    def keep():
        if clear or rst:
            lowest.next[32:23] = ONES_9
            lowest.next[23:] = 0
            highest.next[32:23] = 0
            highest.next[23:] = ONES_23
        elif pipe[last]:
            if low_key < lowest:
                lowest.next = low_key
            if high_key > highest:
                highest.next = high_key

    @always_comb
    def split():
        low_part.next = 0
        high_part.next = 0
        if not lowest[31]:
            low_part.next = ~lowest[31:]
        if highest[31]:
            high_part.next = highest[31:]

    @always(clk.posedge)
    def compare():
        if low_part < high_part:
            observed.abs_max.next = concat("0", high_part)
        else:
            observed.abs_max.next = concat("0", low_part)

    @always_comb
    def present():
        observed.nan_seen.next = seen
        if lowest[31]:
            observed.minimum.next = concat("0", lowest[31:])
        else:
            observed.minimum.next = ~lowest
        if highest[31]:
            observed.maximum.next = concat("0", highest[31:])
        else:
            observed.maximum.next = ~highest

    return makers, low_tree, high_tree, any_nan, follow, flag, keep, split, compare, present
