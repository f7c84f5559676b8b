"""The weight unpacker: narrow weights of a bank word widened to the width that the array computes in."""

from myhdl import ConcatSignal, Signal, always, always_comb, block, intbv

from accel.rtl.parts.module import module

UNPACK_LATENCY = 1


@block
def expand(clk, enable, whole, fours, twos, ones, form, blank, value, *, lanes):
    """Widen the stored elements in the low bits of every byte by `form` (accel/rtl/control/precision_controller.py).

    fours, twos, ones: `lanes` bytes whose low four, two and one bits hold the elements; whole: the bytes that pass
    where nothing is widened. blank: bits that become 0, or None. value: a register that advances with enable.
    The elements are signed; a single bit is +1 where it is 1 and -1 where it is 0.
    """
    # bit[k]: bit k of every byte. Everything below works on all bytes at once.
    bit = [sum(1 << 8 * lane + k for lane in range(lanes)) for k in range(8)]
    bit_0, bit_1, bit_2, bit_3, bit_4, bit_6 = (bit[k] for k in (0, 1, 2, 3, 4, 6))
    low_bits = sum(bit[:4])
    t0, t1, t2, t3, low, filled = [Signal(intbv(0)[8 * lanes :]) for _ in range(6)]

    @always_comb
    def pick():
        t0.next = ones & bit_0
        t1.next = twos & bit_1
        t2.next = fours & bit_2
        if form[4]:
            t3.next = (twos & bit_1) << 2
        else:
            t3.next = fours & bit_3

    @always_comb
    def fill_low():
        if form[2:] == 0:
            low.next = t0 | t1 | t2 | t3
        elif form[2:] == 1:
            low.next = t0 | t1 | (t1 << 1) | (t1 << 2)
        elif form[2:] == 2:
            low.next = bit_0 | ((t0 ^ bit_0) << 1) | ((t0 ^ bit_0) << 2) | ((t0 ^ bit_0) << 3)
        else:
            low.next = bit_0 | ((t0 ^ bit_0) << 1) | bit_2 | ((t1 ^ bit_1) << 2)

    @always_comb
    def fill_high():
        if form[4:2] == 0:
            filled.next = low | (((whole >> 4) & low_bits) << 4)
        elif form[4:2] == 1:
            filled.next = (
                low | ((low & bit_3) << 1) | ((low & bit_3) << 2) | ((low & bit_3) << 3) | ((low & bit_3) << 4)
            )
        elif form[4:2] == 2:
            filled.next = low | (t2 << 2) | (t3 << 2) | (t3 << 3) | (t3 << 4)
        elif form[4]:
            filled.next = low | bit_4 | ((t3 ^ bit_3) << 2) | ((t3 ^ bit_3) << 3) | ((t3 ^ bit_3) << 4)
        else:
            filled.next = low | bit_4 | ((t2 ^ bit_2) << 3) | bit_6 | ((t3 ^ bit_3) << 4)

    if blank is None:

        @always(clk.posedge)
        def take():
            if enable:
                value.next = filled

        return pick, fill_low, fill_high, take

    @always(clk.posedge)
    def take_unblanked():
        if enable:
            value.next = filled & ~blank

    return pick, fill_low, fill_high, take_unblanked


@module
def row_unpacker(clk, enable, stored, place, form, value, *, lanes):
    """One row of the weight unpacker: `lanes` bytes.

    stored: the bank's bytes. place: the bit of every byte at which the wanted elements start. form: how they are
    widened. value: the array's bytes.
    Latency UNPACK_LATENCY enabled cycles, a word a cycle, holds while enable is low.
    """
    fours, twos, ones = [Signal(intbv(0)[8 * lanes :]) for _ in range(3)]
    widen = expand(clk, enable, stored, fours, twos, ones, form, None, value, lanes=lanes)

    @always_comb
    def shift_four():
        if place[2]:
            fours.next = stored >> 4
        else:
            fours.next = stored

    @always_comb
    def shift_two():
        if place[1]:
            twos.next = fours >> 2
        else:
            twos.next = fours

    @always_comb
    def shift_one():
        if place[0]:
            ones.next = twos >> 1
        else:
            ones.next = twos

    return widen, shift_four, shift_two, shift_one


@module
def weight_unpacker(clk, enable, stored, part, shift, form, weights, *, config):
    """Array words out of bank words: 2^shift array words lie in one bank word, a slice of every byte each.

    stored: a bank word, rows x lanes bytes. part: number of its array word, in the enabled cycle before stored (only
    its low `shift` bits count). shift, form: from the precision controller. weights: rows x lanes bytes of the compute
    width.
    Latency UNPACK_LATENCY enabled cycles, a word a cycle, holds while enable is low.
    """
    rows, width = config.rows, config.word_bits
    place = Signal(intbv(0)[3:])
    number = Signal(intbv(0)[3:])
    words = [Signal(intbv(0)[width:]) for _ in range(rows)]
    unpackers = [
        row_unpacker(clk, enable, stored(width * (row + 1), width * row), place, form, words[row], lanes=config.lanes)
        for row in range(rows)
    ]
    joined = ConcatSignal(*reversed(words))

    @always_comb
    def widen_part():
        number.next = part

    @always(clk.posedge)
    def locate():
        if enable:
            if shift == 0:
                place.next = 0
            elif shift == 1:
                place.next = (number & 1) << 2
            elif shift == 2:
                place.next = (number & 3) << 1
            else:
                place.next = number

    @always_comb
    def present():
        weights.next = joined

    return unpackers, widen_part, locate, present
