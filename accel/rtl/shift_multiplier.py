"""The requantizer's multiplier without multipliers: a sum of shifted copies for numbers with few one bits."""

from myhdl import Signal, always, always_comb, concat, intbv, modbv

from accel.rtl.delay import delay
from accel.rtl.hierarchy import module, unused

POSITION_BITS = 6  # of one field: the position in bits 4:0, bit 5 says that there is one
POSITION_VALID = 1 << POSITION_BITS - 1
COPY_LATENCY = 3
LEADING_LATENCY = 2
SHIFT_MULTIPLIER_LATENCY = 5


def khot_positions(multiplier, k):
    """Positions of the one bits of a multiplier 0 .. 2^31 - 1, highest first, or None where there are more than k."""
    multiplier = int(multiplier)
    if not 0 <= multiplier < 2**31:
        raise ValueError(f"khot_positions: multiplier {multiplier} is outside 0..2147483647")
    positions = tuple(place for place in reversed(range(31)) if multiplier >> place & 1)
    return positions if len(positions) <= k else None


def khot_word(multiplier, k):
    """The k fields of a multiplier in a parameter entry, the highest position first, in the lowest bits.

    ValueError where it has more than k one bits.
    """
    positions = khot_positions(multiplier, k)
    if positions is None:
        raise ValueError(f"khot_word: multiplier {multiplier} has more than {k} one bits")
    return sum((place | POSITION_VALID) << POSITION_BITS * i for i, place in enumerate(positions))


def _signed(bits):
    return Signal(intbv(0, min=-(2 ** (bits - 1)), max=2 ** (bits - 1)))


@module
def shifted_copy(clk, a, position, highest, term):
    """term = a << (30 - highest + position[4:0]) where position[5] is set, else 0.

    a: 32 bits, read as two's complement. position, highest: 6 bits; of highest only the position is read. term: 63
    bits, signed.
    Three stages shift by 1s, 4s and 16. Latency COPY_LATENCY (3), a value a cycle, no stall.
    """
    unused(highest, 6, 5)
    # One more than the shift, so the last stage takes one off: p + (h ^ 31) = 31 - h + p needs no subtractor.
    amount = Signal(modbv(0)[5:])
    below = Signal(intbv(0)[5:])
    low, middle = [Signal(intbv(0)[2:]) for _ in range(2)]
    upper = Signal(intbv(0)[4:])
    last = Signal(intbv(0)[2:])
    start, by_1, by_4 = _signed(32), _signed(35), _signed(47)

    @always_comb
    def find():
        start.next = a[32:].signed()
        below.next = highest[5:] ^ 31

    @always_comb
    def split():
        amount.next = position[5:] + below
        middle.next = upper[2:]

    @always_comb
    def cut():
        low.next = amount[2:]

    @always(clk.posedge)
    def shift_1():
        if low == 0:
            by_1.next = start
        elif low == 1:
            by_1.next = start << 1
        elif low == 2:
            by_1.next = start << 2
        else:
            by_1.next = start << 3
        upper.next = concat(position[5], amount[5:2])

    @always(clk.posedge)
    def shift_4():
        if middle == 0:
            by_4.next = by_1
        elif middle == 1:
            by_4.next = by_1 << 4
        elif middle == 2:
            by_4.next = by_1 << 8
        else:
            by_4.next = by_1 << 12
        last.next = upper[4:2]

    @always(clk.posedge)
    def shift_16():
        term.next = 0
        if last == 2:
            term.next = by_4 >> 1
        elif last == 3:
            term.next = by_4 << 15

    return find, split, cut, shift_1, shift_4, shift_16


