"""Compares every field of a descriptor with its limit."""

from myhdl import ConcatSignal, Signal, always, always_comb, block, intbv

from accel.descriptor import DESCRIPTOR_WORDS, FIELDS, MAGIC, NOT_ZERO
from accel.rtl.fields import field
from accel.rtl.hierarchy import module, unused


@block
def _over(value, bad, *, limit):
    @always_comb
    def compare():
        bad.next = value > limit

    return compare


@block
def _differs(value, bad, *, expected):
    @always_comb
    def compare():
        bad.next = value != expected

    return compare


@block
def _none(value, bad):
    @always_comb
    def compare():
        bad.next = value == 0

    return compare


@module
def descriptor_check(clk, descriptor, bad, word, *, config):
    """bad: some field of `descriptor` is over its limit for this configuration; word: the first such word.

    Wrong are also a magic number that is not there and a zero in a field of NOT_ZERO. Latency 2 cycles.
    """
    unused(descriptor)  # fields without a limit
    flags, where, checks = [], [], []

    def flag(name):
        flags.append(Signal(bool(0)))
        where.append(FIELDS[name].word)
        return field(descriptor, name), flags[-1]

    magic, magic_bad = flag("magic")
    checks.append(_differs(magic, magic_bad, expected=MAGIC))
    for name in NOT_ZERO:
        value, zero = flag(name)
        checks.append(_none(value, zero))
    for name, position in FIELDS.items():
        limit = position.limit(config)
        if limit < 2**position.bits - 1 and name != "magic":
            value, over = flag(name)
            checks.append(_over(value, over, limit=limit))
    joined = ConcatSignal(*reversed(flags))
    found = Signal(intbv(0)[len(flags):])
    words = tuple(where)
    count = len(flags)
    first = Signal(intbv(0, min=0, max=DESCRIPTOR_WORDS))

    @always_comb
    def find():
        first.next = 0
        for i in range(count):
            if found[count - 1 - i]:
                first.next = words[count - 1 - i]

    @always(clk.posedge)
    def take():
        found.next = joined
        bad.next = found != 0
        word.next = first

    return checks, find, take
