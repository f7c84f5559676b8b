"""One requantizer lane: a biased accumulator and its scaling in, int8 out, exact for every rounding rule."""

from myhdl import Signal, always, always_comb, concat, intbv

from accel.rtl.output.shift_multiplier import shift_multiplier
from accel.rtl.parts.delay import delay
from accel.rtl.parts.module import module

MULTIPLIER_BITS, SHIFT1_BITS, SHIFT2_BITS = 31, 6, 5
SHIFTS_BITS = SHIFT1_BITS + SHIFT2_BITS
WIDE_MULTIPLIER_LATENCY = 5
FIRST_SHIFT_LATENCY = 2
SECOND_SHIFT_LATENCY = 3
REQUANTIZE_LANE_LATENCY = WIDE_MULTIPLIER_LATENCY + FIRST_SHIFT_LATENCY + SECOND_SHIFT_LATENCY


def _signed(bits):
    return Signal(intbv(0, min=-(2 ** (bits - 1)), max=2 ** (bits - 1)))


@module
def wide_multiplier(clk, a, m, less_one, product):
    """product = a * m - less_one, exact, in four cascaded 25x18 (or 18x18) multipliers.

    a: 32 bits, read as two's complement. m: 31 bits unsigned. less_one: bool, one cycle behind a and m.
    product: 63 bits, two's complement: |a * m| <= 2^31 * (2^31 - 1), so less_one cannot leave 63 bits either.
    With a = ah * 2^17 + al and m = mh * 2^17 + ml each partial sum adds the one before, shifted right by 17 where the
    weight rises: a multiply-add of one DSP, whose operands arrive one cycle later than those of the DSP before it.
    Latency WIDE_MULTIPLIER_LATENCY (5), a product a cycle, no stall.
    """
    al, al_1, al_2, ml, ml_1 = [Signal(intbv(0)[17:]) for _ in range(5)]
    mh, mh_1, mh_2, mh_3 = [Signal(intbv(0)[14:]) for _ in range(4)]
    ah, ah_1, ah_2, ah_3 = [_signed(15) for _ in range(4)]
    ml_signed, mh_signed = _signed(18), _signed(15)
    # Each product has its natural width, else Yosys leaves the adder behind it outside the DSP.
    m0, m2 = Signal(intbv(0)[34:]), Signal(intbv(0)[31:])
    m0_signed, m2_signed = _signed(35), _signed(32)
    m1, m3 = _signed(33), _signed(29)
    p0, p1, p2, p3 = _signed(35), _signed(33), _signed(34), _signed(29)
    carry_0, carry_2, minus = _signed(18), _signed(17), _signed(2)
    bits_0, bits_0_late, bits_1, bits_1_late = [Signal(intbv(0)[17:]) for _ in range(4)]
    top = Signal(intbv(0)[29:])

    @always_comb
    def split():
        al.next = a[17:0]
        ah.next = a[32:17].signed()
        ml.next = m[17:0]
        mh.next = m[31:17]
        minus.next = 0
        if less_one:
            minus.next = -1

    @always_comb
    def make_signed():
        ml_signed.next = ml_1
        mh_signed.next = mh_3
        m0_signed.next = m0
        m2_signed.next = m2

    @always(clk.posedge)
    def multiply():
        m0.next = al * ml
        p0.next = m0_signed + minus
        ah_1.next = ah
        ml_1.next = ml
        m1.next = ah_1 * ml_signed
        p1.next = m1 + carry_0
        al_1.next = al
        al_2.next = al_1
        mh_1.next = mh
        mh_2.next = mh_1
        m2.next = al_2 * mh_2
        p2.next = m2_signed + p1
        ah_2.next = ah_1
        ah_3.next = ah_2
        mh_3.next = mh_2
        m3.next = ah_3 * mh_signed
        p3.next = m3 + carry_2

    @always_comb
    def slices():
        bits_0.next = p0[17:0]
        carry_0.next = p0[35:17].signed()
        bits_1.next = p2[17:0]
        carry_2.next = p2[34:17].signed()
        top.next = p3[29:0]

    low = delay(clk, bits_0, bits_0_late, cycles=3)
    middle = delay(clk, bits_1, bits_1_late, cycles=1)

    @always_comb
    def present():
        product.next = concat(top, bits_1_late, bits_0_late)

    return split, make_signed, multiply, slices, low, middle, present


