"""The line buffer: byte-addressed writes and reads of whole words from two interleaved banks."""

from myhdl import Signal, always, always_comb, intbv, modbv

from accel.rtl.feed.bundles import Direct, LineRead, LineWrite
from accel.rtl.parts.byte_rotator import byte_rotator
from accel.rtl.parts.module import module
from accel.rtl.parts.ram import ram

LINE_READ_LATENCY = 4  # enabled cycles from r_word to r_data
LINE_WRITE_LATENCY = 2  # cycles until a read address may name the written bytes


@module
def line_buffer(clk, w: LineWrite, enable, r: LineRead, direct: Direct, *, config):
    """lanes bytes written and lanes bytes read in every cycle, both at any byte address.

    w: write of 1 .. lanes bytes. r: read; everything on the read side holds while enable is low. direct: other data for
    r.data: unrotated, or in a mixed-precision build from byte direct.offset on.
    Even words lie in one bank, odd words in the other, so two neighbouring words are read together, merged byte by byte
    and rotated. Addresses wrap at the end of the memory. A register stands behind each bank, because a block memory
    takes most of a clock cycle to put out a word.
    Latency LINE_READ_LATENCY enabled cycles; a write may be read LINE_WRITE_LATENCY cycles later; one access a cycle.
    """
    lanes, width, bank_depth = config.lanes, config.word_bits, config.line_depth // 2
    both = 2 * lanes  # bytes of two neighbouring words
    lane_bits, word_bits, bank_bits = config.lane_bits, config.line_addr_bits, config.line_addr_bits - 1

    # Write side: place the bytes and split them over the banks.
    write_data, rotated_data = [Signal(intbv(0)[width:]) for _ in range(2)]
    strobes = Signal(intbv(0)[both:])
    even_strobes, odd_strobes = [Signal(intbv(0)[lanes:]) for _ in range(2)]
    even_waddr, odd_waddr = [Signal(modbv(0)[bank_bits:]) for _ in range(2)]

    align_write = byte_rotator(w.data, w.rotate, rotated_data)

    @always_comb
    def mark():
        strobes.next = 0
        for j in range(both):
            if w.enable and w.address[lane_bits:] <= j and w.end > j:
                strobes.next[j] = 1

    @always(clk.posedge)
    def split():
        write_data.next = rotated_data
        odd_waddr.next = w.address[word_bits + lane_bits : lane_bits + 1]
        if w.address[lane_bits]:
            even_waddr.next = w.address[word_bits + lane_bits : lane_bits + 1] + 1
            even_strobes.next = strobes[both:lanes]
            odd_strobes.next = strobes[lanes:0]
        else:
            even_waddr.next = w.address[word_bits + lane_bits : lane_bits + 1]
            even_strobes.next = strobes[lanes:0]
            odd_strobes.next = strobes[both:lanes]

    # Read side: both banks, merge, rotate.
    even_raddr, odd_raddr = [Signal(modbv(0)[bank_bits:]) for _ in range(2)]
    even_data, odd_data, even_late, odd_late, merged, rotated = [Signal(intbv(0)[width:]) for _ in range(6)]
    from_even, from_even_late = [Signal(intbv(0)[lanes:]) for _ in range(2)]
    keep = Signal(intbv(0)[width:])
    offset_1, offset_2, offset_3 = [Signal(intbv(0)[lane_bits:]) for _ in range(3)]
    direct_1, direct_2 = [Signal(bool(0)) for _ in range(2)]

    even_bank = ram(
        clk,
        even_strobes,
        even_waddr,
        write_data,
        enable,
        even_raddr,
        even_data,
        depth=bank_depth,
        part_bits=8,
        style=config.line_style,
    )
    odd_bank = ram(
        clk,
        odd_strobes,
        odd_waddr,
        write_data,
        enable,
        odd_raddr,
        odd_data,
        depth=bank_depth,
        part_bits=8,
        style=config.line_style,
    )
    align_read = byte_rotator(merged, offset_3, rotated)

    @always_comb
    def address():
        odd_raddr.next = r.word[word_bits:1]
        if r.word[0]:
            even_raddr.next = r.word[word_bits:1] + 1
        else:
            even_raddr.next = r.word[word_bits:1]

    @always_comb
    def widen():
        for j in range(lanes):
            for b in range(8):
                keep.next[8 * j + b] = from_even_late[j]

    @always(clk.posedge)
    def fetch():
        if enable:
            # Byte j comes from the first of the two words where j >= offset; the first word is even where r.word is.
            for j in range(lanes):
                from_even.next[j] = (r.offset <= j) != r.word[0]
            from_even_late.next = from_even
            even_late.next = even_data
            odd_late.next = odd_data
            direct_1.next = direct.select
            direct_2.next = direct_1
            if direct_2:
                merged.next = direct.data
            else:
                merged.next = (even_late & keep) | (odd_late & ~keep)
            offset_2.next = offset_1
            offset_3.next = offset_2
            r.data.next = rotated

    if direct.offset is None:

        @always(clk.posedge)
        def choose_offset():
            if enable:
                if direct.select:
                    offset_1.next = 0
                else:
                    offset_1.next = r.offset

    else:

        @always(clk.posedge)
        def choose_offset():
            if enable:
                if direct.select:
                    offset_1.next = direct.offset
                else:
                    offset_1.next = r.offset

    return align_write, mark, split, even_bank, odd_bank, align_read, address, widen, fetch, choose_offset
