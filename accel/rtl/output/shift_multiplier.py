"""The requantizer's multiplier without multipliers: a sum of shifted copies for numbers with few one bits."""

from myhdl import Signal, always, always_comb, block, concat, intbv, modbv

from accel.rtl.parts.delay import delay
from accel.rtl.parts.module import module, unused

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
def shifted_copy(clk, a, position, highest, by_4, last):
    """The copy of one bit but for its last shift: a << (30 - highest + position[4:0]) where position[5] is set, else 0.

    a: 32 bits, read as two's complement, one cycle behind position and highest. position, highest: 6 bits; of highest
    only the position is read.
    by_4: 47 bits, signed; last: 2 bits; the copy is by_4 >> 1 where last is 2, by_4 << 15 where it is 3, else 0. Who
    adds the copy picks it: on FPGAs with six-input tables that takes no logic beside the adder's.
    Latency COPY_LATENCY (3) from position, a value a cycle, no stall.
    """
    unused(highest, 6, 5)
    # One more than the shift, so the last step takes one off: p + (h ^ 31) = 31 - h + p needs no subtractor.
    amount = Signal(modbv(0)[5:])
    below = Signal(intbv(0)[5:])
    places = Signal(intbv(0)[6:])
    low, middle = [Signal(intbv(0)[2:]) for _ in range(2)]
    upper = Signal(intbv(0)[4:])
    by_1 = _signed(35)

    @always_comb
    def find():
        below.next = highest[5:] ^ 31

    @always_comb
    def subtract():
        amount.next = position[5:] + below

    @always(clk.posedge)
    def hold():
        places.next = concat(position[5], amount)

    @always_comb
    def split():
        low.next = places[2:]
        middle.next = upper[2:]

    @always(clk.posedge)
    def shift_1():
        if low == 0:
            by_1.next = a
        elif low == 1:
            by_1.next = a << 1
        elif low == 2:
            by_1.next = a << 2
        else:
            by_1.next = a << 3
        upper.next = places[6:2]

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

    return find, subtract, hold, split, shift_1, shift_4


@block
def _pick(by_4, last, inverted):
    """The last shift of a copy, every bit inverted: 63 bits, signed.

    To subtract this and to subtract 1 less adds the copy. Tools sort the operands of a sum but not of a difference,
    and only behind the second one is the pick free.
    """
    term = _signed(63)

    @always_comb
    def shift_16():
        term.next = 0
        if last == 2:
            term.next = by_4 >> 1
        elif last == 3:
            term.next = by_4 << 15

    @always_comb
    def invert():
        inverted.next = ~term

    return shift_16, invert


@module
def shift_multiplier(clk, a, m, shift, less_one, product, shift_late):
    """product / 2^shift_late = a * m / 2^shift, exact, for an m with few one bits, without a multiplier.

    a: 32 bits, read as two's complement. m: 1 to 3 fields of POSITION_BITS bits: the position of a one bit, 0 .. 30, in
    bits 4:0, and bit 5 where the field counts. The first field, in the low bits, has the highest position, and m is 0
    where it does not count, see khot_word(). shift: 0 .. 62. less_one: bool, one cycle behind a and m: product is one
    less.
    product: 63 bits, two's complement. shift_late: 0 .. 63, enough for a quotient below 1/2.
    The highest bit is moved to 2^30, which costs no logic, and shift by as much; the copies of the others are shifted
    relative to it and added: inverted and subtracted, so its copy starts one lower for each of them.
    Latency SHIFT_MULTIPLIER_LATENCY (5), a product a cycle, no stall.
    """
    k = len(m) // POSITION_BITS
    if len(m) != k * POSITION_BITS or k not in (1, 2, 3):
        raise ValueError(f"shift_multiplier: m must have 6, 12 or 18 bits, not {len(m)}")
    fields = [m(POSITION_BITS * (i + 1), POSITION_BITS * i) for i in range(k)]
    without = -1 if k > 1 else 0
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
        minus.next = without
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
    # The highest bit's copy: 33 bits from 2^30 up, and whether to take one off; k - 1 are taken off for the others.
    first, first_late = [Signal(intbv(0)[34:]) for _ in range(2)]
    low, low_less_one = [(1 - k - borrowed) % 2**30 for borrowed in (0, 1)]
    low_bits = Signal(intbv(0)[30:])
    first_bits = Signal(intbv(0)[63:])

    @always_comb
    def join():
        first.next = concat(leading_bits, lower)

    @always_comb
    def fill():
        low_bits.next = low
        if first_late[0]:
            low_bits.next = low_less_one

    @always_comb
    def widen():
        first_bits.next = concat(first_late[34:1], low_bits)

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
    shifted, lasts = [_signed(47) for _ in range(k - 1)], [Signal(intbv(0)[2:]) for _ in range(k - 1)]
    copies = [shifted_copy(clk, held, fields[i + 1], fields[0], shifted[i], lasts[i]) for i in range(k - 1)]
    second, third = terms[0], terms[-1]
    pick_second = _pick(shifted[0], lasts[0], second)

    @always_comb
    def read_first():
        first_value.next = first_bits[63:].signed()

    @always(clk.posedge)
    def add():
        total.next = first_value - second

    if k == 2:

        @always(clk.posedge)
        def add_third():
            grand.next = total

        wait_third = ()
    else:
        third_late, last_late = _signed(47), Signal(intbv(0)[2:])
        pick_third = _pick(third_late, last_late, third)
        waits = delay(clk, shifted[1], third_late, cycles=1), delay(clk, lasts[1], last_late, cycles=1)
        wait_third = pick_third, waits

        @always(clk.posedge)
        def add_third():
            grand.next = total - third

    @always_comb
    def present():
        product.next = grand[63:]

    return front, wait_first, copies, pick_second, read_first, add, wait_third, add_third, present