@module
def first_shift(clk, product, shift, less_one, result):
    """result = product / 2^shift rounded half up, saturated to int32, less one if it is negative and less_one is set.

    product: 63 bits, two's complement. shift: 0 .. 63; rounding adds the last bit that is shifted out.
    less_one: bool, one cycle behind product. The one that is taken off makes the half-up rounding of second_shift a
    rounding away from zero; it is not taken off a saturated result, whose low bits are zero.
    result: 33 bits, two's complement, -2^31 - 1 .. 2^31. The end 2^31 stands for 2^31 - 1: second_shift gives the same
    for both, because (2^31 - 1 + 2^(s-1)) >> s = 2^31 >> s for s >= 1, and for s = 0 both saturate in int8.
    Latency FIRST_SHIFT_LATENCY (2), a result a cycle, no stall.
    """
    wide = Signal(intbv(0)[64:])  # bit 0 rounds where shift is 0
    coarse, middle, fine = [Signal(intbv(0)[2:]) for _ in range(3)]
    nibbles = Signal(intbv(0)[4:])
    by_16, by_4, by_4_late = _signed(48), _signed(36), _signed(36)
    picked, saturated, value, total = [_signed(33) for _ in range(4)]
    step = _signed(2)
    lowest, highest = -(2**31), 2**31 - 1
    sign, over, over_late, over_now, round_up = [Signal(bool(0)) for _ in range(5)]

    @always_comb
    def widen():
        wide.next = concat(product, False)
        coarse.next = shift[6:4]
        middle.next = shift[4:2]
        nibbles.next = shift[6:2]

    @always_comb
    def shift_16():
        if coarse == 0:
            by_16.next = wide[48:0].signed()
        elif coarse == 1:
            by_16.next = wide[64:16].signed()
        elif coarse == 2:
            by_16.next = wide[64:32].signed()
        else:
            by_16.next = wide[64:48].signed()

    @always_comb
    def shift_4():
        if middle == 0:
            by_4.next = by_16[36:0].signed()
        elif middle == 1:
            by_4.next = by_16[40:4].signed()
        elif middle == 2:
            by_4.next = by_16[44:8].signed()
        else:
            by_4.next = by_16[48:12].signed()

    @always_comb
    def lose():
        over.next = False
        for nibble in range(9, 16):
            if (nibbles <= nibble - 9) and (
                (wide[4 * nibble] != wide[63])
                or (wide[4 * nibble + 1] != wide[63])
                or (wide[4 * nibble + 2] != wide[63])
                or (wide[4 * nibble + 3] != wide[63])
            ):
                over.next = True

    @always(clk.posedge)
    def hold():
        by_4_late.next = by_4
        over_late.next = over
        sign.next = wide[63]
        fine.next = shift[2:0]

    @always_comb
    def shift_1():
        if fine == 0:
            picked.next = by_4_late[33:0].signed()
            over_now.next = (
                (by_4_late[32] != sign)
                or (by_4_late[33] != sign)
                or (by_4_late[34] != sign)
                or (by_4_late[35] != sign)
                or over_late
            )
        elif fine == 1:
            picked.next = by_4_late[34:1].signed()
            over_now.next = (by_4_late[33] != sign) or (by_4_late[34] != sign) or (by_4_late[35] != sign) or over_late
        elif fine == 2:
            picked.next = by_4_late[35:2].signed()
            over_now.next = (by_4_late[34] != sign) or (by_4_late[35] != sign) or over_late
        else:
            picked.next = by_4_late[36:3].signed()
            over_now.next = (by_4_late[35] != sign) or over_late

    @always_comb
    def saturate():
        round_up.next = picked[0]
        if not over_now:
            value.next = picked[33:1].signed()
        elif sign:
            value.next = lowest
        else:
            value.next = highest

    @always_comb
    def choose():
        step.next = 0
        if not over_now:
            if round_up and not (sign and less_one):
                step.next = 1
            elif sign and less_one and not round_up:
                step.next = -1

    @always(clk.posedge)
    def add():
        total.next = value + step

    @always_comb
    def present():
        result.next = total[33:0]

    return widen, shift_16, shift_4, lose, hold, shift_1, saturate, choose, add, present


