"""One multiplier of a mixed build: all operands of its rows in every mode, see packing."""

from myhdl import ConcatSignal, Signal, always, always_comb, block, intbv, modbv

from accel.rtl.array.mode_flags import (
    BINARY,
    COARSE,
    FOUR,
    TO_COARSE,
    TO_CRUMBS,
    TO_FOUR,
    TO_NARROW,
    TO_OTHERS,
    TO_WIDE,
    WIDE,
)
from accel.rtl.array.packing import CHANNELS, operand_constants, operand_wires, signs
from accel.rtl.parts.module import module, unused


def operand_bits(multiplier, packed):
    """Bits of the multiplier's wide operand that a mixed build uses."""
    return int(multiplier[:2]) if packed else 12


def product_bits(packed):
    return 32 if packed else 20


def gather(signal, places):
    """Signal of the bits of `signal` at `places`, the first one low."""
    bits = [signal(place) for place in places]
    return ConcatSignal(*reversed(bits)) if len(bits) > 1 else bits[0]


def scatter(width, constant, *groups):
    """Signal of `width` bits: each group (signal, places) puts its bits at places; `constant` has the others."""
    bits = [format(constant >> place & 1, "01b") for place in range(width)]
    for signal, places in groups:
        for i, place in enumerate(places):
            bits[place] = signal(i) if len(signal) > 1 else signal
    return ConcatSignal(*reversed(bits))


def pick(constant, places):
    return sum((constant >> place & 1) << i for i, place in enumerate(places))


@block
def held(clk, enable, clear, data, value, *, constant, flip):
    """value: data with the bits of `flip` inverted, or the constant in other modes (clear)."""

    @always(clk.posedge)
    def load():
        if clear:
            value.next = constant
        elif enable:
            value.next = data ^ flip

    return load


@block
def _either(wide, eight, four, data, *, flip_8, flip_4):
    @always_comb
    def choose():
        if wide:
            data.next = eight ^ flip_8
        else:
            data.next = four ^ flip_4

    return choose