@module
def shift_multiplier(clk, a, m, shift, less_one, product, shift_late):
    """product / 2^shift_late = a * m / 2^shift, exact, for an m with few one bits, without a multiplier.

    a: 32 bits, read as two's complement. m: 1 to 3 fields of POSITION_BITS bits: the position of a one bit, 0 .. 30, in
    bits 4:0, and bit 5 where the field counts. The first field, in the low bits, has the highest position, and m is 0
    where it does not count, see khot_word(). shift: 0 .. 62. less_one: bool, one cycle behind a and m: product is one
    less.
    product: 63 bits, two's complement. shift_late: 0 .. 63, enough for a quotient below 1/2.
    The highest bit is moved to 2^30, which costs no logic, and shift by as much; the copies of the others are shifted
    relative to it and added.
    Latency SHIFT_MULTIPLIER_LATENCY (5), a product a cycle, no stall.
    """
    k = len(m) // POSITION_BITS
    if len(m) != k * POSITION_BITS or k not in (1, 2, 3):
        raise ValueError(f"shift_multiplier: m must have 6, 12 or 18 bits, not {len(m)}")
    fields = [m(POSITION_BITS * (i + 1), POSITION_BITS * i) for i in range(k)]
    counts = Signal(bool(0))
    held, minus = _signed(32), _signed(2)
    leading = _signed(33)
    leading_bits = Signal(intbv(0)[33:])
    lower = Signal(bool(0))
    raised = Signal(intbv(0)[7:])  # one more than shift_late
    below = Signal(intbv(0)[5:])
    limited = Signal(modbv(0)[6:])

    @always(clk.posedge)
    def take():
        held.next = a[32:].signed()
        counts.next = m[5]
        raised.next = shift + below

    @always_comb
    def borrow():
        below.next = m[5:] ^ 31
        minus.next = 0
        if less_one:
            minus.next = -1

    @always(clk.posedge)
    def lead():
        if counts:
            leading.next = held + minus
        else:
            leading.next = minus
        lower.next = less_one
        if raised[6]:
            limited.next = 63
        else:
            limited.next = raised[6:] - 1

    @always_comb
    def present_leading():
        leading_bits.next = leading[33:]

    wait_shift = delay(clk, limited, shift_late, cycles=SHIFT_MULTIPLIER_LATENCY - LEADING_LATENCY)
    # The highest bit's copy: 33 bits from 2^30 up, and the bit that all lower ones equal.
    first, first_late = [Signal(intbv(0)[34:]) for _ in range(2)]
    low_ones = 2**30 - 1
    ones = Signal(intbv(0)[30:])
    first_bits = Signal(intbv(0)[63:])

    @always_comb
    def join():
        first.next = concat(leading_bits, lower)

    @always_comb
    def fill():
        ones.next = 0
        if first_late[0]:
            ones.next = low_ones

    @always_comb
    def widen():
        first_bits.next = concat(first_late[34:1], ones)

    front = take, borrow, lead, present_leading, wait_shift, join, fill, widen
    if k == 1:
        wait_first = delay(clk, first, first_late, cycles=SHIFT_MULTIPLIER_LATENCY - LEADING_LATENCY)

        @always_comb
        def present():
            product.next = first_bits

        return front, wait_first, present

    # Sums wrap: only a first field that is not the highest can leave 63 bits.
    wait_first = delay(clk, first, first_late, cycles=COPY_LATENCY - LEADING_LATENCY)
    first_value, terms = _signed(63), [_signed(63) for _ in range(k - 1)]
    total, grand = [Signal(modbv(0, min=-(2**62), max=2**62)) for _ in range(2)]
    copies = [shifted_copy(clk, a, fields[i + 1], fields[0], terms[i]) for i in range(k - 1)]
    second, third = terms[0], terms[-1]

    @always_comb
    def read_first():
        first_value.next = first_bits[63:].signed()

    @always(clk.posedge)
    def add():
        total.next = first_value + second

    if k == 2:
        @always(clk.posedge)
        def add_third():
            grand.next = total

        wait_third = ()
    else:
        third_late = _signed(63)

        @always(clk.posedge)
        def wait_third():
            third_late.next = third

        @always(clk.posedge)
        def add_third():
            grand.next = total + third_late

    @always_comb
    def present():
        product.next = grand[63:]

    return front, wait_first, copies, read_first, add, wait_third, add_third, present