@module
def second_shift(clk, value, shift, zero_point, qmin, qmax, q):
    """q = clamp(value / 2^shift rounded half up + zero_point, qmin, qmax).

    value: 33 bits, two's complement. shift: 0 .. 31; rounding adds the last bit that is shifted out.
    zero_point, qmin, qmax: int8 as 8-bit two's complement, constant during a layer. q: the same.
    Latency SECOND_SHIFT_LATENCY (3), a result a cycle, no stall.
    """
    wide = Signal(intbv(0)[34:])  # bit 0 rounds where shift is 0
    coarse, middle = [Signal(intbv(0)[2:]) for _ in range(2)]
    fine = Signal(bool(0))
    by_8, by_2, by_2_late = _signed(17), _signed(11), _signed(11)
    picked, total = _signed(10), _signed(10)
    short, zero, low, high, clamped = _signed(9), _signed(8), _signed(8), _signed(8), _signed(8)
    sign, over, over_late, over_now, round_up = [Signal(bool(0)) for _ in range(5)]

    @always_comb
    def widen():
        wide.next = concat(value, False)
        coarse.next = shift[5:3]
        middle.next = shift[3:1]

    @always_comb
    def shift_8():
        if coarse == 0:
            by_8.next = wide[17:0].signed()
        elif coarse == 1:
            by_8.next = wide[25:8].signed()
        elif coarse == 2:
            by_8.next = wide[33:16].signed()
        else:
            by_8.next = wide[34:24].signed()

    @always_comb
    def shift_2():
        if middle == 0:
            by_2.next = by_8[11:0].signed()
        elif middle == 1:
            by_2.next = by_8[13:2].signed()
        elif middle == 2:
            by_2.next = by_8[15:4].signed()
        else:
            by_2.next = by_8[17:6].signed()

    @always_comb
    def lose():
        over.next = False
        for place in range(17, 25):
            if (coarse == 0) and (wide[place] != wide[33]):
                over.next = True
        for place in range(25, 33):
            if (coarse[1] == 0) and (wide[place] != wide[33]):
                over.next = True
        for pair in range(3):
            if (middle <= pair) and ((by_8[2 * pair + 11] != wide[33]) or (by_8[2 * pair + 12] != wide[33])):
                over.next = True

    @always(clk.posedge)
    def hold():
        by_2_late.next = by_2
        over_late.next = over
        sign.next = wide[33]
        fine.next = shift[0]

    @always_comb
    def shift_1():
        if fine:
            picked.next = by_2_late[11:1].signed()
            over_now.next = over_late or (by_2_late[10] != sign)
        else:
            picked.next = by_2_late[10:0].signed()
            over_now.next = over_late or (by_2_late[10] != sign) or (by_2_late[9] != sign)

    @always_comb
    def saturate():
        round_up.next = picked[0]
        zero.next = zero_point[8:0].signed()
        if not over_now:
            short.next = picked[10:1].signed()
        elif sign:
            short.next = -256
        else:
            short.next = 255

    @always(clk.posedge)
    def add():
        if round_up:
            total.next = short + zero + 1
        else:
            total.next = short + zero

    @always_comb
    def limits():
        low.next = qmin[8:0].signed()
        high.next = qmax[8:0].signed()

    @always(clk.posedge)
    def clamp():
        if total < low:
            clamped.next = low
        elif total > high:
            clamped.next = high
        else:
            clamped.next = total[8:0].signed()

    @always_comb
    def present():
        q.next = clamped[8:0]

    return widen, shift_8, shift_2, lose, hold, shift_1, saturate, add, limits, clamp, present