@block
def _crumbs(binary, w, x, data, *, fields):
    """data: two bits for every field: the weight with its sign inverted, or in binary layers how many of the two
    differ from x (x None: never)."""
    high, low = 2 * (4**fields // 3), 4**fields // 3
    if x is None:

        @always_comb
        def choose():
            data.next = w ^ high

        return choose

    differ = Signal(intbv(0)[2 * fields :])

    @always_comb
    def compare():
        differ.next = w ^ x

    @always_comb
    def choose():
        if binary:
            data.next = (differ & (differ << 1) & high) | ((differ ^ (differ >> 1)) & low)
        else:
            data.next = w ^ high

    return compare, choose


@block
def _forced(force, data, value):
    ones = 2 ** len(data) - 1

    @always_comb
    def choose():
        if force:
            value.next = ones
        else:
            value.next = data

    return choose


@block
def _operand_a(clk, enable, flags, w, a, *, number, modes, packed, bits):
    """Operand A: int8 and int4 weights, a constant in the modes in which a bit has none."""
    constant = operand_constants(packed, bits)[0][2]
    at_8 = operand_wires(8, number, packed)
    at_4 = operand_wires(4, number, packed) if 4 in modes else {}
    groups, parts = [], []
    for places, at, size, clear in (
        (sorted(at_8.keys() - at_4), at_8, 8, TO_NARROW),
        (sorted(at_4.keys() - at_8), at_4, 4, TO_OTHERS),
    ):
        if places:
            value = Signal(intbv(0)[len(places) :])
            parts.append(
                held(
                    clk,
                    enable,
                    flags(clear),
                    gather(w, [at[place] for place in places]),
                    value,
                    constant=pick(constant, places),
                    flip=pick(signs(size, packed), places),
                )
            )
            groups.append((value, places))
    both = sorted(at_8.keys() & at_4)
    if both:
        eight, nibbles = [gather(w, [at[place] for place in both]) for at in (at_8, at_4)]
        data, value = [Signal(intbv(0)[len(both) :]) for _ in range(2)]
        clear = flags(TO_CRUMBS) if modes[-1] < 4 else Signal(bool(0))
        parts.append(
            _either(
                flags(WIDE),
                eight,
                nibbles,
                data,
                flip_8=pick(signs(8, packed), both),
                flip_4=pick(signs(4, packed), both),
            )
        )
        parts.append(held(clk, enable, clear, data, value, constant=pick(constant, both), flip=0))
        groups.append((value, both))
    joined = scatter(bits, constant, *groups)

    @always_comb
    def present():
        a.next = joined

    return parts, present


@block
def _operand_d(clk, enable, flags, flags_next, w, x, d, *, number, modes, packed, bits):
    """Operand D: int2 weights or binary mismatches, else what A lacks of the mode's constant."""
    constants = operand_constants(packed, bits)[1]
    eight, four = constants[8], constants[4 if 4 in modes else 8]
    ones = {WIDE: eight & ~four, FOUR: four & ~eight, COARSE: eight & four}
    if modes[-1] == 4:
        places, ones = {}, ones | {COARSE: 0}
    else:
        places = operand_wires(2, number, packed)
    groups, parts = [], []
    if places:
        data = Signal(intbv(0)[len(places) :])
        wires = gather(w, places.values())
        x_wires = None
        if 1 in modes:
            channel = 2 * CHANNELS[number]
            x_wires = ConcatSignal(*[x(channel + 2, channel)] * (len(places) // 2))
        parts.append(_crumbs(flags(BINARY), wires, x_wires, data, fields=len(places) // 2))
    index = {place: i for i, place in enumerate(places)}
    for force, clear in ((None, TO_COARSE), (WIDE, TO_FOUR), (FOUR, TO_WIDE)):
        chosen = [place for place in places if (ones.get(force, ~(ones[WIDE] | ones[FOUR])) >> place & 1)]
        if chosen:
            wires, value = gather(data, [index[place] for place in chosen]), Signal(intbv(0)[len(chosen) :])
            if force is not None:
                forced = Signal(intbv(0)[len(chosen) :])
                parts.append(_forced(flags(force), wires, forced))
                wires = forced
            parts.append(
                held(
                    clk,
                    enable,
                    flags(clear),
                    wires,
                    value,
                    constant=pick(eight, chosen) if force is None else 0,
                    flip=0,
                )
            )
            groups.append((value, chosen))
    for flag in (WIDE, FOUR, COARSE):
        for place in range(bits):
            if ones[flag] >> place & 1 and place not in places:
                groups.append((flags_next(flag), [place]))
    joined = scatter(bits, eight & four if modes[-1] == 4 else 0, *groups)

    @always_comb
    def present():
        d.next = joined

    return parts, present


@module
def packed_multiplier(clk, enable, flags, flags_next, w, x, b, c, p, *, number, modes, packed, bits, late):
    """One multiplier of a group: every row's weights of its channel times one activation, p = weights * b + c.

    flags: mode of w, see mac_cell; flags_next: one enabled cycle later. w: one lane's byte of every row of the group,
    row 0 low. x: that lane's activation byte, None unless 1 is a mode. b: the signed activation, one enabled cycle
    behind w. c: the offset of every product, or another multiplier's p to add. p: the products in fields, see packing.
    number: 0 .. 3, the multiplier's place in the group. bits: width of the weight operand.
    Latency 4 enabled cycles, with `late` one more; c is added in the last.
    """
    a, d, a_early, d_early = [Signal(intbv(0)[bits:]) for _ in range(4)]
    operand_a = _operand_a(clk, enable, flags, w, a_early, number=number, modes=modes, packed=packed, bits=bits)
    operand_d = _operand_d(
        clk, enable, flags, flags_next, w, x, d_early, number=number, modes=modes, packed=packed, bits=bits
    )
    b_early, b_late = [Signal(intbv(0, min=-128, max=128)) for _ in range(2)]
    operand = Signal(modbv(0, min=-(2 ** (bits - 1)), max=2 ** (bits - 1)))
    width = product_bits(packed)
    for signal in (flags, flags_next, w, x):
        if signal is not None:
            unused(signal)
    product, total = [Signal(modbv(0, min=-(2 ** (width - 1)), max=2 ** (width - 1))) for _ in range(2)]

    if late:

        @always(clk.posedge)
        def delay():
            if enable:
                a.next = a_early
                d.next = d_early
                b_early.next = b.signed()
    else:

        @always_comb
        def delay():
            a.next = a_early
            d.next = d_early
            b_early.next = b.signed()

    @always(clk.posedge)
    def multiply():
        if enable:
            operand.next = a.signed() + d.signed()
            b_late.next = b_early
            product.next = operand * b_late
            total.next = product + c.signed()

    @always_comb
    def present():
        p.next = total[width:]

    return operand_a, operand_d, delay, multiply, present
