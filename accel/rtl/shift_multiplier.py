"""The requantizer's multiplier without multipliers: a sum of shifted copies for numbers with few one bits."""

from myhdl import Signal, always, always_comb, concat, intbv, modbv

from accel.rtl.delay import delay
from accel.rtl.hierarchy import module

POSITION_BITS = 6  # of one field: the position in bits 4:0, bit 5 says that there is one
POSITION_VALID = 1 << POSITION_BITS - 1
SHIFT_MULTIPLIER_LATENCY = 5


def khot_positions(multiplier, k):
    """Positions of the one bits of a multiplier 0 .. 2^31 - 1, highest first, or None where there are more than k."""
    multiplier = int(multiplier)
    if not 0 <= multiplier < 2**31:
        raise ValueError(f"khot_positions: multiplier {multiplier} is outside 0..2147483647")
    positions = tuple(place for place in reversed(range(31)) if multiplier >> place & 1)
    return positions if len(positions) <= k else None


def khot_word(multiplier, k):
    """The k fields of a multiplier in a parameter entry, the highest position in the lowest bits.

    ValueError where it has more than k one bits.
    """
    positions = khot_positions(multiplier, k)
    if positions is None:
        raise ValueError(f"khot_word: multiplier {multiplier} has more than {k} one bits")
    return sum((place | POSITION_VALID) << POSITION_BITS * i for i, place in enumerate(positions))


def _signed(bits):
    return Signal(intbv(0, min=-(2 ** (bits - 1)), max=2 ** (bits - 1)))


@module
def shifted_copy(clk, a, position, minus, term):
    """term = a << position[4:0] where position[5] is set, else 0; plus minus.

    a: 32 bits, read as two's complement. position: 6 bits. minus: 0 or -1, two cycles behind a, or None where there is
    none. term: 63 bits, signed.
    Latency 3, a value a cycle, no stall.
    """
    coarse, middle = [Signal(intbv(0)[2:]) for _ in range(2)]
    low, low_late = [Signal(intbv(0)[4:]) for _ in range(2)]
    start, by_8, by_2 = _signed(32), _signed(56), _signed(62)

    @always_comb
    def split():
        start.next = a[32:].signed()
        coarse.next = position[5:3]
        low.next = concat(position[5], position[3:])
        middle.next = low_late[3:1]

    @always(clk.posedge)
    def shift_8():
        if coarse == 0:
            by_8.next = start
        elif coarse == 1:
            by_8.next = start << 8
        elif coarse == 2:
            by_8.next = start << 16
        else:
            by_8.next = start << 24
        low_late.next = low

    valid, fine, valid_late, fine_late = [Signal(bool(0)) for _ in range(4)]
    picked = _signed(63)

    @always_comb
    def flags():
        valid.next = low_late[3]
        fine.next = low_late[0]

    @always(clk.posedge)
    def shift_2():
        if middle == 0:
            by_2.next = by_8
        elif middle == 1:
            by_2.next = by_8 << 2
        elif middle == 2:
            by_2.next = by_8 << 4
        else:
            by_2.next = by_8 << 6
        valid_late.next = valid
        fine_late.next = fine

    @always_comb
    def pick():
        picked.next = 0
        if valid_late and fine_late:
            picked.next = by_2 << 1
        elif valid_late:
            picked.next = by_2

    if minus is None:
        @always(clk.posedge)
        def take():
            term.next = picked
    else:
        @always(clk.posedge)
        def take():
            term.next = picked + minus

    return split, shift_8, flags, shift_2, pick, take


@module
def shift_multiplier(clk, a, m, less_one, product):
    """product = a * m - less_one, exact, for an m with at most k one bits, without a multiplier.

    a: 32 bits, read as two's complement. m: k fields of POSITION_BITS bits, k = 1 .. 3: the position of a one bit,
    0 .. 30, in bits 4:0, and bit 5 where the field counts, see khot_word(); their sum must be below 2^31. less_one:
    bool, one cycle behind a and m.
    product: 63 bits, two's complement.
    Each field shifts a copy of a by 8s, by 2s and by 1; the last of them takes less_one; two adders follow.
    Latency SHIFT_MULTIPLIER_LATENCY (5), a product a cycle, no stall.
    """
    k = len(m) // POSITION_BITS
    if len(m) != k * POSITION_BITS or k not in (1, 2, 3):
        raise ValueError(f"shift_multiplier: m must have 6, 12 or 18 bits, not {len(m)}")
    terms = [_signed(63) for _ in range(k)]
    minus = _signed(2)
    less_one_late = Signal(bool(0))

    @always(clk.posedge)
    def wait_one():
        less_one_late.next = less_one

    @always_comb
    def negate():
        minus.next = 0
        if less_one_late:
            minus.next = -1

    positions = [m(POSITION_BITS * (i + 1), POSITION_BITS * i) for i in range(k)]
    copies = [shifted_copy(clk, a, positions[i], minus if i == k - 1 else None, terms[i]) for i in range(k)]
    bits = Signal(intbv(0)[63:])
    if k == 1:
        only = terms[0]

        @always_comb
        def collect():
            bits.next = only[63:]

        wait_sum = delay(clk, bits, product, cycles=2)
        return wait_one, negate, copies, collect, wait_sum

    # Sums wrap: only fields that break the rule above can leave 63 bits.
    first, second = terms[0], terms[1]
    total, grand = [Signal(modbv(0, min=-(2**62), max=2**62)) for _ in range(2)]

    @always(clk.posedge)
    def add():
        total.next = first + second

    if k == 2:
        @always_comb
        def collect():
            bits.next = total[63:]

        wait_sum = delay(clk, bits, product, cycles=1)
        return wait_one, negate, copies, add, collect, wait_sum

    third, third_late = terms[2], _signed(63)

    @always(clk.posedge)
    def add_third():
        third_late.next = third
        grand.next = total + third_late

    @always_comb
    def present():
        product.next = grand[63:]

    return wait_one, negate, copies, add, add_third, present