@module
def requantize_lane(clk, a, scaling, round_away, zero_point, qmin, qmax, q, sign=None):
    """One channel: q = clamp(zero_point + R(a), qmin, qmax), or with sign the sign of a.

    a: biased accumulator, 32 bits two's complement. scaling: multiplier m, shift1, shift2 from bit 0 up. m has 31 bits,
    or 6 bits for each of 1 to 3 positions of one bits: then shift_multiplier takes the place of wide_multiplier, with
    the same latency.
    sign: None in a build without 1-bit outputs; constant like round_away; where it is set q is +1 for a >= 0, else -1,
    the other way round where bit 0 of m is set.
    round_away, zero_point, qmin, qmax: of the layer, constant while a value of it is under way; int8 as 8 bits.
    q: int8 as 8 bits.
    R: p = a * m; t = p / 2^shift1 rounded half up, or half away from zero with round_away, saturated to int32; then
    t / 2^shift2 rounded half away from zero. shift1 0 .. 62, shift2 0 .. 31, m 0 .. 2^31 - 1.
    Half away from zero is half up of p - 1 for p < 0; p - 1 is formed wherever a < 0, which is harmless for p = 0.
    Latency REQUANTIZE_LANE_LATENCY (10), a value a cycle, no stall.
    """
    shift1_at = len(scaling) - SHIFTS_BITS
    shift2_at = shift1_at + SHIFT1_BITS
    multiplier = Signal(intbv(0)[shift1_at:])
    shift1, shift1_late = [Signal(intbv(0)[SHIFT1_BITS:]) for _ in range(2)]
    shift2, shift2_early, shift2_late = [Signal(intbv(0)[SHIFT2_BITS:]) for _ in range(3)]
    product = Signal(intbv(0)[63:])
    value = Signal(intbv(0)[33:])
    product_less_one, value_less_one = [Signal(bool(0)) for _ in range(2)]

    @always_comb
    def unpack():
        multiplier.next = scaling[shift1_at:]
        shift1.next = scaling[shift2_at:shift1_at]
        shift2.next = scaling[:shift2_at]

    @always(clk.posedge)
    def choose():
        product_less_one.next = round_away and a[31] and (shift1 != 0)
        value_less_one.next = shift2_early != 0

    if shift1_at == MULTIPLIER_BITS:
        multiply = wide_multiplier(clk, a, multiplier, product_less_one, product)
        wait1 = delay(clk, shift1, shift1_late, cycles=WIDE_MULTIPLIER_LATENCY)
    else:
        multiply = shift_multiplier(clk, a, multiplier, shift1, product_less_one, product, shift1_late)
        wait1 = ()
    round1 = first_shift(clk, product, shift1_late, value_less_one, value)
    wait2 = delay(clk, shift2, shift2_early, cycles=WIDE_MULTIPLIER_LATENCY)
    wait3 = delay(clk, shift2_early, shift2_late, cycles=FIRST_SHIFT_LATENCY)
    scaled = q if sign is None else Signal(intbv(0)[8:])
    round2 = second_shift(clk, value, shift2_late, zero_point, qmin, qmax, scaled)
    if sign is None:
        return unpack, choose, multiply, wait1, round1, wait2, wait3, round2

    minus, minus_late = [Signal(bool(0)) for _ in range(2)]
    wait_minus = delay(clk, minus, minus_late, cycles=REQUANTIZE_LANE_LATENCY)

    @always_comb
    def look():
        minus.next = a[31] != scaling[0]

    @always_comb
    def present():
        if not sign:
            q.next = scaled
        elif minus_late:
            q.next = 0xFF
        else:
            q.next = 0x01

    return unpack, choose, multiply, wait1, round1, wait2, wait3, round2, wait_minus, look, present
