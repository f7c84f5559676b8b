"""Compares every field of a descriptor with its limit."""

from myhdl import ConcatSignal, Signal, always, always_comb, block, downrange, intbv

from accel.descriptor import DESCRIPTOR_WORDS, FIELDS, MAGIC, NOT_ZERO, WIDTH_FIELDS
from accel.rtl.control.fields import field
from accel.rtl.parts.module import module, unused


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
    """bad: some field of `descriptor` is wrong for this configuration; word: the first word that holds such a field.

    Wrong are a value over its field's limit, a zero in a field of NOT_ZERO and a missing magic number. The widths have
    a check of their own (precision_check).
    Latency 2 cycles, a descriptor a cycle.
    """
    unused(descriptor)  # fields without a limit
    limits = {name: position.limit(config) for name, position in FIELDS.items() if name not in ("magic", *WIDTH_FIELDS)}
    limits = {name: limit for name, limit in limits.items() if limit < 2 ** FIELDS[name].bits - 1}
    no_magic = Signal(bool(0))
    zero = {name: Signal(bool(0)) for name in NOT_ZERO}
    over = {name: Signal(bool(0)) for name in limits}
    checks = [_differs(field(descriptor, "magic"), no_magic, expected=MAGIC)]
    checks += [_none(field(descriptor, name), flag) for name, flag in zero.items()]
    checks += [_over(field(descriptor, name), flag, limit=limits[name]) for name, flag in over.items()]
    wrong = ConcatSignal(*reversed((no_magic, *zero.values(), *over.values())))
    words = tuple(FIELDS[name].word for name in ("magic", *zero, *over))
    count = len(words)
    found = Signal(intbv(0)[count:])
    first = Signal(intbv(0, min=0, max=DESCRIPTOR_WORDS))

    @always_comb
    def find():
        first.next = 0
        for i in downrange(count):
            if found[i]:
                first.next = words[i]

    @always(clk.posedge)
    def take():
        found.next = wrong
        bad.next = found != 0
        word.next = first

    return checks, find, take
