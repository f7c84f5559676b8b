"""The mode of a word, decoded for the stages of the MAC array that look at it."""

from myhdl import Signal, always_comb

from accel.rtl.parts.module import module

# The mode of a word, decoded for one stage: int8, int4, int8 or int4, neither, binary; then enable and: int8, int4,
# not int8, not int4, int8 or int4, neither.
WIDE, FOUR, COARSE, CRUMBS, BINARY, TO_WIDE, TO_FOUR, TO_NARROW, TO_OTHERS, TO_COARSE, TO_CRUMBS = range(11)
FLAGS = 11


@module
def mode_flags(enable, mode, flags, *, modes):
    """Decodes a mode: 0, 1, 2, 3 for int8, int4, int2, binary; modes that the build lacks are never seen.

    Combinational: flags says what the stage whose word has this mode does, see WIDE and the names behind it.
    """
    wide, four, binary = [Signal(bool(0)) for _ in range(3)]
    has_four, has_two, only_four = 4 in modes, 2 in modes, modes[-1] == 4

    @always_comb
    def decode():
        wide.next = mode == 0
        four.next = has_four and mode != 0 and (only_four or mode == 1)
        binary.next = mode == 3 or not has_two

    @always_comb
    def present():
        flags.next[WIDE] = wide
        flags.next[FOUR] = four
        flags.next[COARSE] = wide or four
        flags.next[CRUMBS] = not (wide or four)
        flags.next[BINARY] = binary
        flags.next[TO_WIDE] = enable and wide
        flags.next[TO_FOUR] = enable and four
        flags.next[TO_NARROW] = enable and not wide
        flags.next[TO_OTHERS] = enable and not four
        flags.next[TO_COARSE] = enable and (wide or four)
        flags.next[TO_CRUMBS] = enable and not (wide or four)

    return decode, present
