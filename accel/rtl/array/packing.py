"""Where the operands of one packed multiplier stand in each mode of a mixed build: fields, wires and constants.

One multiplier computes P = (A + D) * B + C. B is one activation; A + D is the sum of its rows' weights, field f at bit
SPACING * f, so that P holds one product a field. Every field carries its weight with the sign bit inverted, that is
w + 2^(bits - 1), so that the fields lie side by side without borrows; a constant that makes up for it is added by the
multiplier's own pre-adder. C makes every field of P offset binary, so that none borrows there either.

int8 and int4 weights stand on A, int2 weights on D, and each of the two holds a constant in the other's modes: a
register that loads data in some modes and a constant in the others costs no LUT (set or reset), a second kind of data
does. A binary layer counts two XNORs a field on int2's wires: D holds the mismatches - 2 and B is -2, so that the
product is 2 * matches.
"""

SPACING = {8: 16, 4: 7, 2: 3}
# What C adds to a field, minus the smallest value that it may hold: two int8 products (the second lane's multiplier
# adds to the first one's), one int4 product, one int2 product. The largest value still fits the field.
OFFSETS = {8: 32512, 4: 56, 2: 2}
MULTIPLIERS = 4  # of a group: group_rows rows by one lane
CHANNELS = (0, 2, 1, 3)  # the int2 channel that each multiplier of a group takes; int4: its number modulo 2


def group_rows(packed):
    """Rows whose weights a group of multipliers takes: two int8 rows a multiplier, or one."""
    return 8 if packed else 4


def field_count(bits, packed):
    """Rows whose weights one multiplier takes."""
    return 2 * group_rows(packed) // bits


def weight_bits(bits, number, packed):
    """[(row, lowest bit of the weight inside that row's byte)] of multiplier `number`, field 0 first."""
    count = field_count(bits, packed)
    if bits == 8:
        return [(number * count + f, 0) for f in range(count)]
    if bits == 4:
        return [(number // 2 * count + f, number % 2 * 4) for f in range(count)]
    return [(f, CHANNELS[number] * 2) for f in range(count)]


def product_place(bits, row, channel, packed):
    """(multiplier, lowest bit of the field in P) that holds the product of a row and a channel."""
    for number in range(MULTIPLIERS):
        for f, (at, low) in enumerate(weight_bits(bits, number, packed)):
            if (at, low) == (row, channel * bits):
                return number, SPACING[bits] * f
    raise ValueError(f"row {row} of {group_rows(packed)}, channel {channel} of {8 // bits}")


def field_mask(bits, packed, value):
    """`value` in every field."""
    return sum(value << SPACING[bits] * f for f in range(field_count(bits, packed)))


def signs(bits, packed):
    """Operand bits that hold an inverted sign, and at the same time minus the constant that makes up for them."""
    return field_mask(bits, packed, 2 ** (bits - 1))


def product_offset(bits, packed):
    """The constant on C."""
    return field_mask(bits, packed, OFFSETS[bits])


def operand_wires(bits, number, packed):
    """{operand bit: bit of the group's weight bytes} of multiplier `number`."""
    return {
        SPACING[bits] * f + j: 8 * row + low + j
        for f, (row, low) in enumerate(weight_bits(bits, number, packed))
        for j in range(bits)
    }


def operand_constants(packed, operand_bits):
    """({bits: constant on A}, {bits: constant on D}): with the data of the mode, A + D is the sum of the weights.

    In mode 2 all of the constant is on A. In the other modes A repeats its bits where the mode has no data, so that
    those registers load the same constant in two modes; D takes the rest.
    """
    on_a, on_d = {2: -signs(2, packed) % 2**operand_bits}, {2: 0}
    for bits in (8, 4):
        on_a[bits] = on_a[2] & ~field_mask(bits, packed, 2**bits - 1)
        on_d[bits] = (-signs(bits, packed) - on_a[bits]) % 2**operand_bits
    return on_a, on_d
